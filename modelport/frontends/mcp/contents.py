"""An answer as the content of a tool's result. A large one is kept for a while, and the result links to it."""

from __future__ import annotations

import asyncio
import base64
import mimetypes
import secrets
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import quote

from aiohttp import web
from msgspec import Raw

from modelport.extending import Card, FrontendContext, NotFound, Outcome, Scratch
from modelport.frontends.mcp.tools import has_output_schema

Result = dict[str, Any]

KEY, TOKEN_BYTES = "key", 32
TEXTS = ("application/xml", "application/yaml", "application/javascript")


def failed(text: str) -> Result:
    """What a language model reads, to try again."""
    return {"content": [{"type": "text", "text": text}], "isError": True}


def base_type(outcome: Outcome) -> str:
    return outcome.media_type.partition(";")[0].strip().lower()


def is_text(outcome: Outcome) -> bool:
    kind = base_type(outcome)
    return outcome.is_json or kind.startswith("text/") or kind in TEXTS or kind.endswith(("+xml", "+yaml"))


@dataclass
class Kept:
    """An answer that a link leads to. folder: closes its scratch folder."""

    outcome: Outcome
    size_bytes: int
    folder: AsyncExitStack
    end: asyncio.TimerHandle | None = None


class Results:
    """Results of calls. Large answers are kept, each at an address that cannot be guessed. They go after a while; the
    oldest go where all together are too large."""

    def __init__(self, context: FrontendContext) -> None:
        self._context = context
        self._kept: dict[str, Kept] = {}
        self._removing: set[asyncio.Task[None]] = set()

    async def of(self, card: Card, outcome: Outcome, base_url: str, folder: AsyncExitStack, scratch: Scratch) -> Result:
        """The result of one call. folder: closes its scratch folder; a link takes it over."""
        size, settings = await self._context.answer_size(outcome), self._context.settings
        link = partial(self._link, outcome, size, base_url, folder, scratch)
        if not is_text(outcome):
            if size > settings.mcp_inline_bytes:
                return {"content": [await link()]}
            return {"content": [_embedded(outcome, await self._context.read_answer(outcome))]}
        answer = await self._context.read_answer(outcome, settings.mcp_text_bytes)
        if size <= settings.mcp_text_bytes:
            result: Result = {"content": [_text(answer)]}
            return {**result, "structuredContent": {"result": Raw(answer)}} if outcome.is_json else result
        linked = await link()
        note = f"The answer has {size} bytes. Its first {len(answer)} are above; all of it is at {linked['uri']}"
        result = {"content": [_text(answer), _text(note.encode()), linked]}
        return {**result, "structuredContent": {"link": linked["uri"]}} if has_output_schema(card) else result

    async def _link(
        self, outcome: Outcome, size: int, base_url: str, folder: AsyncExitStack, scratch: Scratch
    ) -> dict[str, Any]:
        """What waits for hours is on the disk, not in memory."""
        if outcome.path is None:
            path = await self._context.save(outcome.body, scratch)
            outcome = replace(outcome, body=b"", path=str(path))
        token, settings = secrets.token_urlsafe(TOKEN_BYTES), self._context.settings
        kept = self._kept[token] = Kept(outcome, size, folder.pop_all())
        while len(self._kept) > 1 and sum(one.size_bytes for one in self._kept.values()) > settings.mcp_links_bytes:
            self._remove(next(iter(self._kept)))
        kept.end = asyncio.get_running_loop().call_later(settings.mcp_link_s, self._remove, token)
        name = (outcome.filename or "").strip(".") or f"result{mimetypes.guess_extension(base_type(outcome)) or ''}"
        # In the query, which the access log leaves out.
        uri = f"{base_url}/mcp/results/{quote(name, safe='')}?{KEY}={token}"
        return {"type": "resource_link", "uri": uri, "name": name, "mimeType": base_type(outcome), "size": size}

    def _remove(self, token: str) -> None:
        kept = self._kept.pop(token)
        if kept.end is not None:
            kept.end.cancel()
        task = asyncio.get_running_loop().create_task(kept.folder.aclose())
        self._removing.add(task)
        task.add_done_callback(self._removing.discard)

    async def close(self) -> None:
        for token in list(self._kept):
            self._remove(token)
        await asyncio.gather(*self._removing)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Raises NotFound."""
        kept = self._kept.get(request.query.get(KEY, ""))
        if kept is None:
            raise NotFound("this link has expired, or never was one")
        headers = {"Cache-Control": "private, no-store", "Referrer-Policy": "no-referrer"}
        return await self._context.respond(request, kept.outcome, headers=headers)


def _text(content: bytes) -> dict[str, Any]:
    """Cut anywhere, and text of any origin: what is not UTF-8 is replaced."""
    return {"type": "text", "text": content.decode("utf-8", "replace")}


def _embedded(outcome: Outcome, content: bytes) -> dict[str, Any]:
    kind, text = base_type(outcome), base64.b64encode(content).decode()
    for family in ("image", "audio"):
        if kind.startswith(f"{family}/"):
            return {"type": family, "data": text, "mimeType": kind}
    uri = f"modelport://answers/{secrets.token_hex(8)}"
    return {"type": "resource", "resource": {"uri": uri, "mimeType": kind, "blob": text}}
