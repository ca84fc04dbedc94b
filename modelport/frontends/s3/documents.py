"""XML, there and back."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from typing import Any
from xml.etree.ElementTree import Element, ParseError, TreeBuilder
from xml.etree.ElementTree import XMLParser as _Parser
from xml.sax.saxutils import escape

from aiohttp import web

XML = '<?xml version="1.0" encoding="UTF-8"?>\n'
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"

# Of what clients send: an upload of 10,000 parts has some 70,000 elements.
ELEMENTS, DEPTH, ATTRIBUTES = 100_000, 10, 20
# Parsed in one go: some 10 ms where it is nothing but elements.
SLICE_BYTES = 32 << 10

# Most texts, of which nothing has to be escaped.
_PLAIN = re.compile(r"[\w .:/+=%()*!~,-]*", re.ASCII)
# What XML cannot have, however it is written.
_UNFIT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Markup(str):
    """XML; any other text is escaped."""

    __slots__ = ()


def element(name: str, *children: str | None, **texts: str | int | None) -> Markup:
    """texts: elements that come before the children, by name. None is nothing."""
    inner: list[str] = [element(child, str(value)) for child, value in texts.items() if value is not None]
    inner += [child if isinstance(child, Markup) else text(child) for child in children if child is not None]
    return Markup(f"<{name}>{''.join(inner)}</{name}>")


def document(name: str, *children: str | None, **texts: str | int | None) -> bytes:
    """A whole one, whose root has S3's namespace."""
    inner = element(name, *children, **texts)
    return f'{XML}<{name} xmlns="{NAMESPACE}"{inner[len(name) + 1 :]}'.encode()


def answer(name: str, *children: str | None, **texts: str | int | None) -> web.Response:
    return web.Response(body=document(name, *children, **texts), content_type="application/xml")


def text(value: str) -> str:
    """Escaped."""
    if _PLAIN.fullmatch(value):
        return value
    return escape(_UNFIT.sub("\ufffd", value), {'"': "&quot;", "\r": "&#13;"})


# Whom objects and buckets belong to, as far as S3 wants to know.
_ABOUT_OWNER = "<ID>modelport</ID><DisplayName>modelport</DisplayName>"
OWNER = Markup(f"<Owner>{_ABOUT_OWNER}</Owner>")
_GRANTEE = Markup(
    f'<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser">{_ABOUT_OWNER}</Grantee>'
)


def access_control() -> web.Response:
    """Of buckets and objects: their owner may do anything, and keys are a bucket's own."""
    grant = element("Grant", _GRANTEE, element("Permission", "FULL_CONTROL"))
    return answer("AccessControlPolicy", OWNER, element("AccessControlList", grant))


def iso_time(seconds: float) -> str:
    """seconds: since 1970."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


async def parse(data: bytes) -> Element | None:
    """The root, with names without their namespaces; None where it is not XML, defines entities, or has more elements
    than any request needs.

    With entities of its own, a document of some lines can stand for gigabytes.
    """
    if b"<!" in data:
        return None
    parser = _Parser(target=_Builder())  # noqa: S314 (without <! there is nothing to expand)
    try:
        for start in range(0, len(data), SLICE_BYTES):
            piece = data[start : start + SLICE_BYTES]
            if len(piece) == SLICE_BYTES and b">" not in piece:
                return None  # a tag is parsed in one go, whatever its length
            parser.feed(piece)
            await asyncio.sleep(0)  # others wait
        root = parser.close()
    except (ParseError, ValueError):
        return None
    return root if isinstance(root, Element) else None


class _Builder(TreeBuilder):
    """Raises ValueError for what is too large or too deep."""

    def __init__(self) -> None:
        super().__init__()
        self._count = self._depth = 0

    def start(self, tag: str, attributes: dict[Any, Any]) -> Element:
        self._count += 1
        self._depth += 1
        if self._count > ELEMENTS or self._depth > DEPTH or len(attributes) > ATTRIBUTES:
            raise ValueError("too much")
        return super().start(tag.rpartition("}")[2], attributes)

    def end(self, tag: str) -> Element:
        self._depth -= 1
        return super().end(tag.rpartition("}")[2])
