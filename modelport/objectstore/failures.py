"""What an object store answers where it does not do what it was asked, in this project's words."""

from __future__ import annotations

import re

from modelport.errors import BucketUnavailable, Conflict, ModelportError, NotFound, StorageFull, TooLarge

_CODE = re.compile(rb"<Code>([A-Za-z0-9.]{1,64})</Code>")
_STATUS = re.compile(r"status code: (\d{3})")

FULL = {"XMinioStorageFull", "QuotaExceeded", "QuotaExceededException", "InsufficientStorage"}
TOO_LARGE = {"EntityTooLarge"}


def translated(error: Exception, bucket: str, key: str) -> ModelportError:
    """obstore's errors say most in their text, which begins with the answer of the service. It is not passed on: the
    answer to a wrong signature shows what was signed."""
    from obstore.exceptions import AlreadyExistsError, PreconditionError

    text = str(error)
    match = _STATUS.search(text)
    code, status = code_in(text.encode(errors="replace")), match[1] if match else ""
    if isinstance(error, FileNotFoundError) and code != "NoSuchBucket":
        return NotFound(f"there is no object {key} in the bucket {bucket}")
    if isinstance(error, (AlreadyExistsError, PreconditionError)):
        return Conflict(f"the object {key} in the bucket {bucket} is another by now")
    return refusal(status, code)


def refusal(status: str, code: str) -> ModelportError:
    """What an answer that is no success means. status: empty where there was none."""
    if code in TOO_LARGE or status == "413":
        return TooLarge("the object store takes no object of this size")
    if code in FULL or status == "507":
        return StorageFull("the object store is full")
    if code == "NoSuchBucket":
        return BucketUnavailable("the object store does not have the bucket")
    if status in ("401", "403"):
        return BucketUnavailable(f"the object store rejects the server's keys ({code or status})")
    answer = code or status
    return BucketUnavailable(f"the object store answers {answer}" if answer else "the object store cannot be reached")


def code_in(document: bytes) -> str:
    """Of an error document; empty where there is none."""
    match = _CODE.search(document)
    return match[1].decode() if match else ""
