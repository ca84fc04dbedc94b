"""What a front end of another package is given: who asks, the deployments, and the road of a prediction."""

from __future__ import annotations

import asyncio
import mimetypes
import os
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, cast

from aiohttp import web

from modelport.contract.card import Argument, Card
from modelport.contract.magic import HEAD_BYTES, kind_of
from modelport.contract.prediction import Call, InputFile, Outcome
from modelport.deployments.deployments import Deployment as _Deployment
from modelport.deployments.streaming import CallStream
from modelport.errors import ModelportError
from modelport.executors import Watcher
from modelport.http import streaming
from modelport.http.body import BodyReader
from modelport.http.bucket_files import BucketFiles
from modelport.http.bucket_files import kind_of as kind_of_object
from modelport.http.gateway import Gateway
from modelport.http.names import harmless
from modelport.intake.calls import make_call
from modelport.intake.received import with_suffix
from modelport.intake.scratch import Scratch, open_answer, save
from modelport.intake.texts import ending as ending_of
from modelport.intake.texts import file_name
from modelport.settings import Setting, Settings

UNKNOWN = "application/octet-stream"


class Deployment(Protocol):
    """A module under a name: a service, or a module of the command line."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str:
        """For people; empty where it has none. So is `description`."""

    @property
    def description(self) -> str: ...

    @property
    def card(self) -> Card | None:
        """What the module takes and gives; None until it has been loaded once."""

    @property
    def state(self) -> str:
        """cold, loading, ready, busy or failed. A cold one wakes when it is called."""

    @property
    def is_ready(self) -> bool:
        """Whether a call would be answered: a service wakes for it, a module of the command line has to be warm."""

    @property
    def failure(self) -> ModelportError | None:
        """Why it cannot be used now."""

    async def wait_card(self) -> Card:
        """The card; a module that has never been loaded is loaded for it. Raises LoadFailed, Starting."""


class BodySource(Protocol):
    """A request's body, piece by piece. Raises TooLarge and other InvalidRequest."""

    async def read(self) -> bytes:
        """All of it."""

    async def peek(self, size: int) -> bytes:
        """At least the first `size` bytes, or all where there are fewer; they stay unread."""

    def chunks(self) -> AsyncIterable[bytes]: ...

    def take(self, size: int) -> AsyncIterable[bytes]:
        """The next `size` bytes."""


