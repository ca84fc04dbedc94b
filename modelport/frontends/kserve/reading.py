"""A request for inference: its JSON, then the binary data of its inputs, which become values and files."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from modelport.extending import (
    BodySource,
    Card,
    FrontendContext,
    InputFile,
    InvalidJson,
    InvalidRequest,
    Scratch,
    TooLarge,
    aside,
)
from modelport.frontends.kserve import tensors
from modelport.frontends.kserve.arguments import (
    CONTENT_TYPE,
    TensorSpec,
    find,
    input_specs,
    items_in,
    shape_of,
    value_of,
)
from modelport.frontends.kserve.documents import InferenceRequest, InputTensor, Parameters
from modelport.frontends.kserve.tensors import BYTES, LENGTH_BYTES, Tensor, fault, shown

HEAD_LENGTH = "Inference-Header-Content-Length"
# In the parameters of an input: how many bytes of the body are its data.
DATA_SIZE = "binary_data_size"
LIMIT, ELEMENTS = "tensor_limit_bytes", "tensor_limit_elements"
# What a number takes as text, about.
NUMBER_BYTES = 8


@dataclass
class Item:
    """What one call is made of."""

    scratch: Scratch
    values: dict[str, Any] = field(default_factory=dict)
    files: list[InputFile] = field(default_factory=list)


async def receive(
    context: FrontendContext, request: web.Request, card: Card, stack: AsyncExitStack
) -> tuple[InferenceRequest, list[Item]]:
    """stack: keeps the scratch folders. Raises what is wrong with the request."""
    text, body = await _head(context, request)
    sent = await aside(len(text), _decode, text)
    number = _number_of_items(sent, card)
    if number > (most := context.settings.tensor_limit_items):
        raise TooLarge(f"the inputs have {number} items; at most {most} are taken at once (tensor_limit_items)")
    items = [Item(await stack.enter_async_context(context.scratch())) for _ in range(number)]
    await _Reader(context, card, sent, items, body).read()
    return sent, items


async def _head(context: FrontendContext, request: web.Request) -> tuple[bytes, BodySource | None]:
    """(the JSON, what follows it); None where nothing can. Raises InvalidRequest, TooLarge."""
    length = request.headers.get(HEAD_LENGTH)
    if length is None:
        return await context.reader(request, LIMIT).read(), None
    limit = context.settings.tensor_limit_bytes
    if not (length.isascii() and length.isdecimal()):
        raise InvalidRequest(f"the header {HEAD_LENGTH} is {shown(length)}; give the length of the JSON in bytes")
    if len(length) > len(str(limit)) or int(length) > limit:
        raise TooLarge(f"the JSON of the request is longer than {limit} bytes ({LIMIT})")
    body = context.reader(request)
    return await _taken(body, int(length)), body


async def _taken(body: BodySource, size: int) -> bytes:
    return b"".join([piece async for piece in body.take(size)])


def _decode(text: bytes) -> InferenceRequest:
    try:
        return msgspec.json.decode(text, type=InferenceRequest)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"the body is not an inference request: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidJson(f"the body is not valid JSON: {error}") from error


def _number_of_items(request: InferenceRequest, card: Card) -> int:
    """Raises InvalidRequest."""
    numbers = {sent.name: items_in(find(card, sent.name), sent.shape) for sent in request.inputs}
    several = {name: number for name, number in numbers.items() if number > 1}
    if len(set(several.values())) > 1:
        listed = ", ".join(f"{shown(name)} has {number}" for name, number in several.items())
        raise InvalidRequest(f"the inputs do not have the same number of items: {listed}")
    return next(iter(several.values()), 1)


class _Reader:
    """Reads the inputs of one request in their order.

    body: what follows the JSON; None where nothing can.
    """

    def __init__(
        self, context: FrontendContext, card: Card, sent: InferenceRequest, items: list[Item], body: BodySource | None
    ) -> None:
        self._context, self._card = context, card
        self._sent, self._items, self._body = sent, items, body
        self._bytes, self._elements = context.settings.tensor_limit_bytes, context.settings.tensor_limit_elements

    async def read(self) -> None:
        seen: set[str] = set()
        for sent in self._sent.inputs:
            if sent.name in seen:
                raise fault(sent.name, "is there twice")
            seen.add(sent.name)
            await self._input(sent, find(self._card, sent.name))
        if self._body is not None and await self._body.peek(1):
            raise InvalidRequest(f"the body is longer than {HEAD_LENGTH} and all {DATA_SIZE} together")
        for name, value in (self._sent.parameters or {}).items():
            known = self._card.derive(input_specs).get(name)
            if known is None or known.leaf == "file" or name in seen:
                continue
            if isinstance(value, bool | int | float | str):
                for item in self._items:
                    item.values[known.argument.name] = value

    async def _input(self, sent: InputTensor, spec: TensorSpec) -> None:
        size = self._data_size(sent)
        if spec.leaf == "file":
            await self._files(sent, spec, size)
            return
        self._check_limits(sent, size or 0)
        name, datatype, shape = sent.name, sent.datatype, sent.shape
        if size is None:
            tensor = await self._of_json(sent)
        else:
            assert self._body is not None
            tensor = await aside(size, tensors.from_binary, name, datatype, shape, await _taken(self._body, size))
        work = sum(map(len, tensor.elements)) if tensor.datatype == BYTES else NUMBER_BYTES * len(tensor.elements)
        items, parameters = self._items, sent.parameters or {}
        if items_in(spec, shape) > 1:
            for item, part in zip(items, tensors.split(tensor, len(items)), strict=True):
                size = work // len(items)
                await self._keep(item, spec, await aside(size, value_of, spec, part, parameters), size)
            return
        value = await aside(work, value_of, spec, tensor, parameters)
        for item in items:
            await self._keep(item, spec, value, work)

    async def _of_json(self, sent: InputTensor) -> Tensor:
        """The JSON is limited as a whole."""
        data = bytes(sent.data)  # type: ignore[arg-type]
        return await aside(len(data), tensors.from_json, sent.name, sent.datatype, sent.shape, data)

    def _check_limits(self, sent: InputTensor, size: int) -> None:
        """Before the data is read. Raises TooLarge."""
        shape, limits = sent.shape, self._context.settings
        self._bytes -= size
        self._elements -= tensors.count(sent.name, sent.datatype, shape)
        if self._bytes < 0:
            limit = f"{limits.tensor_limit_bytes} bytes of data ({LIMIT})"
        elif self._elements < 0 or tensors.lists_in(shape) > limits.tensor_limit_elements:
            limit = f"{limits.tensor_limit_elements} elements ({ELEMENTS})"
        else:
            return
        raise TooLarge(f"the inputs that are not files may have at most {limit} together; send large data as a file")

    async def _keep(self, item: Item, spec: TensorSpec, value: Any, size: int) -> None:
        """A large value goes to the model in a file, so that the server does not hold up others with it."""
        argument = spec.argument
        if size <= self._context.settings.json_small_bytes:
            item.values[argument.name] = value
            return
        text = await aside(size, msgspec.json.encode, value)
        item.files.append(await self._context.json_file(argument, text, item.scratch))

    def _data_size(self, sent: InputTensor) -> int | None:
        """None: the data is in the JSON. Raises InvalidRequest."""
        size = (sent.parameters or {}).get(DATA_SIZE)
        if (size is None) is (sent.data is msgspec.UNSET):
            what = "no data" if size is None else f"both data and {DATA_SIZE}"
            raise fault(sent.name, f"has {what}; give either data or parameters.{DATA_SIZE}")
        if size is None:
            return None
        if type(size) is not int or size < 0:
            raise fault(sent.name, f"has the {DATA_SIZE} {shown(str(size))}; give a number of bytes")
        if self._body is None:
            raise fault(sent.name, f"has a {DATA_SIZE}, so the request needs the header {HEAD_LENGTH}")
        return size

    # Files

    async def _files(self, sent: InputTensor, spec: TensorSpec, size: int | None) -> None:
        number = tensors.count(sent.name, sent.datatype, sent.shape)
        if sent.datatype != BYTES:
            raise fault(sent.name, f"is a file, so its datatype must be {BYTES}, not {sent.datatype}")
        items = self._receivers(sent, spec, number)
        parameters = sent.parameters or {}
        if size is None:
            for item, element in zip(items, (await self._of_json(sent)).elements, strict=True):
                content = await aside(len(element), _decoded, sent.name, element, parameters)
                await self._file(item, spec, content, parameters)
            return
        assert self._body is not None
        for item in items:
            if size < LENGTH_BYTES:
                raise fault(sent.name, f"has less data than its shape {list(sent.shape)} says")
            length = int.from_bytes(await _taken(self._body, LENGTH_BYTES), "little")
            size -= LENGTH_BYTES + length
            if size < 0:
                raise fault(sent.name, "has an element that is longer than the data of the input")
            await self._file(item, spec, self._body.take(length), parameters)
        if size:
            raise fault(sent.name, f"has more data than its shape {list(sent.shape)} says")

    def _receivers(self, sent: InputTensor, spec: TensorSpec, number: int) -> list[Item]:
        """Whose each file is. Raises InvalidRequest, TooLarge."""
        items = self._items
        if items_in(spec, sent.shape) == len(items) == number:
            return items
        if len(items) > 1:
            raise fault(sent.name, f"is a file, so it must come once for each of the {len(items)} items")
        shape_of(spec, sent.name, sent.shape)
        if number > (most := self._context.settings.form_limit_parts):
            raise TooLarge(
                f"the input {shown(sent.name)} has {number} files; at most {most} are allowed (form_limit_parts)"
            )
        return items * number

    async def _file(
        self, item: Item, spec: TensorSpec, content: bytes | AsyncIterable[bytes], parameters: Parameters
    ) -> None:
        named = {name: value for name in ("filename", "media_type") if isinstance(value := parameters.get(name), str)}
        file = await self._context.input_file(spec.argument, content, item.scratch, **named)
        item.files.append(file)


def _decoded(name: str, element: bytes, parameters: Parameters) -> bytes:
    """The bytes of a file that is text in JSON."""
    if parameters.get(CONTENT_TYPE) != "base64":
        return element
    try:
        return base64.b64decode(element, validate=True)
    except binascii.Error as error:
        raise fault(name, f"has the content_type base64, and is not base64: {error}") from error
