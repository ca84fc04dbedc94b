"""A request's body: taken out of its pieces, measured, and checked against all that was said of it.

Nothing is stored that is not right: the last piece of a body is handed on only when all of it has been checked.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from modelport.frontends.s3.errors import S3Error
from modelport.frontends.s3.pieces import Pieces
from modelport.frontends.s3.requests import Asked
from modelport.http.body import BodyReader
from modelport.objectstore import checksums, sigv4
from modelport.settings import Settings

# A body up to this size is read, and found right, before anything is written.
SMALL_BYTES = 1 << 18

SIGNED_PIECES = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_PIECES_TRAILING = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_PIECES_TRAILING = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
IN_PIECES = {SIGNED_PIECES, SIGNED_PIECES_TRAILING, UNSIGNED_PIECES_TRAILING}

CHECKSUM = "x-amz-checksum-"
# These begin like a checksum and are none.
_ABOUT_CHECKSUMS = {"x-amz-checksum-mode", "x-amz-checksum-algorithm", "x-amz-checksum-type"}

_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass
class _Check:
    """expected: None until a trailer says it. code: what is answered where it is not so."""

    name: str
    sum: checksums.Checksum
    expected: bytes | None
    code: str


class Body:
    """size: in bytes, when it is out of its pieces. checksums: what the client said in headers, by header."""

    def __init__(self, asked: Asked, settings: Settings, limit_bytes: int) -> None:
        """Raises S3Error for what is wrong with the headers."""
        assert asked.claim is not None
        self._asked = asked
        self._kind = asked.claim.payload_hash
        self.size = self._declared()
        if self.size > limit_bytes:
            message = f"The object has {self.size} bytes; at most {limit_bytes} are taken (bucket_object_bytes)."
            raise S3Error("EntityTooLarge", message)
        self.checksums = _checksum_headers(asked.headers)
        self._announced = _announced(asked.headers) if self._kind in IN_PIECES else {}
        self._checks = [*self._header_checks(), *self._announced.values()]
        self._reader = BodyReader(asked.request, settings, as_sent=True)

    def _declared(self) -> int:
        name = "x-amz-decoded-content-length" if self._kind in IN_PIECES else "Content-Length"
        text = self._asked.headers.get(name, "").strip()
        if not text and self._kind not in IN_PIECES and not self._asked.request.can_read_body:
            return 0  # as for a POST without a body
        if not (text.isascii() and text.isdecimal() and len(text) < 16):
            raise S3Error("MissingContentLength")
        return int(text)

    def _header_checks(self) -> list[_Check]:
        checks = []
        if _SHA256.fullmatch(self._kind):
            checks.append(_Check("sha256", hashlib.sha256(), bytes.fromhex(self._kind), "XAmzContentSHA256Mismatch"))
        elif self._kind not in {sigv4.UNSIGNED, *IN_PIECES}:
            raise S3Error("NotImplemented", f"x-amz-content-sha256 cannot be {self._kind[:100]}.")
        if "Content-MD5" in self._asked.headers:
            expected = _decoded(self._asked.headers["Content-MD5"])
            if expected is None or len(expected) != 16:
                raise S3Error("InvalidDigest")
            checks.append(_Check("md5", hashlib.md5(usedforsecurity=False), expected, "BadDigest"))
        for name, value in self.checksums.items():
            checks.append(_check(name, value))
        return checks

    async def read(self) -> bytes:
        """All of it; only for small ones."""
        return b"".join([piece async for piece in self.pieces()])

    async def pieces(self) -> AsyncIterator[bytes]:
        kept = b""
        count = 0
        async for piece in self._decoded():
            count += len(piece)
            if count > self.size:
                raise S3Error("IncompleteBody")
            for check in self._checks:
                check.sum.update(piece)
            if kept:
                yield kept
            kept = piece
        if count != self.size:
            raise S3Error("IncompleteBody")
        self._check()
        if kept:
            yield kept

    async def _decoded(self) -> AsyncIterator[bytes]:
        if self._kind not in IN_PIECES:
            async for chunk in self._reader.chunks():
                yield chunk
            return
        seed = None if self._kind == UNSIGNED_PIECES_TRAILING else self._asked.seed
        pieces = Pieces(self._reader, seed, self._announced, self._kind != SIGNED_PIECES)
        async for piece in pieces:
            yield piece
        for name, check in self._announced.items():
            check.expected = _decoded(pieces.trailers[name])

    def _check(self) -> None:
        for check in self._checks:
            if check.sum.digest() != check.expected:
                raise S3Error(
                    check.code, "" if check.name == "sha256" else f"The {check.name} you specified did not match."
                )


def _checksum_headers(headers: Mapping[str, str]) -> dict[str, str]:
    names = {name.lower(): value.strip() for name, value in headers.items()}
    return {name: names[name] for name in names if name.startswith(CHECKSUM) and name not in _ABOUT_CHECKSUMS}


def _check(name: str, value: str | None) -> _Check:
    """Raises S3Error where there is no such checksum, or it cannot have this value."""
    algorithm = name.removeprefix(CHECKSUM)
    if not name.startswith(CHECKSUM) or algorithm not in checksums.ALGORITHMS:
        raise S3Error("NotImplemented", f"{name[:100]} is not one of the checksums {', '.join(checksums.ALGORITHMS)}.")
    check = _Check(algorithm, checksums.ALGORITHMS[algorithm](), _decoded(value or ""), "BadDigest")
    if value is not None and len(check.expected or b"") != len(checksums.ALGORITHMS[algorithm]().digest()):
        raise S3Error("InvalidRequest", f"Value for {name} header is invalid.")
    return check


def _announced(headers: Mapping[str, str]) -> dict[str, _Check]:
    names = [part.strip().lower() for part in headers.get("x-amz-trailer", "").split(",")]
    return {name: _check(name, None) for name in names if name}


def _decoded(text: str) -> bytes | None:
    with contextlib.suppress(binascii.Error, ValueError):
        return base64.b64decode(text.strip(), validate=True)
    return None
