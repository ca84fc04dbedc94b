"""Requests byte by byte, for what no client would send."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

from modelport.objectstore import sigv4
from tests.s3.conftest import REGION, Buckets

SIGNED_PIECES = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_TRAILING = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILING = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
PATIENCE_S = 20.0


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """Of the error document; empty where there is none."""
        if not self.body.startswith(b"<?xml"):
            return ""
        return ElementTree.fromstring(self.body).findtext("Code", "")


@dataclass
class Request:
    """One that is signed; what is sent in the end need not be what was signed."""

    head: bytes
    seed: sigv4.Seed

    def chunked(
        self, pieces: Iterable[bytes], trailers: Mapping[str, str] | None = None, *, signed: bool = True
    ) -> bytes:
        """A body in pieces, whose last is empty."""
        body, signature = b"", self.seed.signature
        for piece in [*pieces, b""]:
            extension = b""
            if signed:
                signature = sigv4.piece_signature(self.seed, signature, hashlib.sha256(piece).hexdigest())
                extension = b";chunk-signature=" + signature.encode()
            body += b"%x%s\r\n%s" % (len(piece), extension, piece + b"\r\n" if piece else b"")
        for name, value in (trailers or {}).items():
            body += f"{name}:{value}\r\n".encode()
        if trailers and signed:
            block = "".join(f"{name}:{value}\n" for name, value in trailers.items()).encode()
            body += f"x-amz-trailer-signature:{sigv4.trailer_signature(self.seed, signature, block)}\r\n".encode()
        return body + b"\r\n"


def request(
    buckets: Buckets,
    method: str,
    target: str,
    headers: Mapping[str, str] | None = None,
    *,
    payload_hash: str = sigv4.UNSIGNED,
    key: str = "digits-key",
    secret: str = "digits-secret",
    unsigned: Mapping[str, str] | None = None,
) -> Request:
    """target: as it is sent, encoded. unsigned: headers that are sent, too."""
    signed = sigv4.sign(method, f"{buckets.url}{target}", headers or {}, key, secret, REGION, payload_hash=payload_hash)
    lines = [
        f"{method} {target} HTTP/1.1",
        *(f"{name}: {value}" for name, value in {**signed, **(unsigned or {})}.items()),
    ]
    scope = signed["authorization"].partition("Credential=")[2].partition(",")[0].removeprefix(f"{key}/")
    signature = signed["authorization"].rpartition("=")[2]
    seed = sigv4.Seed(sigv4.signing_key(secret, scope), scope, signed["x-amz-date"], signature)
    return Request("\r\n".join([*lines, "", ""]).encode(), seed)


async def send(buckets: Buckets, data: bytes, *, cut: bool = False) -> Answer:
    """The answer to these very bytes. cut: close our side of the connection behind them."""
    reader, writer = await asyncio.open_connection("127.0.0.1", buckets.port)
    try:
        writer.write(data)
        if cut:
            await writer.drain()
            writer.write_eof()
        async with asyncio.timeout(PATIENCE_S):
            return await read_answer(reader, head=data.startswith(b"HEAD "))
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def read_answer(reader: asyncio.StreamReader, *, head: bool = False) -> Answer:
    """Status 0: there was none. head: of a HEAD, which has no body."""
    try:
        text = (await reader.readuntil(b"\r\n\r\n")).decode()
    except (asyncio.IncompleteReadError, ConnectionError):
        return Answer(0, {}, b"")
    first, *lines = text.strip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    status = int(first.split()[1])
    if status == 100:
        return Answer(status, headers, b"")
    body = await reader.readexactly(int(headers.get("content-length", 0))) if status != 304 and not head else b""
    return Answer(status, headers, body)


async def put(
    buckets: Buckets, target: str, body: bytes, headers: Mapping[str, str] | None = None, **more: str
) -> Answer:
    """A whole, plain put."""
    asked = request(buckets, "PUT", target, {"content-length": str(len(body)), **(headers or {})}, **more)  # type: ignore[arg-type]
    return await send(buckets, asked.head + body)
