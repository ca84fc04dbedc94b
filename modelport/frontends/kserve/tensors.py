"""Tensors as the protocol sends them: a datatype, a shape, and the elements in one flat list, row by row."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from modelport.extending import InvalidRequest

# The letters by which `struct` knows the datatypes. BF16 is the upper half of an FP32.
SIGNED = {"INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q"}
UNSIGNED = {"UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q"}
CODES = {"BOOL": "?", **SIGNED, **UNSIGNED, "FP16": "e", "FP32": "f", "FP64": "d"}
INTEGERS = (*SIGNED, *UNSIGNED)
BYTES, BF16 = "BYTES", "BF16"
DATATYPES = (*CODES, BF16, BYTES)
FLOATS = ("FP16", "FP32", "FP64", BF16)
# How many bytes stand before each element of a BYTES tensor, with its length.
LENGTH_BYTES = 4
# NumPy allows 64 dimensions; the size of a tensor of more is not worked out.
MAX_DIMENSIONS = 64
SHOWN_CHARS = 60

_NESTED = re.compile(rb"\s*\[\s*\[")

Shape = Sequence[int]


@dataclass(frozen=True)
class Tensor:
    """elements: bool, int, float or bytes, as the datatype says."""

    name: str
    datatype: str
    shape: Shape
    elements: list[Any]


def fault(name: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"the input {shown(name)} {what}")


def shown(text: str) -> str:
    """A client's text for a message."""
    return repr(text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + "…")


def count(name: str, datatype: str, shape: Shape) -> int:
    """How many elements the tensor has. Raises InvalidRequest."""
    if datatype not in DATATYPES:
        raise fault(name, f"has the datatype {shown(datatype)}; use one of {', '.join(DATATYPES)}")
    if len(shape) > MAX_DIMENSIONS:
        raise fault(name, f"has {len(shape)} dimensions; at most {MAX_DIMENSIONS} are allowed")
    if any(size < 0 for size in shape):
        raise fault(name, f"has the shape {list(shape)}; sizes in a request are 0 or more")
    return math.prod(shape)


def lists_in(shape: Shape) -> int:
    """How many lists the nested value has, beside the outermost."""
    return sum(math.prod(shape[:axis]) for axis in range(1, len(shape)))


# Binary


def width(datatype: str) -> int:
    """Bytes of an element that is not of BYTES."""
    return 2 if datatype == BF16 else struct.calcsize("<" + CODES[datatype])


def from_binary(name: str, datatype: str, shape: Shape, raw: bytes) -> Tensor:
    """raw: little-endian, row by row. Raises InvalidRequest."""
    number = count(name, datatype, shape)
    if datatype == BYTES:
        elements = _split(name, raw)
        if len(elements) != number:
            raise fault(name, f"has {len(elements)} elements, but its shape {list(shape)} has {number}")
        return Tensor(name, datatype, shape, elements)
    if len(raw) != number * width(datatype):
        needed = number * width(datatype)
        raise fault(name, f"has {len(raw)} bytes of data, but {datatype} with the shape {list(shape)} has {needed}")
    if datatype == BF16:
        wide = bytearray(2 * len(raw))
        wide[2::4], wide[3::4] = raw[0::2], raw[1::2]
        raw, datatype = bytes(wide), "FP32"
    return Tensor(name, datatype, shape, list(struct.unpack(f"<{number}{CODES[datatype]}", raw)))


def _split(name: str, raw: bytes) -> list[bytes]:
    elements, at = [], 0
    while at < len(raw):
        start = at + LENGTH_BYTES
        at = start + int.from_bytes(raw[at:start], "little")
        if start > len(raw) or at > len(raw):
            raise fault(name, "has an element that is longer than the data of the input")
        elements.append(raw[start:at])
    return elements


def length_of(size: int) -> bytes:
    """What stands before an element of so many bytes."""
    return size.to_bytes(LENGTH_BYTES, "little")


def to_binary(datatype: str, elements: Sequence[Any]) -> bytes:
    if datatype == BYTES:
        return b"".join([part for element in elements for part in (length_of(len(element)), element)])
    return struct.pack(f"<{len(elements)}{CODES[datatype]}", *elements)


