"""Bodies in signed pieces (aws-chunked).

    <length in hexadecimal digits>[;chunk-signature=<signature>]\\r\\n<bytes>\\r\\n   …   0[;chunk-signature=…]\\r\\n
    [<trailer>:<value>\\r\\n …] [x-amz-trailer-signature:<signature>\\r\\n] \\r\\n

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html and …/sigv4-streaming-trailers.html
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import AsyncIterator, Collection

from modelport.frontends.s3.errors import S3Error
from modelport.http.body import BodyReader
from modelport.objectstore import sigv4

LINE_BYTES = 4096
TRAILERS_BYTES = 16384

_PIECE = re.compile(rb"([0-9a-fA-F]{1,16})(?:;chunk-signature=([0-9a-f]{64}))?")


async def _line(body: BodyReader) -> bytes:
    """Up to a line's end, without it."""
    data = b""
    while b"\r\n" not in data:
        chunk = await body.next()
        data += chunk
        if not chunk or len(data.partition(b"\r\n")[0]) > LINE_BYTES:
            raise S3Error("IncompleteBody")
    line, _, rest = data.partition(b"\r\n")
    body.unread(rest)
    return line


class Pieces:
    """A body in pieces. seed: None where they are not signed. announced: names of trailers that must come.

    trailers: what came, when the body has been read. Raises S3Error: wrong signatures are known only after their
    pieces have been handed on, so the last piece of all must be kept back until the end.
    """

    def __init__(self, body: BodyReader, seed: sigv4.Seed | None, announced: Collection[str], trailing: bool) -> None:
        self._body = body
        self._seed = seed
        self._signature = seed.signature if seed is not None else ""
        self._announced = announced
        self._trailing = trailing
        self.trailers: dict[str, str] = {}

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = -1
        while size != 0:
            match = _PIECE.fullmatch(await _line(self._body))
            if match is None or (match[2] is None) != (self._seed is None):
                raise S3Error("IncompleteBody", "A piece of the body does not begin as it must.")
            size = int(match[1], 16)
            digest = hashlib.sha256()
            async for chunk in self._body.take(size):
                if self._seed is not None:
                    digest.update(chunk)
                yield chunk
            if size and await _line(self._body):
                raise S3Error("IncompleteBody", "A piece of the body does not end as it must.")
            self._check_piece(digest.hexdigest(), (match[2] or b"").decode())
        await self._read_trailers()

    def _check_piece(self, digest: str, signature: str) -> None:
        if self._seed is not None:
            self._signature = sigv4.piece_signature(self._seed, self._signature, digest)
            if not hmac.compare_digest(self._signature, signature):
                raise S3Error("SignatureDoesNotMatch", "The signature of a piece of the body does not match.")

    async def _read_trailers(self) -> None:
        signed = b""
        signature = ""
        while line := await _line(self._body):
            name, colon, value = line.partition(b":")
            name, value = name.strip().lower(), value.strip()
            if name == b"x-amz-trailer-signature":
                signature = value.decode(errors="replace")
                continue
            if not colon or not self._trailing or len(signed) > TRAILERS_BYTES:
                raise S3Error("MalformedTrailerError")
            signed += name + b":" + value + b"\n"
            self.trailers[name.decode(errors="replace")] = value.decode(errors="replace")
        if set(self.trailers) != set(self._announced):
            raise S3Error("MalformedTrailerError", "The trailers are not those that x-amz-trailer announced.")
        if self._seed is not None and self._trailing:
            expected = sigv4.trailer_signature(self._seed, self._signature, signed)
            if not hmac.compare_digest(expected, signature):
                raise S3Error("SignatureDoesNotMatch", "The signature of the trailers does not match.")
        if await self._body.next():
            raise S3Error("IncompleteBody", "There are bytes behind the end of the body.")