class FrontendContext:
    """Made by the server, one for each front end.

    options: the values of the settings that the front end declares, by name.
    """

    def __init__(self, gateway: Gateway, declared: Sequence[Setting]) -> None:
        self._gateway = gateway
        self._files = BucketFiles(gateway)
        self.options: Mapping[str, Any] = {setting.name: gateway.settings.value(setting) for setting in declared}

    @property
    def settings(self) -> Settings:
        """The server's own, by the names in docs/settings.md."""
        return self._gateway.settings

    # Who asks, and for what

    def find(self, request: web.Request, name: str) -> Deployment:
        """A deployment by its name, if the caller may call it.

        Raises Unauthorized, the same for one that is not there and one that is not the caller's; NotFound for callers
        who may know.
        """
        return self._gateway.find(request, name)

    def version(self, request: web.Request, deployment: Deployment) -> Deployment:
        """Which one answers a call of this deployment: it itself, or a version of it, by the share of calls that its
        owner has shifted. Ask once a call, before its arguments are read; the answer gets a header that tells."""
        called = cast(_Deployment, deployment)
        return called if called.shift is None else self._gateway.version(request, called)

    def visible(self, request: web.Request) -> list[Deployment]:
        """The deployments that this caller may call. Raises Unauthorized for a stranger where all need a token."""
        return list(self._gateway.visible(request))

    def is_owner(self, request: web.Request) -> bool:
        return self._gateway.is_owner(request)

    def models_ready(self) -> bool:
        """Whether all modules of the command line are warm."""
        return self._gateway.models_ready()

    def base_url(self, request: web.Request) -> str:
        """Where this server is for the client that asks, with `base_path`, without a final slash."""
        return self._gateway.base_url(request)

    def root(self, request: web.Request) -> str:
        """The path of that address, without a final slash: links begin with it."""
        return self._gateway.root(request)

    # A call

    def scratch(self) -> Scratch:
        """A folder for one call's files: `async with context.scratch() as scratch:`, around the answer, too."""
        return self._gateway.predictions.scratch()

    def check_room(self, deployment: Deployment) -> None:
        """Refuse before a long upload what would be refused after it. Raises Disabled, Overloaded, Cancelled."""
        self._gateway.check_room(cast(_Deployment, deployment))

    async def read_call(
        self, request: web.Request, deployment: Deployment, scratch: Scratch, method: str = "predict"
    ) -> Call:
        """The arguments in query, form, JSON body, headers and cookies as a call, files already on disk.

        Raises what is wrong with the request.
        """
        return await self._gateway.read_call(request, cast(_Deployment, deployment), scratch, method)

    def make_call(
        self,
        card: Card,
        values: Mapping[str, Any],
        scratch: Scratch,
        *,
        files: Sequence[InputFile] = (),
        method: str = "predict",
    ) -> Call:
        """A call from what the front end itself has read. values: by argument, as JSON can say them, not validated.

        Raises InvalidArguments where `values["accept"]` is none of the module's media types.
        """
        return make_call(card, method, dict(values), list(files), scratch)

    def reader(self, request: web.Request, limit: str = "client_max_size", *, as_sent: bool = False) -> BodySource:
        """The body piece by piece, for one that is large. limit: name of a setting that limits it, as client_max_size.

        as_sent: the bytes are as they come, whatever their Content-Encoding; who unpacks them limits what comes out.
        """
        return BodyReader(request, self._gateway.settings, limit, "client_max_size", as_sent=as_sent)

    async def save(self, content: bytes | AsyncIterable[bytes], scratch: Scratch, ending: str = "") -> Path:
        """A new file in the call's folder, for an `InputFile`. Raises StorageFull."""
        return await save(scratch, content, ending)

    def may_read_bucket(self, request: web.Request, deployment: Deployment) -> bool:
        """Whether the caller may read the files of this deployment's bucket: a service's token is not enough."""
        try:
            self._files.enter(request, deployment.name)
        except ModelportError:
            return False
        return True

    @asynccontextmanager
    async def bucket_file(
        self, request: web.Request, deployment: Deployment, key: str
    ) -> AsyncIterator[tuple[str, AsyncIterator[bytes]]]:
        """(media type, the content piece by piece) of a file in the deployment's bucket.

        Raises Unauthorized, NotFound, Disabled, BucketUnavailable, InvalidRequest.
        """
        bucket = self._files.enter(request, deployment.name)
        async with self._files.read(bucket, key) as (info, chunks):
            yield kind_of_object(info), chunks

    async def input_file(
        self,
        argument: Argument,
        content: bytes | AsyncIterable[bytes],
        scratch: Scratch,
        *,
        filename: str = "",
        media_type: str = "",
    ) -> InputFile:
        """A file for a file argument. What the client does not say of it, its first bytes tell. Raises StorageFull."""
        path = await self.save(content, scratch)
        guessed, ending = await asyncio.to_thread(_kind_of, path)
        media_type = media_type or mimetypes.guess_type(filename)[0] or guessed or UNKNOWN
        typical = None if media_type == UNKNOWN else mimetypes.guess_extension(media_type)
        ending = ending_of(filename) or ending or typical or ""
        name = file_name(filename, f"{file_name(argument.wire_name)}{ending}")
        return InputFile(argument.name, with_suffix(str(path), ending), argument.wire_name, media_type, name)

    async def json_file(self, argument: Argument, text: bytes, scratch: Scratch) -> InputFile:
        """A large value as JSON, which the model's process reads from a file, so that nobody waits for it here.

        Values up to `settings.json_small_bytes` are better in the call itself. Raises StorageFull.
        """
        path = await self.save(text, scratch)
        name = f"{file_name(argument.wire_name)}.json"
        return InputFile(argument.name, str(path), argument.wire_name, "application/json", name, value="json")

    async def predict(self, deployment: Deployment, call: Call, watcher: Watcher | None = None) -> Outcome:
        """Run a call, now or when a worker is free. Raises its error, so that only answers come back.

        A cancelled call is stopped: aiohttp cancels the handler of a client that leaves.
        """
        return await self._gateway.predict(cast(_Deployment, deployment), call, watcher)

    def stream(
        self, deployment: Deployment, call: Call, watcher: Watcher | None = None
    ) -> AbstractAsyncContextManager[CallStream]:
        """The same with each value of a generator as it comes: `async with context.stream(deployment, call) as values:`
        and `async for value in values:`, JSON as bytes. A model that returns no generator gives one value, its answer.

        The model waits for a slow reader, and leaving the block closes its generator. Raises as `predict`: what is
        refused before the first value, what fails after the last. Progress goes to `watcher`; its `value` is not
        called. The call has to be one for JSON: its `accept` is None or application/json.
        """
        return streaming.open_stream(self._gateway, cast(_Deployment, deployment), call, watcher)

    async def respond_stream(
        self, request: web.Request, deployment: Deployment, call: Call, media_type: str
    ) -> web.StreamResponse:
        """The whole answer of docs/streaming.md. media_type: text/event-stream, or else a value is a line."""
        return await streaming.respond(self._gateway, request, cast(_Deployment, deployment), call, media_type)

    async def read_answer(self, outcome: Outcome, limit_bytes: int | None = None) -> bytes:
        """The answer in memory, wherever it is: all of it, or its begin. `respond` sends it without reading it."""
        if outcome.path is None:
            return outcome.body[:limit_bytes]
        with open_answer(outcome.path) as file:
            return await asyncio.to_thread(file.read, -1 if limit_bytes is None else limit_bytes)

    async def answer_size(self, outcome: Outcome) -> int:
        """In bytes. Raises ModelFailed."""
        if outcome.path is None:
            return len(outcome.body)
        with open_answer(outcome.path) as file:
            return await asyncio.to_thread(file.seek, 0, os.SEEK_END)

    async def respond(
        self,
        request: web.Request,
        outcome: Outcome,
        *,
        before: bytes = b"",
        after: bytes = b"",
        media_type: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> web.StreamResponse:
        """The answer, with an envelope around it; a large one is sent from its file, piece by piece.

        What is not JSON is sent so that a browser does not run it as a page of ours.
        """
        safe = {} if outcome.is_json else harmless(media_type or outcome.media_type)
        return await self._gateway.respond(
            request, outcome, before=before, after=after, media_type=media_type, headers={**safe, **(headers or {})}
        )


def _kind_of(path: Path) -> tuple[str, str]:
    """(media type, ending); empty where they are not known."""
    with open(path, "rb") as file:
        return kind_of(file.read(HEAD_BYTES)) or ("", "")