# JSON


def from_json(name: str, datatype: str, shape: Shape, data: bytes) -> Tensor:
    """data: one flat list, or lists in lists as the shape says, unread. Raises InvalidRequest."""
    number = count(name, datatype, shape)
    sent = _count_of(datatype, data)
    if sent != number:
        # Before it is read: what is sent is then no larger than its shape, which is limited.
        raise fault(name, f"has {sent} elements, but its shape {list(shape)} has {number}")
    kind, what = _ELEMENTS.get(datatype, (int, "whole numbers"))
    if not number:
        return Tensor(name, datatype, shape, [])
    is_nested = _NESTED.match(data) is not None
    try:
        elements = msgspec.json.decode(data, type=_lists_of(kind, shape if is_nested else [number]))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        where = f"its data must be {what} in the shape {list(shape)}"
        raise fault(name, f"is {datatype}, so {where}: {error}") from error
    for _ in shape[1:] if is_nested else ():
        elements = list(chain.from_iterable(elements))
    if datatype == BYTES:
        elements = [element.encode() for element in elements]
    elif datatype in INTEGERS:
        _check_range(name, datatype, elements)
    return Tensor(name, datatype, shape, elements)


_ELEMENTS: dict[str, tuple[type, str]] = {
    BYTES: (str, "text"),
    "BOOL": (bool, "true or false"),
    **dict.fromkeys(FLOATS, (float, "numbers")),
}


def _count_of(datatype: str, data: bytes) -> int:
    """How many elements there are, if it is JSON of this datatype: each is a text, or has a comma before the next."""
    if datatype == BYTES:
        return data.replace(b"\\\\", b"").replace(b'\\"', b"").count(b'"') // 2
    return data.count(b",") + 1 if data.strip(b"[], \t\r\n") else 0


def _lists_of(kind: Any, shape: Shape) -> Any:
    for size in reversed(shape):
        kind = Annotated[list[kind], Meta(min_length=size, max_length=size)]
    return kind


def _check_range(name: str, datatype: str, elements: Sequence[int]) -> None:
    bits = 8 * width(datatype)
    least, most = (0, 2**bits - 1) if datatype in UNSIGNED else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    if not all(least <= element <= most for element in elements):
        wrong = next(element for element in elements if not least <= element <= most)
        raise fault(name, f"is {datatype}, so its data must be whole numbers from {least} to {most}, not {wrong}")


# Shapes


def reduced(shape: Shape, depth: int) -> Shape | None:
    """The shape with `depth` dimensions, by leaving out those of size 1; None where others are too many, or too few.

    Clients send a text as [1] or [1, 1], and a list as [n], [n, 1] or [1, n].
    """
    sizes = list(shape)
    while len(sizes) > depth:
        if sizes[0] == 1:  # a batch of one
            sizes.pop(0)
        elif sizes[-1] == 1:
            sizes.pop()
        else:
            return None
    return sizes if len(sizes) == depth else None


def split(tensor: Tensor, number: int) -> list[Tensor]:
    """Along the first dimension, which has the size `number`."""
    step = len(tensor.elements) // number
    starts = range(0, len(tensor.elements), step) if step else [0] * number
    return [
        Tensor(tensor.name, tensor.datatype, tensor.shape[1:], tensor.elements[start : start + step])
        for start in starts
    ]


def nested(elements: list[Any], shape: Shape) -> list[Any]:
    """Lists in lists, as the shape says; of no dimension and of one, the elements."""
    if not elements:
        return []
    for axis in range(len(shape) - 1, 0, -1):
        size = shape[axis]
        elements = [elements[start : start + size] for start in range(0, len(elements), size)]
    return elements


def flattened(value: Any, depth: int) -> tuple[Shape, list[Any]] | None:
    """(shape, elements) of lists in lists; None where they are not, or differ in length."""
    shape: list[int] = []
    elements = [value]
    for _ in range(depth):
        sizes = {len(row) if isinstance(row, list) else -1 for row in elements} or {0}
        if len(sizes) > 1 or -1 in sizes:
            return None
        shape.append(sizes.pop())
        elements = list(chain.from_iterable(elements))
    return shape, elements
