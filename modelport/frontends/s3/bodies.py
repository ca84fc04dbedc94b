"""A request's body: taken out of its pieces, measured, and checked against all that was said of it.

Nothing is stored that is not right: the last piece of a body is handed on only when all of it has been checked.

A body in signed pieces (aws-chunked):

    <length in hexadecimal digits>[;chunk-signature=<signature>]\\r\\n<bytes>\\r\\n   …   0[;chunk-signature=…]\\r\\n
    [<trailer>:<value>\\r\\n …] [x-amz-trailer-signature:<signature>\\r\\n] \\r\\n

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html and …/sigv4-streaming-trailers.html
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from modelport.frontends.s3.errors import S3Error
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

LINE_BYTES = 4096
TRAILERS_BYTES = 16384

_PIECE = re.compile(rb"([0-9a-fA-F]{1,16})(?:;chunk-signature=([0-9a-f]{64}))?")
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
        self._seed = None if self._kind == UNSIGNED_PIECES_TRAILING else asked.seed
        self._signature = "" if self._seed is None else self._seed.signature  # of the last piece
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
        """Wrong signatures are known only after their pieces have been handed on."""
        if self._kind not in IN_PIECES:
            async for chunk in self._reader.chunks():
                yield chunk
            return
        size = -1
        while size != 0:
            match = _PIECE.fullmatch(await self._line())
            if match is None or (match[2] is None) != (self._seed is None):
                raise S3Error("IncompleteBody", "A piece of the body does not begin as it must.")
            size = int(match[1], 16)
            digest = hashlib.sha256()
            async for chunk in self._reader.take(size):
                if self._seed is not None:
                    digest.update(chunk)
                yield chunk
            if size and await self._line():
                raise S3Error("IncompleteBody", "A piece of the body does not end as it must.")
            if self._seed is not None:
                self._signature = sigv4.piece_signature(self._seed, self._signature, digest.hexdigest())
                if not hmac.compare_digest(self._signature, match[2].decode()):
                    raise S3Error("SignatureDoesNotMatch", "The signature of a piece of the body does not match.")
        await self._read_trailers()

    async def _line(self) -> bytes:
        """Up to a line's end, without it."""
        data = b""
        while b"\r\n" not in data:
            chunk = await self._reader.next()
            data += chunk
            if not chunk or len(data.partition(b"\r\n")[0]) > LINE_BYTES:
                raise S3Error("IncompleteBody")
        line, _, rest = data.partition(b"\r\n")
        self._reader.unread(rest)
        return line

    async def _read_trailers(self) -> None:
        signed, signature, trailing = b"", b"", self._kind != SIGNED_PIECES
        trailers: dict[str, str] = {}
        while line := await self._line():
            name, colon, value = line.partition(b":")
            name, value = name.strip().lower(), value.strip()
            if name == b"x-amz-trailer-signature":
                signature = value
                continue
            if not colon or not trailing or len(signed) > TRAILERS_BYTES:
                raise S3Error("MalformedTrailerError")
            signed += name + b":" + value + b"\n"
            trailers[name.decode(errors="replace")] = value.decode(errors="replace")
        if trailers.keys() != self._announced.keys():
            raise S3Error("MalformedTrailerError", "The trailers are not those that x-amz-trailer announced.")
        if self._seed is not None and trailing:
            expected = sigv4.trailer_signature(self._seed, self._signature, signed)
            if not hmac.compare_digest(expected.encode(), signature):
                raise S3Error("SignatureDoesNotMatch", "The signature of the trailers does not match.")
        if await self._reader.next():
            raise S3Error("IncompleteBody", "There are bytes behind the end of the body.")
        for trailer, check in self._announced.items():
            check.expected = _decoded(trailers[trailer])

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
