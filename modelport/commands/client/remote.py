"""A model on a server, asked through its DEEPaaS V2 API."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any
from urllib.parse import quote, unquote

import aiohttp
import msgspec

from modelport import errors
from modelport.commands.client.connection import CONNECT_S, ERROR_LIMIT_BYTES, KINDS, reason
from modelport.commands.client.remote_card import choose_model, has_envelope, read_card
from modelport.commands.client.where import Unreachable
from modelport.commands.model.given import Given, literal_list
from modelport.commands.model.models import Answer, Progress
from modelport.contract.card import Argument, Card
from modelport.errors import DeadlineExceeded, ModelFailed, ModelportError, NotFound, NotImplementedByModel

# A training is asked about so often: soon after the start, later less.
POLL_FIRST_S, POLL_LAST_S = 0.1, 2.0
CANCEL_S = 5.0
BEFORE = re.compile(rb'\{\s*"status"\s*:\s*"OK"\s*,\s*"predictions"\s*:\s*')


class RemoteModel:
    """See `Model`. url: of the server, or of one of its models."""

    def __init__(self, url: str, name: str | None, token: str, timeout_s: float | None) -> None:
        base, _, rest = url.partition("/v2/models/")
        if "://" not in base:
            base = f"http://{base}"
        self.base = base.rstrip("/").removesuffix("/v2")
        self._wanted = name or unquote(rest.partition("/")[0]) or None
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._timeout_s = timeout_s

    async def __aenter__(self) -> RemoteModel:
        timeout = aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=CONNECT_S)
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=timeout, auto_decompress=True)
        try:
            document, name = await self._found()
            self._path = f"/v2/models/{quote(name, safe='')}/"
            self.card: Card = read_card(document, name, await self._metadata())
            self._envelope = has_envelope(document, name)
        except BaseException:
            await self._session.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def _found(self) -> tuple[Mapping[str, Any], str]:
        """(the server's document, the model's name). A service that was never loaded is not in it before it is asked
        for by its name."""
        document = await self._document()
        try:
            return document, choose_model(document, self._wanted)
        except NotFound:
            if self._wanted is None:
                raise
            try:
                await self._get(f"/v2/models/{quote(self._wanted, safe='')}/")
            except (NotFound, ModelFailed):
                pass  # said again below
            document = await self._document()
            return document, choose_model(document, self._wanted)

    async def _document(self) -> Mapping[str, Any]:
        try:
            document: Mapping[str, Any] = await self._get("/swagger.json")
            return document
        except NotFound as error:
            raise Unreachable(f"{self.base} has no DEEPaaS V2 API: it answers 404") from error

    async def _metadata(self) -> Mapping[str, Any]:
        try:
            metadata: Mapping[str, Any] = await self._get(self._path)
            return metadata
        except ModelFailed:
            return {}  # get_metadata fails; the model may work

    async def _get(self, path: str) -> Any:
        async with self._request("GET", path) as response:
            return _decoded(await response.read(), path)

    @contextlib.asynccontextmanager
    async def _request(self, method: str, path: str, **options: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        """A successful response. Raises ModelportError for all else."""
        try:
            async with self._session.request(method, self.base + path, **options) as response:
                if response.status >= 400:
                    raise await _error(response)
                yield response
        except TimeoutError as error:
            if self._timeout_s is None:
                raise Unreachable(f"no connection to {self.base} within {CONNECT_S:g} s") from error
            raise DeadlineExceeded(f"no answer within {self._timeout_s:g} s") from error
        except (aiohttp.ClientError, ValueError) as error:
            raise Unreachable(f"{self.base} cannot be reached: {reason(error)}") from error

    @contextlib.asynccontextmanager
    async def ask(self, method: str, given: Given, progress: Progress | None = None) -> AsyncIterator[Answer]:
        with contextlib.ExitStack() as open_files:
            options = _options(self.card, method, given, open_files)
            if method == "train":
                yield await self._train(options, progress)
                return
            async with self._request("POST", self._path + "predict/", **options) as response:
                chunks = response.content.iter_chunked(1 << 18)
                answer = Answer(response.content_type, chunks)
                yield Answer("application/json", _inside(chunks)) if answer.is_json and self._envelope else answer

    async def submit(self, method: str, given: Given) -> dict[str, Any]:
        """Have a call made as a job; its document, or the beginning of it.

        Raises NotImplementedByModel where the server has no jobs.
        """
        with contextlib.ExitStack() as open_files:
            options = _options(self.card, method, given, open_files)
            options["headers"]["Prefer"] = "respond-async"
            async with self._request("POST", f"{self._path}{method}/", **options) as response:
                if method == "predict" and response.status != 202:
                    raise NotImplementedByModel(f"{self.base} has no jobs: it is no modelport server, or an older one")
                document: dict[str, Any] = _decoded(await response.read(), "the answer")
                if method == "train":  # always a job, and answered as DEEPaaS does
                    return {"id": document["uuid"], "deployment": self.card.name, "method": method, "status": "queued"}
                return document

    # Training

    async def _train(self, options: dict[str, Any], progress: Progress | None) -> Answer:
        async with self._request("POST", self._path + "train/", **options) as response:
            training = _decoded(await response.read(), "train")
        path = f"{self._path}train/{training['uuid']}"
        try:
            result = await self._wait(path, progress)
        except (asyncio.CancelledError, DeadlineExceeded):
            with contextlib.suppress(ModelportError, TimeoutError):
                async with asyncio.timeout(CANCEL_S), self._request("DELETE", path):
                    pass
            raise
        return Answer("application/json", _once(bytes(result)))

    async def _wait(self, path: str, progress: Progress | None) -> msgspec.Raw:
        """What the training returned, its JSON unread."""
        pause_s = POLL_FIRST_S
        try:
            async with asyncio.timeout(self._timeout_s):
                while True:
                    async with self._request("GET", path) as response:
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


# Requests


def _options(card: Card, method: str, given: Given, open_files: contextlib.ExitStack) -> dict[str, Any]:
    """Each argument where the server's document says that it travels; files are streamed from disk."""
    known = {each.name: each for each in card.arguments(method)}
    query: list[tuple[str, str]] = []
    headers: dict[str, str] = {}
    document: dict[str, Any] = {}
    # File names as they are, not percent-encoded.
    form = aiohttp.FormData(quote_fields=False)
    in_form = bool(given.files)
    for name, value in given.values.items():
        argument = known[name]
        texts = _texts(argument, value)
        if argument.location == "headers":
            headers[argument.wire_name] = texts[0]
        elif argument.location == "json":
            document[argument.wire_name] = value
        elif argument.location == "form":
            in_form = True
            for text in texts:
                form.add_field(argument.wire_name, text)
        else:
            query += [(argument.wire_name, text) for text in texts]
    for file in given.files:
        opened = open_files.enter_context(file.path.open("rb"))
        form.add_field(file.argument.wire_name, opened, filename=file.path.name, content_type=file.content_type)
    options: dict[str, Any] = {"params": query, "headers": headers}
    if document and in_form:
        raise errors.InvalidRequest("this model takes a file or form and JSON, which one request cannot carry")
    if document:
        options["json"] = document
    elif in_form:
        options["data"] = form
    return options


