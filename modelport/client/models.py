"""Models of a server, asked through its DEEPaaS V2 API: modelport's, or deepaas' own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any
from urllib.parse import quote

import msgspec

from modelport.client.calls import EVENTS, Answer, CallArguments, Progress, answer_of, once, options, streamed
from modelport.client.jobs import Document, Jobs
from modelport.client.swagger import choose_model, has_envelope, read_card
from modelport.client.where import Unreachable
from modelport.contract.card import Card
from modelport.errors import DeadlineExceeded, ModelFailed, ModelportError, NotFound, NotImplementedByModel

# A training is asked about so often: soon after the start, later less.
POLL_FIRST_S, POLL_LAST_S = 0.1, 2.0
CANCEL_S = 5.0


class RemoteModel:
    """One model of a server. ours: the server is modelport. timeout_s: of a call, of a training."""

    def __init__(self, server: Jobs, card: Card, *, ours: bool, envelope: bool) -> None:
        self.card = card
        self.server = server
        self._path = f"/v2/models/{quote(card.name, safe='')}/"
        self._ours = ours
        self._envelope = envelope
        self._timeout_s = server.timeout_s

    @contextlib.asynccontextmanager
    async def ask(
        self, method: str, arguments: CallArguments, progress: Progress | None = None
    ) -> AsyncIterator[Answer]:
        """Call predict or train; whoever leaves a training cancels it. Raises ModelportError, OSError."""
        if method == "train":
            yield await self._train(arguments, progress)
            return
        async with self._post("predict", arguments) as response:
            yield answer_of(response, envelope=self._envelope)

    async def stream(self, arguments: CallArguments) -> AsyncGenerator[bytes, None]:
        """Call predict; each value of a generator as it comes, as JSON. Raises ModelportError, OSError."""
        async with self._post("predict", arguments, Accept=EVENTS) as response:
            try:
                async for value in streamed(response):
                    yield value
            except EOFError as error:
                raise self.server.where.refused(str(error)) from error

    @contextlib.asynccontextmanager
    async def _post(self, method: str, arguments: CallArguments, **headers: str) -> AsyncIterator[Any]:
        with contextlib.ExitStack() as files:
            request = options(self.card, method, arguments, files, ours=self._ours)
            others = {name: value for name, value in request["headers"].items() if name.title() not in headers}
            request["headers"] = {**others, **headers}
            path = f"{self._path}{method}/"
            async with self.server.request("POST", path, timeout_s=self._timeout_s, **request) as response:
                yield response

    async def submit(self, method: str, arguments: CallArguments) -> Document:
        """Have a call made as a job; its document, or the beginning of it.

        Raises NotImplementedByModel where the server has no jobs.
        """
        async with self._post(method, arguments, Prefer="respond-async") as response:
            if method == "predict" and response.status != 202:
                url = self.server.where.url
                raise NotImplementedByModel(f"{url} has no jobs: it is not a modelport server, or an older one")
            document: Document = await self.server.decoded(response)
            if method == "train":  # always a job, and answered as DEEPaaS does
                return {"id": document["uuid"], "deployment": self.card.name, "method": method, "status": "queued"}
            return document

    async def _train(self, arguments: CallArguments, progress: Progress | None) -> Answer:
        async with self._post("train", arguments) as response:
            training = await self.server.decoded(response)
        path = f"{self._path}train/{training['uuid']}"
        try:
            result = await self._wait(path, progress)
        except (asyncio.CancelledError, DeadlineExceeded):
            with contextlib.suppress(ModelportError, TimeoutError):
                async with asyncio.timeout(CANCEL_S), self.server.request("DELETE", path):
                    pass
            raise
        return Answer("application/json", once(bytes(result)))

    async def _wait(self, path: str, progress: Progress | None) -> msgspec.Raw:
        """What the training returned, its JSON unread."""
        pause_s = POLL_FIRST_S
        try:
            async with asyncio.timeout(self._timeout_s):
                while True:
                    async with self.server.request("GET", path) as response:
                        training = msgspec.json.decode(await response.read(), type=_Training)
                    if training.status == "done" and training.result is not None:
                        return training.result.output
                    if training.status == "cancelled":
                        raise ModelFailed("the training was cancelled")
                    if training.status != "running":
                        raise ModelFailed(training.message or "the training failed; the server's log says why")
                    if training.progress is not None and progress is not None:
                        progress(training.progress.fraction, training.progress.message)
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, POLL_LAST_S)
        except TimeoutError:
            raise DeadlineExceeded(f"the training took longer than {self._timeout_s:g} s and was cancelled") from None


class _Result(msgspec.Struct):
    output: msgspec.Raw = msgspec.Raw(b"null")


class _Progress(msgspec.Struct):
    fraction: float | None = None
    message: str = ""


class _Training(msgspec.Struct):
    status: str
    message: str = ""
    result: _Result | None = None
    progress: _Progress | None = None


class Models(Jobs):
    """Finds models."""

    async def model(self, name: str | None = None) -> RemoteModel:
        """A model by its name, or the only one. Raises NotFound, Unauthorized, InvalidRequest."""
        document: Document = {}
        if name is None:
            document = await self._document("GET", "/swagger.json", timeout_s=self.timeout_s)
            name = choose_model(document, None)
        try:
            plain = await self._document("GET", f"/deployments/{quote(name, safe='')}/card")
            card = Card.from_plain({**plain, "name": name})
            return RemoteModel(self, card, ours=True, envelope=card.answer_schema is None)
        except Unreachable as error:
            if error.__cause__ is not None:  # nobody is there
                raise
        except NotFound:
            pass  # said below, with what there is
        document = document or await self._document("GET", "/swagger.json", timeout_s=self.timeout_s)
        choose_model(document, name)
        try:
            path = f"/v2/models/{quote(name, safe='')}/"
            metadata = await self._document("GET", path, timeout_s=self.timeout_s)
        except ModelFailed:
            metadata = {}  # get_metadata fails; the model may work
        card = read_card(document, name, metadata)
        return RemoteModel(self, card, ours=False, envelope=has_envelope(document, name))

    async def card(self, name: str) -> Card:
        """What a model is, takes and gives; waits until it is loaded."""
        return (await self.model(name)).card
