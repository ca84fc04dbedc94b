"""An answer as output tensors, in JSON or in binary.

A model without a `schema` has one output, `result`: its JSON as text, or the bytes of its file. A model with one has an
output for each field, and one for each column where it answers with a list of records. `result` can be asked for there,
too.
"""

from __future__ import annotations

import base64
import dataclasses
import os
import uuid
from typing import Any

import msgspec
from aiohttp import web
from msgspec import UNSET

from modelport.extending import Card, FrontendContext, InvalidRequest, Outcome, aside
from modelport.frontends.kserve.arguments import CONTENT_TYPE, JSON, TensorSpec, spec_of
from modelport.frontends.kserve.documents import (
    VERSION,
    InferenceRequest,
    InferenceResponse,
    OutputTensor,
    Parameters,
    TensorMetadata,
)
from modelport.frontends.kserve.reading import DATA_SIZE, HEAD_LENGTH, LIMIT
from modelport.frontends.kserve.tensors import BYTES, LENGTH_BYTES, flattened, length_of, shown, to_binary

RESULT = "result"
WHOLE = TensorMetadata(RESULT, BYTES, [1])
# The length of an element of BYTES has four bytes.
MAX_ELEMENT_BYTES = (1 << 8 * LENGTH_BYTES) - 1
BINARY = "application/octet-stream"
JSON_TYPE = "application/json"

FITS = {
    "string": lambda value: type(value) is str,
    "integer": lambda value: type(value) is int and -(2**63) <= value < 2**63,
    "number": lambda value: type(value) in (int, float),
    "boolean": lambda value: type(value) is bool,
}


# What a model has


def columns(card: Card) -> dict[str, TensorSpec]:
    """The fields of its schema, by name; none where it has no schema."""
    schema = card.answer_schema
    return {} if schema is None else {field.wire_name: spec_of(field) for field in schema.fields}


def outputs(card: Card) -> list[TensorMetadata]:
    many = int(card.answer_schema is not None and card.answer_schema.many)
    return [spec.metadata({}, dimensions=many) for spec in card.derive(columns).values()] or [WHOLE]


# Answering


