"""A card's arguments as input tensors, and tensors as the values of arguments."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import msgspec

from modelport.extending import Argument, Card, InvalidRequest
from modelport.frontends.kserve.documents import Parameters, TensorMetadata
from modelport.frontends.kserve.tensors import BYTES, FLOATS, INTEGERS, Shape, Tensor, fault, nested, reduced, shown

# The datatype that a type of the card is offered as, and those that it is taken from.
OFFERED = {"string": BYTES, "integer": "INT64", "number": "FP64", "boolean": "BOOL", "file": BYTES}
TAKEN = {
    "string": (BYTES,),
    "integer": (*INTEGERS, *FLOATS),
    "number": (*INTEGERS, *FLOATS),
    "boolean": ("BOOL", *INTEGERS, BYTES),
    "file": (BYTES,),
    "object": (BYTES,),
}
# The value of the parameter `content_type` of a tensor whose elements are JSON.
CONTENT_TYPE, JSON = "content_type", "json"


@dataclass(frozen=True)
class TensorSpec:
    """What an argument, or a field of an answer, is as a tensor.

    leaf: the card's type of one element. depth: lists around it.
    """

    argument: Argument
    leaf: str
    depth: int

    @property
    def datatype(self) -> str:
        return OFFERED.get(self.leaf, BYTES)

    @property
    def is_json(self) -> bool:
        """Whether its elements are texts of JSON."""
        return self.leaf not in OFFERED

    def metadata(self, more: Parameters, *, dimensions: int = 0) -> TensorMetadata:
        """dimensions: around its own."""
        sizes = [-1] * (dimensions + self.depth) or [1]
        parameters = {**({CONTENT_TYPE: JSON} if self.is_json else {}), **more}
        return TensorMetadata(self.argument.wire_name, self.datatype, sizes, parameters)


def spec_of(argument: Argument) -> TensorSpec:
    leaf, depth = argument, 0
    while leaf.type == "array":
        leaf, depth = leaf.item or Argument("", "any"), depth + 1
    return TensorSpec(argument, leaf.type, depth)


def input_specs(card: Card) -> dict[str, TensorSpec]:
    """By the name of the input."""
    return {argument.wire_name: spec_of(argument) for argument in card.predict_args if not argument.read_only}


def inputs(card: Card) -> list[TensorMetadata]:
    optional: Parameters = {"optional": True}
    return [spec.metadata({} if spec.argument.required else optional) for spec in card.derive(input_specs).values()]


def find(card: Card, name: str) -> TensorSpec:
    """Raises InvalidRequest."""
    known = card.derive(input_specs)
    if name not in known:
        listed = f"the inputs are {', '.join(known)}" if known else "this model has no inputs"
        raise InvalidRequest(f"there is no input {shown(name)}; {listed}")
    return known[name]


def value_of(spec: TensorSpec, tensor: Tensor, parameters: Parameters) -> Any:
    """The argument's value, as JSON can say it; the model's own fields check it. Not for files.

    Raises InvalidRequest.
    """
    name, taken = tensor.name, TAKEN.get(spec.leaf)
    if taken is not None and tensor.datatype not in taken:
        raise fault(name, f"has the datatype {tensor.datatype}; use {' or '.join(_short(taken))}")
    elements = _elements(spec, tensor, parameters)
    if spec.leaf == "any" and tensor.datatype != BYTES and reduced(tensor.shape, spec.depth) is None:
        return nested(elements, tensor.shape)  # what the model's field does not tell, the tensor does
    value = nested(elements, shape_of(spec, tensor.name, tensor.shape))
    if not spec.depth:
        return value[0]
    # A list that the model's field takes as one text (DelimitedList).
    return value if spec.argument.multiple else ",".join(map(str, value))


def items_in(spec: TensorSpec, shape: Shape) -> int:
    """How many items a tensor has a value for: 1, unless its first dimension is one too many for the argument.

    A tensor for an argument of any type, and one of several files, is always one value.
    """
    whole = spec.leaf == "any" or (spec.leaf == "file" and spec.depth)
    if whole or not shape or reduced(shape, spec.depth) is not None:
        return 1
    return shape[0] if reduced(shape[1:], spec.depth) is not None and shape[0] > 1 else 1


def shape_of(spec: TensorSpec, name: str, shape: Shape) -> Shape:
    """The tensor's shape with as many dimensions as the argument has lists. Raises InvalidRequest."""
    sizes = reduced(shape, spec.depth)
    if sizes is not None:
        return sizes
    if not spec.depth:
        raise fault(name, f"has the shape {list(shape)}; use the shape [1], or [n] for n items")
    offered = [-1] * spec.depth
    raise fault(name, f"has the shape {list(shape)}; use the shape {offered}, where -1 stands for any size")


def _elements(spec: TensorSpec, tensor: Tensor, parameters: Parameters) -> list[Any]:
    elements = tensor.elements
    if tensor.datatype == BYTES:
        is_json = spec.leaf == "object" or (spec.leaf == "any" and parameters.get(CONTENT_TYPE) == JSON)
        read = _json if is_json else _boolean if spec.leaf == "boolean" else _text
        return [read(tensor.name, element) for element in elements]
    if tensor.datatype in FLOATS and not all(map(math.isfinite, elements)):
        raise fault(tensor.name, "holds NaN or infinity, which arguments cannot have")
    if spec.leaf == "integer" and tensor.datatype in FLOATS:
        return _whole(tensor.name, elements)
    return elements


def _text(name: str, element: bytes) -> str:
    try:
        return element.decode()
    except UnicodeDecodeError as error:
        raise fault(name, "holds bytes that are not text in UTF-8") from error


def _json(name: str, element: bytes) -> Any:
    try:
        return msgspec.json.decode(element)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise fault(name, f"must be JSON as text: {error}") from error


def _boolean(name: str, element: bytes) -> bool:
    words = {b"true": True, b"false": False}
    if element.lower() not in words:
        raise fault(name, f"is {shown(element.decode(errors='replace'))}; use true or false")
    return words[element.lower()]


def _whole(name: str, elements: list[float]) -> list[int]:
    if not all(map(float.is_integer, elements)):
        wrong = next(element for element in elements if not element.is_integer())
        raise fault(name, f"is {wrong}; the model takes whole numbers")
    return list(map(int, elements))


def _short(datatypes: tuple[str, ...]) -> list[str]:
    """The families of datatypes, for a message."""
    families = {INTEGERS: "INT and UINT of any size", FLOATS: "FP16, FP32, FP64, BF16"}
    short = [text for members, text in families.items() if set(members) <= set(datatypes)]
    return [name for name in datatypes if name not in (*INTEGERS, *FLOATS)] + short
