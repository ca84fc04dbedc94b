"""Answers in JSON: documents, and errors as most front ends have them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web
from msgspec import UNSET

from modelport.describe.documents import Failure
from modelport.errors import ModelportError

JSON = "application/json; charset=utf-8"
# What is told here changes, and is not everybody's.
HEADERS = {"Content-Type": JSON, "Cache-Control": "no-store"}


def encoded(document: Any) -> bytes:
    """JSON in UTF-8, whatever a client has sent: a lone surrogate becomes a question mark."""
    try:
        return msgspec.json.encode(document)
    except UnicodeEncodeError:
        text = json.dumps(msgspec.to_builtins(document), ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8", "replace")


def json_answer(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A value that msgspec can encode, as JSON that no cache keeps."""
    return web.Response(status=status, body=encoded(document), headers={**HEADERS, **(headers or {})})


def error_answer(error: ModelportError, status: int) -> web.Response:
    return json_answer(Failure(error.kind, error.message, error.fields or UNSET), status)
