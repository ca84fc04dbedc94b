"""MCP over stdin and stdout, forwarded to a server's /mcp: for hosts that can only start a program."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import mimetypes
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp

from modelport.client.connection import proxy_of
from modelport.client.where import Where, bearer
from modelport.errors import InvalidArguments, ModelportError
from modelport.tasks import Tasks

LINE_LIMIT_BYTES = 64 << 20
VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
INTERNAL_ERROR, INVALID_REQUEST, PARSE_ERROR = -32603, -32600, -32700
# How /mcp marks an argument that is a file.
FILE_FORMAT = "uri-reference"
# What names a file elsewhere.
ELSEWHERE = ("data:", "http:", "https:", "bucket:")
# In base64 it has to fit what the server takes.
FILE_LIMIT_BYTES = 48 << 20
Write = Callable[[bytes], Any]
JSON, STREAM = "application/json", "text/event-stream"


class Bridge:
    """One client's messages, each a line of JSON. folders: those from which files may be sent."""

    def __init__(
        self, session: aiohttp.ClientSession, where: Where, name: str, folders: Sequence[Path], write: Write
    ) -> None:
        self._session, self._where = session, where
        self._url = f"{where.url.rstrip('/')}/mcp" + (f"/{quote(name, safe='')}" if name else "")
        self._folders = [folder.resolve() for folder in folders]
        self._write = write
        self._tasks = Tasks("mcp")
        self._requests: dict[str, asyncio.Task[None]] = {}
        self._files: dict[str, set[str]] = {}  # names of arguments that are files, by tool

    async def run(self, lines: asyncio.StreamReader) -> None:
        """Until the client closes its end; then what it waits for is stopped, as nobody reads it."""
        try:
            while line := await lines.readline():
                if line.strip():
                    self._take(line)
        finally:
            await self._tasks.end()

    def _take(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except ValueError as error:
            self._fail(None, PARSE_ERROR, f"the line is not valid JSON: {error}")
            return
        if not isinstance(message, dict):
            self._fail(None, INVALID_REQUEST, "the line is not one JSON-RPC message")
            return
        id = json.dumps(message.get("id"))
        if message.get("method") == "notifications/cancelled":
            task = self._requests.get(json.dumps(_params(message).get("requestId")))
            if task is not None:
                task.cancel()
        elif "id" not in message or id not in self._requests:
            task = self._tasks.spawn(self._forward(message, line), cancel=True)
            if "id" in message:
                self._requests[id] = task
                task.add_done_callback(lambda _: self._requests.pop(id))

    async def _forward(self, message: dict[str, Any], line: bytes) -> None:
        try:
            if message.get("method") == "tools/call" and self._folders:
                line = await self._with_files(message) or line
            await self._ask(message, line)
        except ModelportError as error:
            content = [{"type": "text", "text": error.message}]
            self._say({"jsonrpc": "2.0", "id": message.get("id"), "result": {"content": content, "isError": True}})
        except (aiohttp.ClientError, OSError) as error:
            self._fail(message.get("id"), INTERNAL_ERROR, f"{self._url} cannot be reached: {error}")

    async def _ask(self, message: dict[str, Any], line: bytes) -> None:
        options: dict[str, Any] = {"headers": self._headers(message), "proxy": proxy_of(self._url)}
        async with self._session.post(self._url, data=line, **options) as response:
            if response.content_type == STREAM:
                async for text in response.content:
                    if text.startswith(b"data: "):
                        self._write(text[len(b"data: ") :])
                return
            body = await response.read()
            if "id" not in message:
                return
            answer = json.loads(body) if response.content_type == JSON else {}
            if answer.get("id") is None:
                unknown = {"code": INTERNAL_ERROR, "message": f"the server answered {response.status}"}
                error = answer.get("error") or unknown
                self._say({"jsonrpc": "2.0", "id": message["id"], "error": error})
            elif message.get("method") == "tools/list":
                self._say(self._listed(answer))
            else:
                self._write(body + b"\n")

    def _headers(self, message: dict[str, Any]) -> dict[str, str]:
        headers = {"Content-Type": JSON, "Accept": f"{JSON}, {STREAM}", **bearer(self._where.token)}
        params = _params(message)
        meta = params.get("_meta")
        version = meta.get(VERSION_KEY) if isinstance(meta, dict) else None
        if version is not None:
            headers |= {"MCP-Protocol-Version": _header(version), "Mcp-Method": _header(message.get("method"))}
            if "name" in params:
                headers["Mcp-Name"] = _header(params["name"])
        return headers

    # Files

    def _listed(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Remember which arguments are files, and tell of the folders."""
        folders = ", ".join(map(str, self._folders))
        for tool in answer.get("result", {}).get("tools", ()):
            files = self._files[tool["name"]] = set()
            for name, schema in tool["inputSchema"].get("properties", {}).items():
                items = schema.get("items")
                if FILE_FORMAT in (schema.get("format"), items.get("format") if isinstance(items, dict) else None):
                    files.add(name)
                    if folders:
                        schema["description"] += f" Or the path of a file in {folders}."
        return answer

    async def _with_files(self, message: dict[str, Any]) -> bytes | None:
        """The message with local files in it; None: there are none. Raises InvalidArguments."""
        arguments = _params(message).get("arguments")
        if not isinstance(arguments, dict):
            return None
        names = self._files.get(str(_params(message).get("name")), set()) & set(arguments)
        for name in names:
            value = arguments[name]
            several = isinstance(value, list)
            places = [await asyncio.to_thread(self._sent, name, place) for place in (value if several else [value])]
            arguments[name] = places if several else places[0]
        return json.dumps(message).encode() if names else None

    def _sent(self, name: str, place: Any) -> Any:
        """A file of the folders as a data: URI; what is not a path there stays. Raises InvalidArguments."""
        if not isinstance(place, str) or place.lower().startswith(ELSEWHERE):
            return place
        paths = [path for folder in self._folders if (path := (folder / place).resolve()).is_file()]
        if not paths:
            return place  # perhaps a key of the bucket
        allowed = [path for path in paths if any(map(path.is_relative_to, self._folders))]
        if not allowed:
            raise InvalidArguments(f"{name}: {place} is not in a folder of --files")
        path = allowed[0]
        if (size := path.stat().st_size) > FILE_LIMIT_BYTES:
            raise InvalidArguments(f"{name}: {place} has {size} bytes; at most {FILE_LIMIT_BYTES} can be sent")
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"

    def _say(self, message: dict[str, Any]) -> None:
        self._write(json.dumps(message, ensure_ascii=False).encode() + b"\n")

    def _fail(self, id: Any, code: int, text: str) -> None:
        self._say({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": text}})


def _params(message: dict[str, Any]) -> dict[str, Any]:
    params = message.get("params")
    return params if isinstance(params, dict) else {}


def _header(value: Any) -> str:
    """As a header may have it: beyond ASCII in base64."""
    text = str(value)
    if text.isascii() and text.isprintable() and not text.startswith("=?"):
        return text
    return f"=?base64?{base64.b64encode(text.encode('utf-8', 'replace')).decode()}?="


def _feed(lines: asyncio.StreamReader, loop: asyncio.AbstractEventLoop) -> None:
    """In a thread: an event loop can wait for a pipe, but not for a file or /dev/null."""
    with contextlib.suppress(RuntimeError):  # the loop has ended
        while line := sys.stdin.buffer.readline(LINE_LIMIT_BYTES):
            loop.call_soon_threadsafe(lines.feed_data, line)
        loop.call_soon_threadsafe(lines.feed_eof)


async def bridge(where: Where, name: str, folders: Sequence[Path]) -> None:
    """From stdin to stdout, until stdin ends."""

    def write(line: bytes) -> None:
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()

    lines = asyncio.StreamReader(limit=LINE_LIMIT_BYTES)
    threading.Thread(target=_feed, args=(lines, asyncio.get_running_loop()), daemon=True).start()
    # A prediction takes as long as it takes; whoever waits can cancel it.
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=30)
    # A progress or an answer is one line.
    async with aiohttp.ClientSession(timeout=timeout, read_bufsize=LINE_LIMIT_BYTES) as session:
        await Bridge(session, where, name, folders, write).run(lines)
