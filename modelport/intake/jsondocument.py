"""Small JSON, read in one go; and the rules that hold for JSON of every size."""

from __future__ import annotations

from typing import Any

import msgspec

from modelport.errors import InvalidJson, TooLarge
from modelport.intake.jsontokens import MAX_DEPTH, is_deep, reason, too_deep

# Names at the top: far more than any model has arguments. Each costs us some 5 µs, so 64 MiB of them were a minute.
MAX_NAMES = 10_000
BOM = b"\xef\xbb\xbf"
_decode = msgspec.json.Decoder().decode


def check_encoding(head: bytes) -> None:
    """Raises InvalidJson for UTF-16 and UTF-32, by how the text begins."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or (len(head) > 1 and 0 in head[:2]):
        name = "UTF-32" if b"\0\0" in head else "UTF-16"
        raise InvalidJson(f"the body is {name}; JSON must be UTF-8")


def check_names(count: int) -> None:
    if count > MAX_NAMES:
        raise TooLarge(f"a JSON body may have at most {MAX_NAMES} arguments")


def decode_whole(text: bytes) -> Any:
    """The value of a small body; by the same rules as those of large ones. Raises InvalidJson, TooLarge."""
    if text.count(b"[") + text.count(b"{") > MAX_DEPTH and is_deep(text):
        raise too_deep()
    try:
        value = _decode(text.removeprefix(BOM))
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        check_encoding(text[:4])
        raise InvalidJson(f"the body is not valid JSON: {reason(error, ' (byte {})'.format)}") from error
    if type(value) is dict and len(value) > MAX_NAMES:
        check_names(len(value))
    return value
