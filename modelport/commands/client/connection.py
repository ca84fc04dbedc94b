"""A connection to a running server: a session, and every failure as an error of ours."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Self

from modelport import errors
from modelport.commands.client.where import Unreachable, Where
from modelport.errors import ModelportError

# A server on this machine answers at once; a deployment is described within the server's start_wait_s.
CONNECT_S = 10.0
ERROR_LIMIT_BYTES = 64 << 10

KINDS = {
    400: "invalid_request",
    401: "unauthorized",
    402: "disabled",
    403: "unauthorized",
    404: "not_found",
    406: "not_acceptable",
    409: "conflict",
    413: "too_large",
    415: "unsupported_media",
    422: "invalid_arguments",
    501: "not_implemented",
    502: "starting",
    503: "overloaded",
    504: "deadline_exceeded",
    507: "storage_full",
}

# How /run begins the text of an error.
_RUN_ERROR = re.compile(r"error \d+ \((?P<kind>\w+)\): (?P<message>.*)")
# What something between us and the server says when it does not reach it.
_GATEWAY = (502, 503, 504)


_MESSAGES = {401: "the server wants another token: give --token, or set BEARER_TOKEN"}


class Connection:
    """Open as a context manager. where: may be changed meanwhile; the next request goes there."""

    def __init__(self, where: Where) -> None:
        self.where = where

    async def __aenter__(self) -> Self:
        import aiohttp

        # The limit on connections is the caller's affair: what follows an event stream holds one.
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def json_of(self, method: str, path: str, **options: Any) -> Any:
        async with self.request(method, path, **options) as response:
            try:
                return json.loads(await response.read())
            except ValueError as error:
                raise Unreachable(f"{self.where.url} is no modelport server: it answers with no JSON") from error

    @contextlib.asynccontextmanager
    async def request(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **options: Any
    ) -> AsyncIterator[Any]:
        """A successful response. path: below the base path. Raises ModelportError for all else."""
        import aiohttp

        token = {"Authorization": f"Bearer {self.where.token}"} if self.where.token else {}
        options["headers"] = {**token, **(headers or {})}
        try:
            async with self._session.request(method, self.where.url + path, **options) as response:
                if response.status >= 400:
                    raise self.refusal(response, await response.content.read(ERROR_LIMIT_BYTES))
                yield response
        except TimeoutError as error:
            raise self.where.refused(f"no connection within {CONNECT_S:g} s") from error
        except (aiohttp.ClientError, ValueError) as error:
            raise self.where.refused(reason(error)) from error

    def refusal(self, response: Any, body: bytes) -> ModelportError:
        """The server's own words, as its own error. Unreachable for what a modelport server would not say."""
        kind, message, fields = self._told(response.status, response.content_type, body)
        retry_after = response.headers.get("Retry-After", "")
        retry_after_s = float(retry_after) if retry_after.isascii() and retry_after.isdigit() else None
        cls = Unreachable if kind == Unreachable.kind else errors.KINDS.get(kind, ModelportError)
        return cls(message, fields=fields, retry_after_s=retry_after_s)

    def _told(self, status: int, media_type: str, body: bytes) -> tuple[str, str, dict[str, Any] | None]:
        """(kind, message, fields)."""
        text = body.decode(errors="replace").strip()
        try:
            document = json.loads(body)
        except ValueError:
            document = None
        if isinstance(document, dict) and isinstance(document.get("message"), str):
            fields = document.get("fields")
            return str(document.get("error")), document["message"], fields if isinstance(fields, dict) else None
        if told := _RUN_ERROR.match(text):
            return told["kind"], told["message"], None
        if status in _GATEWAY or (status == 404 and media_type != "text/plain"):
            return Unreachable.kind, f"{self.where.url} answers {status}, and is no modelport server, or not now", None
        message = text.splitlines()[0] if text and media_type == "text/plain" else ""
        return KINDS.get(status, "internal"), message or _MESSAGES.get(status, f"the server answers {status}"), None


def reason(error: Exception) -> str:
    number = getattr(getattr(error, "os_error", None), "errno", None)
    if isinstance(number, int) and number > 0:
        return os.strerror(number)
    return str(error) or type(error).__name__
