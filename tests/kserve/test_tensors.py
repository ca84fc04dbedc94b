"""Tensors there and back, whatever is in them."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from modelport.frontends.kserve import tensors

FLOATS = {"FP16": 16, "FP32": 32, "FP64": 64}


@st.composite
def a_tensor(draw: st.DrawFn) -> tuple[str, list[int], list[Any]]:
    datatype = draw(st.sampled_from([*tensors.CODES, tensors.BYTES]))
    shape = draw(st.lists(st.integers(0, 4), max_size=4))
    if datatype in FLOATS:
        element: st.SearchStrategy[Any] = st.floats(width=FLOATS[datatype], allow_nan=False, allow_infinity=False)  # type: ignore[arg-type]
    elif datatype == "BOOL":
        element = st.booleans()
    elif datatype == tensors.BYTES:
        element = st.binary(max_size=10)
    else:
        bits = 8 * tensors.width(datatype)
        least = 0 if datatype in tensors.UNSIGNED else -(2 ** (bits - 1))
        element = st.integers(least, least + 2**bits - 1)
    number = math.prod(shape)
    return datatype, shape, draw(st.lists(element, min_size=number, max_size=number))


@given(a_tensor())
def test_what_is_written_in_binary_is_read_again(sample: tuple[str, list[int], list[Any]]) -> None:
    datatype, shape, elements = sample
    raw = tensors.to_binary(datatype, elements)
    assert tensors.from_binary("a", datatype, shape, raw).elements == elements


@given(a_tensor())
def test_lists_in_lists_are_flattened_again(sample: tuple[str, list[int], list[Any]]) -> None:
    datatype, shape, elements = sample
    if datatype == tensors.BYTES:
        elements = [element.hex() for element in elements]
    read = tensors.from_json("a", datatype, shape, json.dumps(tensors.nested(elements, shape)).encode()).elements
    assert read == ([text.encode() for text in elements] if datatype == tensors.BYTES else elements)
    if elements and shape:
        assert tensors.flattened(tensors.nested(elements, shape), len(shape)) == (shape, elements)


def test_a_bf16_is_the_upper_half_of_an_fp32() -> None:
    raw = b"".join(struct.pack("<f", value)[2:] for value in (1.0, -2.5, 0.0))
    assert tensors.from_binary("a", "BF16", [3], raw).elements == [1.0, -2.5, 0.0]