class Answers:
    """Writes the answer to one request."""

    def __init__(
        self, context: FrontendContext, request: web.Request, name: str, sent: InferenceRequest, card: Card
    ) -> None:
        """Raises InvalidRequest for an output that the model does not have."""
        self._context, self._request, self._name, self._card = context, request, name, card
        self._id = str(uuid.uuid4()) if sent.id is None else sent.id
        known = [*card.derive(columns)] or [RESULT]
        wishes = {output.name: (output.parameters or {}).get("binary_data") for output in sent.outputs or ()}
        for output in wishes:
            if output not in (*known, RESULT):
                raise InvalidRequest(f"there is no output {shown(output)}; the outputs are {', '.join(known)}")
        self._names = [*wishes] or None  # None: it asks for none, and gets all
        self._binary = {output: wish for output, wish in wishes.items() if isinstance(wish, bool)}
        self._otherwise = (sent.parameters or {}).get("binary_data_output") is True

    def _is_binary(self, name: str) -> bool:
        return self._binary.get(name, self._otherwise)

    async def respond(self, outcomes: list[Outcome]) -> web.StreamResponse:
        """outcomes: of each item. Raises InvalidRequest where they cannot be sent as it was asked for."""
        card, first = self._card, outcomes[0]
        fields = card.derive(columns)
        kinds = {outcome.media_type for outcome in outcomes}
        if len(kinds) > 1:
            raise InvalidRequest(f"the items have answers of different types, {', '.join(kinds)}: send one at a time")
        if first.is_json and fields and self._names != [RESULT]:
            bodies = await self._read(outcomes)
            many = card.answer_schema is not None and card.answer_schema.many
            values = await aside(sum(map(len, bodies)), self._chosen, bodies, fields, many)
            if values is not None:
                return await self._send(outcomes, values)
        if self._names is not None and RESULT not in self._names:
            kind = "not what its schema says" if first.is_json else first.media_type
            raise InvalidRequest(f"the model's answer is {kind}: ask for the output {RESULT}, or name no outputs")
        if self._is_binary(RESULT) and len(outcomes) == 1:
            return await self._stream(first)
        bodies = await self._read(outcomes)
        return await self._send(outcomes, [self._result(first, bodies)])

    def _chosen(self, bodies: list[bytes], fields: dict[str, TensorSpec], many: bool) -> list[OutputTensor] | None:
        """None where an answer is not what the model's schema says. many: each has a list of records."""
        answers = [msgspec.json.decode(body) for body in bodies]
        if not all(_fits_schema(answer, many) for answer in answers):
            return None
        is_batch = len(answers) > 1
        yielded = {RESULT: OutputTensor(RESULT, BYTES, [len(bodies)], {CONTENT_TYPE: JSON}, bodies)}
        for name, field in fields.items():
            values = [[record.get(name) for record in answer] if many else answer.get(name) for answer in answers]
            if many or any(name in answer for answer in answers):
                depth = field.depth + many + is_batch
                yielded[name] = _output(field, depth, values if is_batch else values[0])
        return [yielded[name] for name in self._names or fields if name in yielded]

    async def _read(self, outcomes: list[Outcome]) -> list[bytes]:
        """Answers that must be in memory. Raises InvalidRequest for those that are too large for that."""
        limit = self._context.settings.tensor_limit_bytes
        if (size := sum(map(_size, outcomes))) > limit:
            raise InvalidRequest(
                f"the answer has {size} bytes, more than {limit} ({LIMIT}): send one item, and ask for the output "
                f"{RESULT} as binary data"
            )
        return [await self._context.read_answer(outcome) for outcome in outcomes]

    async def _send(self, outcomes: list[Outcome], values: list[OutputTensor]) -> web.StreamResponse:
        head, tail = await aside(sum(map(_size, outcomes)), self._written, values)
        is_binary = any(self._is_binary(value.name) for value in values)
        return await self._respond(dataclasses.replace(outcomes[0], body=tail, path=None), head, is_binary)

    async def _stream(self, outcome: Outcome) -> web.StreamResponse:
        """`result` as it is, from wherever it is, behind the JSON."""
        size = _size(outcome)
        if size > MAX_ELEMENT_BYTES:
            raise InvalidRequest(f"the answer has {size} bytes; this protocol has at most {MAX_ELEMENT_BYTES}")
        parameters = {**self._result(outcome, []).parameters, DATA_SIZE: LENGTH_BYTES + size}
        head = self._head([OutputTensor(RESULT, BYTES, [1], parameters)])
        return await self._respond(outcome, head, True, length_of(size))

    async def _respond(
        self, outcome: Outcome, head: bytes, is_binary: bool, between: bytes = b""
    ) -> web.StreamResponse:
        """head: the JSON; what follows it is `between` and the outcome's body."""
        headers = {HEAD_LENGTH: str(len(head))} if is_binary else {}
        kind = BINARY if is_binary else JSON_TYPE
        return await self._context.respond(
            self._request, outcome, before=head + between, media_type=kind, headers=headers
        )

    def _written(self, outputs: list[OutputTensor]) -> tuple[bytes, bytes]:
        """(the JSON, what follows it)."""
        tail = bytearray()
        for output in outputs:
            assert output.data is not UNSET
            if self._is_binary(output.name):
                data = to_binary(output.datatype, output.data)
                output.parameters[DATA_SIZE] = len(data)
                output.data = UNSET
                tail += data
            elif output.datatype == BYTES:
                output.data = [element.decode() for element in output.data]
        return self._head(outputs), bytes(tail)

    def _result(self, outcome: Outcome, bodies: list[bytes]) -> OutputTensor:
        """The whole answers, as JSON or binary data can have them."""
        parameters: Parameters = {CONTENT_TYPE: JSON if outcome.is_json else outcome.media_type}
        if outcome.filename:
            parameters["filename"] = outcome.filename
        if not self._is_binary(RESULT) and not _is_text(outcome, bodies):
            parameters |= {CONTENT_TYPE: "base64", "media_type": outcome.media_type}
            bodies = [base64.b64encode(body) for body in bodies]
        return OutputTensor(RESULT, BYTES, [len(bodies)], parameters, bodies)

    def _head(self, outputs: list[OutputTensor]) -> bytes:
        return msgspec.json.encode(InferenceResponse(self._name, VERSION, self._id, outputs))


def _is_text(outcome: Outcome, bodies: list[bytes]) -> bool:
    """Whether JSON can have them as they are."""
    try:
        return outcome.is_json or (outcome.media_type.startswith("text/") and [body.decode() for body in bodies] != [])
    except UnicodeDecodeError:
        return False


def _fits_schema(answer: Any, many: bool) -> bool:
    if many:
        return isinstance(answer, list) and all(isinstance(record, dict) for record in answer)
    return isinstance(answer, dict)


def _output(spec: TensorSpec, depth: int, value: Any) -> OutputTensor:
    """value: lists in lists, `depth` of them. What does not fit the type in the schema, such as null, comes as JSON:
    one text for each element of the outermost list."""
    name = spec.argument.wire_name
    made, fits = flattened(value, depth), FITS.get(spec.leaf)
    if made is not None and fits is not None and all(map(fits, made[1])):
        elements = [element.encode() for element in made[1]] if spec.datatype == BYTES else made[1]
        return OutputTensor(name, spec.datatype, [*made[0]] or [1], {}, elements)
    if made is None or fits is not None:
        outermost = value if depth > spec.depth else [value]
        made = [len(outermost)], outermost
    texts = [msgspec.json.encode(element) for element in made[1]]
    return OutputTensor(name, BYTES, [*made[0]] or [1], {CONTENT_TYPE: JSON}, texts)


def _size(outcome: Outcome) -> int:
    return len(outcome.body) if outcome.path is None else os.lstat(outcome.path).st_size
