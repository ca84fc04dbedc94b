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
class Place:
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


def place(argument: Argument) -> Place:
    leaf, depth = argument, 0
    while leaf.type == "array":
        leaf, depth = leaf.item or Argument("", "any"), depth + 1
    return Place(argument, leaf.type, depth)


def places(card: Card) -> dict[str, Place]:
    """By the name of the input."""
    return {argument.wire_name: place(argument) for argument in card.predict_args if not argument.read_only}


def inputs(card: Card) -> list[TensorMetadata]:
    optional: Parameters = {"optional": True}
    return [place.metadata({} if place.argument.required else optional) for place in card.derive(places).values()]


def find(card: Card, name: str) -> Place:
    """Raises InvalidRequest."""
    known = card.derive(places)
    if name not in known:
        listed = f"the inputs are {', '.join(known)}" if known else "this model has no inputs"
        raise InvalidRequest(f"there is no input {shown(name)}; {listed}")
    return known[name]


def value_of(place: Place, tensor: Tensor, parameters: Parameters) -> Any:
    """The argument's value, as JSON can say it; the model's own fields check it. Not for files.

    Raises InvalidRequest.
    """
    name, taken = tensor.name, TAKEN.get(place.leaf)
    if taken is not None and tensor.datatype not in taken:
        raise fault(name, f"has the datatype {tensor.datatype}; use {' or '.join(_short(taken))}")
    elements = _elements(place, tensor, parameters)
    if place.leaf == "any" and tensor.datatype != BYTES and reduced(tensor.shape, place.depth) is None:
        return nested(elements, tensor.shape)  # what the model's field does not tell, the tensor does
    value = nested(elements, shape_of(place, tensor.name, tensor.shape))
    if not place.depth:
        return value[0]
    # A list that the model's field takes as one text (DelimitedList).
    return value if place.argument.multiple else ",".join(map(str, value))


def items_in(place: Place, shape: Shape) -> int:
    """How many items a tensor has a value for: 1, unless its first dimension is one too many for the argument.

    A tensor for an argument of any type, and one of several files, is always one value.
    """
    whole = place.leaf == "any" or (place.leaf == "file" and place.depth)
    if whole or not shape or reduced(shape, place.depth) is not None:
        return 1
    return shape[0] if reduced(shape[1:], place.depth) is not None and shape[0] > 1 else 1


def shape_of(place: Place, name: str, shape: Shape) -> Shape:
    """The tensor's shape with as many dimensions as the argument has lists. Raises InvalidRequest."""
    sizes = reduced(shape, place.depth)
    if sizes is not None:
        return sizes
    if not place.depth:
        raise fault(name, f"has the shape {list(shape)}; use the shape [1], or [n] for n items")
    offered = [-1] * place.depth
    raise fault(name, f"has the shape {list(shape)}; use the shape {offered}, where -1 stands for any size")


def _elements(place: Place, tensor: Tensor, parameters: Parameters) -> list[Any]:
    elements = tensor.elements
    if tensor.datatype == BYTES:
        is_json = place.leaf == "object" or (place.leaf == "any" and parameters.get(CONTENT_TYPE) == JSON)
        read = _json if is_json else _boolean if place.leaf == "boolean" else _text
        return [read(tensor.name, element) for element in elements]
    if tensor.datatype in FLOATS and not all(map(math.isfinite, elements)):
        raise fault(tensor.name, "holds NaN or infinity, which arguments cannot have")
    if place.leaf == "integer" and tensor.datatype in FLOATS:
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
