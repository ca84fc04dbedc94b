"""data: URIs (RFC 2397): a file as a text."""

from __future__ import annotations

import base64
import re
from urllib.parse import unquote_to_bytes

# A media type, its parameters and the words around it are shorter.
HEAD_BYTES = 512
_TOKEN = rb"(?:[A-Za-z0-9!#$&^_.+-]|\\u002[Bb])+"
# How one in base64 begins in JSON, with the quote.
HEAD = re.compile(
    rb'"data:(?P<type>%b\\?/%b)?(?:;%b=[^",;\\\x00-\x20]*)*;base64,' % (_TOKEN, _TOKEN, _TOKEN), re.IGNORECASE
)
_TEXT = re.compile(r"data:(?P<type>[\w.+-]+/[\w.+-]+)?(?:;(?!base64,)[^;,\"]*)*(?P<base64>;base64)?,", re.IGNORECASE)


def is_one(text: str) -> bool:
    """Whether it begins as one; `decode` tells whether the rest is right."""
    return _TEXT.match(text) is not None


def decode(text: str) -> tuple[bytes, str]:
    """(the file, its media type). Raises ValueError."""
    head = _TEXT.match(text)
    if head is None:
        raise ValueError("not a data URI")
    rest = text[head.end() :]
    data = base64.b64decode("".join(rest.split()), validate=True) if head["base64"] else unquote_to_bytes(rest)
    return data, (head["type"] or "text/plain").lower()
