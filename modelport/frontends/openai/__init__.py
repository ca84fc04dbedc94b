"""The part of OpenAI's API that plugins declare themselves for: embeddings and chat. See docs/openai.md.

A plugin says so in its metadata: `"openai": "embeddings"` takes `input`, a list of texts, and returns a list of lists
of numbers; `"openai": "chat"` takes `messages` and returns text.
"""

from __future__ import annotations

import base64
import json
import struct
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, ClassVar, Literal

import msgspec
from aiohttp import web
from msgspec import Raw

from modelport.extending import (
    Access,
    Call,
    CallStream,
    Card,
    Deployment,
    ExampleCall,
    Frontend,
    GreetingRow,
    InputFile,
    InvalidArguments,
    InvalidJson,
    InvalidRequest,
    ModelFailed,
    ModelportError,
    NotFound,
    Route,
    Scratch,
    Snippet,
    aside,
    json_answer,
)
from modelport.frontends.openai.documents import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatRequest,
    Choice,
    ChunkChoice,
    Delta,
    Embedding,
    Embeddings,
    EmbeddingsRequest,
    Failure,
    Fault,
    Message,
    Model,
    Models,
)

JSON = "application/json"
# The member of a plugin's metadata that says what it is, and its values.
DECLARED, EMBEDDINGS, CHAT = "openai", "embeddings", "chat"
CALL_ERRORS = (400, 401, 404, 413, 500, 503, 504)
SNIPPETS = {
    EMBEDDINGS: """\
import openai

client = openai.OpenAI(base_url={url}, api_key={key})
answer = client.embeddings.create(model={model}, input=["a text", "another text"]{extra})
print([one.embedding for one in answer.data])
""",
    CHAT: """\
import openai

client = openai.OpenAI(base_url={url}, api_key={key})
messages = [{{"role": "user", "content": "Hello"}}]
answer = client.chat.completions.create(model={model}, messages=messages{extra})
print(answer.choices[0].message.content)
""",
}
STREAM = "text/event-stream"
STREAM_HEADERS = {"Content-Type": STREAM, "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
KINDS = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


class OpenaiFrontend(Frontend):
    """`/v1/models`, `/v1/embeddings`, `/v1/chat/completions`."""

    segments = ("v1",)
    # Clients tell a wrong request from a failure by 400.
    statuses: ClassVar[Mapping[str, int]] = {"invalid_arguments": 400}

    tag, failure = "openai", Failure

    def routes(self) -> Iterable[Route]:
        caller, reads = Access.CALLER, (401, 404)
        return [
            Route("GET", "/v1/models", self.models, caller, "The models for embeddings and chat", {200: Models}, reads),
            Route("GET", "/v1/models/{name}", self.model, caller, "One of these models", {200: Model}, reads),
            Route(
                "POST",
                "/v1/embeddings",
                self.embeddings,
                summary="Embed texts",
                answers={200: Embeddings},
                errors=CALL_ERRORS,
                body=EmbeddingsRequest,
            ),
            Route(
                "POST",
                "/v1/chat/completions",
                self.chat,
                summary="Answer a conversation",
                answers={200: {JSON: ChatCompletion, STREAM: ChatCompletionChunk}},
                errors=CALL_ERRORS,
                body=ChatRequest,
            ),
        ]

    def greeting(self) -> Iterable[GreetingRow]:
        return [GreetingRow("/v1", "OpenAI's API, for the models that declare themselves for embeddings or chat")]

    def error(self, error: ModelportError, status: int) -> web.Response:
        kind = KINDS.get(status, "invalid_request_error" if status < 500 else "server_error")
        return json_answer(Failure(Fault(error.message, kind, next(iter(error.fields), None), error.kind)), status)

    def snippets(self, call: ExampleCall) -> Iterable[Snippet]:
        kind = _kind(call.card)
        if not kind:
            return []
        more = {name: value for name, value in call.values.items() if name not in ("input", "messages")}
        extra = f", extra_body={more!r}" if more else ""
        url, key, model = (json.dumps(text) for text in (f"{call.url}/v1", call.token or "any", call.name))
        text = SNIPPETS[kind].format(url=url, key=key, model=model, extra=extra)
        return [Snippet("Python: openai", text)]

    # Models

    async def models(self, request: web.Request) -> web.Response:
        """A service that has never been loaded is not there yet: nobody knows what it is."""
        visible = self.context.visible(request)
        return json_answer(Models([Model(one.name) for one in visible if one.card is not None and _kind(one.card)]))

    async def model(self, request: web.Request) -> web.Response:
        deployment = self.context.find(request, request.match_info["name"])
        if not _kind(await deployment.wait_card()):
            raise NotFound(f"the model {deployment.name} declares itself neither for {EMBEDDINGS} nor for {CHAT}")
        return json_answer(Model(deployment.name))

    # Calls

    async def embeddings(self, request: web.Request) -> web.Response:
        text = await self._read(request)
        sent = _decoded(text, EmbeddingsRequest)
        inputs = [sent.input] if isinstance(sent.input, str) else sent.input
        arguments = {"input": msgspec.json.encode(inputs)}
        async with self._call(request, sent.model, EMBEDDINGS, text, arguments) as (deployment, call):
            answer = await self._answer(deployment, call, EMBEDDINGS)
        vectors = await aside(len(answer), _vectors, answer, len(inputs))
        encode: Callable[[list[float]], Any] = _base64 if sent.encoding_format == "base64" else list
        listed = [Embedding(index, encode(vector)) for index, vector in enumerate(vectors)]
        return json_answer(Embeddings(sent.model, listed))

    async def chat(self, request: web.Request) -> web.StreamResponse:
        text = await self._read(request)
        sent = _decoded(text, ChatRequest)
        if sent.n not in (None, 1):
            raise InvalidArguments.of("n", f"{sent.n} answers were asked for, and only one is given; leave n out")
        id, created = f"chatcmpl-{uuid.uuid4().hex}", int(time.time())
        async with self._call(request, sent.model, CHAT, text, {"messages": bytes(sent.messages)}) as (
            deployment,
            call,
        ):
            if sent.stream:
                async with self.context.stream(deployment, call) as values:
                    return await self._stream(request, values, partial(_chunk, id, created, sent.model))
            answer = await self._answer(deployment, call, CHAT)
        content = await aside(len(answer), _content, answer)
        return json_answer(ChatCompletion(id, created, sent.model, [Choice(Message(content))]))

    async def _stream(
        self, request: web.Request, values: CallStream, chunk: Callable[..., bytes]
    ) -> web.StreamResponse:
        """chunk: makes a message. Raises what is wrong before the first value."""
        taken = await values.take()
        response = web.StreamResponse(headers=STREAM_HEADERS)
        await response.prepare(request)
        await response.write(chunk(Delta("assistant", "")))
        try:
            while taken is None or taken:
                # A comment, for proxies that close what is silent.
                chunks = [chunk(Delta(content=_content(value))) for value in taken or ()]
                await response.write(b"".join(chunks) or b":\n\n")
                taken = await values.take(self.context.settings.heartbeat_s)
        except ModelportError as error:
            body = self.error(error, 500).body
            assert isinstance(body, bytes)
            await response.write(_message(body))
        else:
            await response.write(chunk(Delta(), "stop") + _message(b"[DONE]"))
        await response.write_eof()
        return response

    async def _read(self, request: web.Request) -> bytes:
        return await self.context.reader(request, "openai_limit_bytes").read()

    @asynccontextmanager
    async def _call(
        self, request: web.Request, name: str, kind: str, text: bytes, arguments: Mapping[str, bytes]
    ) -> AsyncIterator[tuple[Deployment, Call]]:
        """text: of the request. arguments: JSON, by name."""
        deployment = self.context.version(request, self.context.find(request, name))
        self.context.check_room(deployment)
        async with self.context.scratch() as scratch:
            card = await deployment.wait_card()
            _check_kind(deployment, card, kind)
            members = {**msgspec.json.decode(text, type=dict[str, Raw]), **arguments}
            values, files = await self._arguments(card, members, scratch)
            yield deployment, self.context.make_call(card, values, scratch, files=files)

    async def _answer(self, deployment: Deployment, call: Call, kind: str) -> bytes:
        """What the model returned, as JSON."""
        outcome = await self.context.predict(deployment, call)
        if not outcome.is_json:
            raise ModelFailed(f"the model's answer is {outcome.media_type}; for {kind} it must be JSON")
        return await self.context.read_answer(outcome)

    async def _arguments(
        self, card: Card, members: Mapping[str, Any], scratch: Scratch
    ) -> tuple[dict[str, Any], list[InputFile]]:
        """Members that are no arguments are ignored: clients send many that a model need not have. So is null."""
        values: dict[str, Any] = {}
        files: list[InputFile] = []
        for argument in card.predict_args:
            value = bytes(members.get(argument.wire_name, b"null"))
            if value == b"null" or argument.name == "accept" or argument.is_file:
                continue
            if len(value) <= self.context.settings.json_small_bytes:
                values[argument.name] = _decoded(value, Any)  # what is Raw has not been looked into
            else:
                files.append(await self.context.json_file(argument, value, scratch))
        return values, files


def _kind(card: Card) -> str:
    """Empty: it has not declared itself."""
    kind = card.metadata.get(DECLARED)
    return kind if kind in (EMBEDDINGS, CHAT) else ""


def _check_kind(deployment: Deployment, card: Card, kind: str) -> None:
    """Raises NotFound, ModelFailed."""
    if _kind(card) != kind:
        raise NotFound(
            f'the model {deployment.name} is not for {kind}: its metadata do not have "{DECLARED}": "{kind}"'
        )
    needed = "input" if kind == EMBEDDINGS else "messages"
    if not any(argument.wire_name == needed for argument in card.predict_args):
        raise ModelFailed(f"the model {deployment.name} declares itself for {kind}, and has no argument {needed}")


def _decoded(text: bytes, type: Any) -> Any:
    try:
        return msgspec.json.decode(text, type=type)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"the request is not what this endpoint takes: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidJson(f"the body is not valid JSON: {error}") from error


def _vectors(answer: bytes, number: int) -> list[list[float]]:
    """Raises ModelFailed."""
    try:
        vectors: list[list[float]] = msgspec.json.decode(answer, type=list[list[float]])
    except msgspec.DecodeError as error:
        raise ModelFailed(f"the model's answer is not a list of lists of numbers: {error}") from error
    if len(vectors) != number:
        raise ModelFailed(f"the model returned {len(vectors)} vectors for {number} texts")
    return vectors


def _base64(vector: list[float]) -> str:
    """Raises ModelFailed."""
    try:
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    except OverflowError as error:
        raise ModelFailed("the model's answer has a number that is too large for FP32") from error


def _content(answer: bytes) -> str:
    """A text, or a list of texts, such as a generator of them makes. Raises ModelFailed."""
    try:
        content: str | list[str] = msgspec.json.decode(answer, type=str | list[str])
    except msgspec.DecodeError as error:
        raise ModelFailed(f"the model's answer is not text: {error}") from error
    return content if isinstance(content, str) else "".join(content)


def _chunk(id: str, created: int, model: str, delta: Delta, reason: Literal["stop"] | None = None) -> bytes:
    choices = [ChunkChoice(delta, finish_reason=reason)]
    return _message(msgspec.json.encode(ChatCompletionChunk(id, created, model, choices)))


def _message(data: bytes) -> bytes:
    return b"data: %b\n\n" % data