def _texts(argument: Argument, value: Any) -> list[str]:
    """A list that was written as one text goes as several values, which every server reads."""
    if isinstance(value, list):
        return [str(each) for each in value]
    several = literal_list(value) if argument.multiple and not argument.is_file else None
    if several is None:
        return [str(value)]
    return [each if isinstance(each, str) else json.dumps(each) for each in several]


# Answers


def _decoded(body: bytes, what: str) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise Unreachable(f"{what} is not the JSON of a DEEPaaS V2 API: {error}") from error


async def _error(response: aiohttp.ClientResponse) -> ModelportError:
    body = await response.content.read(ERROR_LIMIT_BYTES)
    kind = KINDS.get(response.status, "model_failed")
    fields: Any = {}
    message = ""
    try:
        document = msgspec.json.decode(body)
    except msgspec.DecodeError:
        # deepaas and modelport put the status in front.
        message = re.sub(r"^\d{3}: ", "", body.decode(errors="replace").strip())
    else:
        if isinstance(document, dict) and isinstance(document.get("message"), str):
            message = document["message"]
        elif isinstance(document, dict):
            fields = document
        else:
            message = str(document)
    if not message:
        message = f"the server answered {response.status} {response.reason or ''}".strip()
    return errors.KINDS[kind](message, fields=fields)


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def _inside(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """What stands in the envelope, its bytes as they are: numbers are not read and written anew."""
    head = b""
    async for chunk in chunks:
        head += chunk
        if len(head) >= 64:  # the opening is shorter
            break
    opening = BEFORE.match(head)
    if opening is None:
        yield head
        async for chunk in chunks:
            yield chunk
        return
    held = head[opening.end() :]
    async for chunk in chunks:
        # The last brace, and blanks after it, are the envelope's; so one piece is always kept back.
        if chunk.strip(b" \r\n"):
            yield held
            held = chunk
        else:
            held += chunk
    yield held.rstrip().removesuffix(b"}")
