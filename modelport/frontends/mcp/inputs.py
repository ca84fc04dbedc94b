"""What a tool is called with, as values and files of a call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec
from aiohttp import web
from msgspec import Raw
from yarl import URL

from modelport.extending import (
    Argument,
    Card,
    Deployment,
    Fetcher,
    FrontendContext,
    InputFile,
    InvalidArguments,
    InvalidJson,
    NotFound,
    Scratch,
    aside,
    decode_data_uri,
    is_data_uri,
)
from modelport.frontends.mcp.tools import answer_type, arguments

SHOWN_CHARS = 100
fault = InvalidArguments.of

# (media type, the content piece by piece).
Source = AbstractAsyncContextManager[tuple[str, AsyncIterator[bytes]]]


def by_name(card: Card) -> dict[str, Argument]:
    return {argument.wire_name: argument for argument in arguments(card)}


def decoded(name: str, text: bytes, type: Any = Any) -> Any:
    try:
        return msgspec.json.decode(text, type=type)
    except msgspec.ValidationError as error:
        raise fault(name, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidJson(f"{name} is not valid JSON: {error}") from error


class Reader:
    """Reads the arguments of one call: values, and files."""

    def __init__(
        self, context: FrontendContext, request: web.Request, deployment: Deployment, fetcher: Fetcher, scratch: Scratch
    ) -> None:
        self._context, self._request, self._deployment = context, request, deployment
        self._fetcher, self._scratch = fetcher, scratch
        self.values: dict[str, Any] = {}
        self.files: list[InputFile] = []

    async def read(self, card: Card, sent: Mapping[str, Raw]) -> None:
        """Raises InvalidArguments, InvalidRequest, NotFound, TooLarge, StorageFull."""
        known = card.derive(by_name)
        for name, raw in sent.items():
            argument = known.get(name)
            if argument is None:
                listed = ", ".join(known) or "none"
                raise fault(name[:SHOWN_CHARS], f"there is no such argument; the arguments are {listed}")
            # null without meaning is how many language models leave out what is optional.
            if (text := bytes(raw)) != b"null" or (argument.nullable and not argument.is_file):
                await self._argument(argument, text)
        if card.accept is not None and "accept" not in self.values and (accept := answer_type(card)) is not None:
            self.values["accept"] = accept

    async def _argument(self, argument: Argument, text: bytes) -> None:
        if argument.is_file:
            await self._files(argument, text)
        elif len(text) > self._context.settings.json_small_bytes:
            self.files.append(await self._context.json_file(argument, text, self._scratch))
        else:
            self.values[argument.name] = decoded(argument.wire_name, text)

    async def _files(self, argument: Argument, text: bytes) -> None:
        name = argument.wire_name
        places: str | list[str] = await aside(len(text), decoded, name, text, str | list[str])
        if isinstance(places, list) and argument.type == "file":
            raise fault(name, "one file is taken, not a list")
        places = [places] if isinstance(places, str) else places
        if len(places) > (most := self._context.settings.form_limit_parts):
            raise fault(name, f"{len(places)} files are too many; at most {most} are taken (form_limit_parts)")
        for place in places:
            self.files.append(await self._file(argument, place))

    async def _file(self, argument: Argument, place: str) -> InputFile:
        name = argument.wire_name
        if is_data_uri(place):
            try:
                content, media_type = await aside(len(place), decode_data_uri, place)
            except ValueError as error:
                raise fault(name, f"the data: URI cannot be read: {error}") from error
            return await self._context.input_file(argument, content, self._scratch, media_type=media_type)
        if place.lower().startswith(("http://", "https://")):
            if not self._fetcher.hosts:
                raise fault(name, "this server fetches no files by URL (mcp_fetch_hosts); send a data: URI")
            return await self._copied(argument, self._fetcher.fetch(place, name), URL(place).name)
        if not self._context.may_read_bucket(self._request, self._deployment):
            raise fault(name, f"{place[:SHOWN_CHARS]!r} is not a data: URI with base64")
        key = place.removeprefix("bucket:")
        source = self._context.bucket_file(self._request, self._deployment, key)
        return await self._copied(argument, source, key.rpartition("/")[2])

    async def _copied(self, argument: Argument, source: Source, filename: str) -> InputFile:
        try:
            async with source as (media_type, content):
                return await self._context.input_file(
                    argument, content, self._scratch, filename=filename, media_type=media_type
                )
        except NotFound as error:
            raise fault(argument.wire_name, f"{filename[:SHOWN_CHARS]!r} is not in the bucket") from error
