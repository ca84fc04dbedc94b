"""Tensors become arguments: in JSON and in binary, of every type; what does not fit is refused by the input's name."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest

from tests.house import House
from tests.kserve.conftest import HEAD, binary, element, refusal, result, tensor

pytestmark = pytest.mark.asyncio(loop_scope="package")

PNG = b"\x89PNG\r\n\x1a\n" + b"12345"


@pytest.mark.parametrize(
    ("sent", "name", "value"),
    [
        (tensor("the-text", "BYTES", ["süß"]), "text", "süß"),
        (tensor("the-text", "BYTES", ["a"], [1, 1]), "text", "a"),
        (tensor("the-text", "BYTES", ["a"], []), "text", "a"),
        (tensor("the-text", "BYTES", [["a"]], [1, 1]), "text", "a"),
        (tensor("count", "INT64", [2**53 + 1]), "count", 2**53 + 1),
        (tensor("count", "UINT8", [255]), "count", 255),
        (tensor("count", "FP32", [3.0]), "count", 3),
        (tensor("part", "FP64", [0.1]), "part", 0.1),
        (tensor("part", "INT8", [-1]), "part", -1.0),
        (tensor("yes", "BOOL", [True]), "yes", True),
        (tensor("yes", "INT32", [0]), "yes", False),
        (tensor("yes", "BYTES", ["True"]), "yes", True),
        (tensor("numbers", "FP32", [1, 2.5]), "numbers", [1.0, 2.5]),
        (tensor("numbers", "FP32", [1, 2.5], [2, 1]), "numbers", [1.0, 2.5]),
        (tensor("numbers", "FP32", [1, 2.5], [1, 2]), "numbers", [1.0, 2.5]),
        (tensor("numbers", "FP64", []), "numbers", []),
        (tensor("words", "BYTES", ["a", "b,c"]), "words", ["a", "b,c"]),
        (tensor("matrix", "INT64", [1, 2, 3, 4, 5, 6], [2, 3]), "matrix", [[1, 2, 3], [4, 5, 6]]),
        (tensor("matrix", "INT64", [[1, 2], [3, 4]], [2, 2]), "matrix", [[1, 2], [3, 4]]),
        (tensor("matrix", "INT64", [[[1], [2]]], [1, 2, 1]), "matrix", [[1], [2]]),
        (tensor("comma", "BYTES", ["a", "b"]), "comma", ["a", "b"]),
        (tensor("words", "BYTES", ['"', "\\", '\\"', "[[,"]), "words", ['"', "\\", '\\"', "[[,"]),
        (tensor("matrix", "INT64", [[], []], [2, 0]), "matrix", []),
        (tensor("tree", "BYTES", ['{"a": [1, null]}']), "tree", {"a": [1, None]}),
        (tensor("any", "BYTES", ["[1]"], content_type="json"), "any", [1]),
        (tensor("any", "BYTES", ["[1]"]), "any", "[1]"),
        (tensor("any", "INT64", [7]), "any", 7),
        (tensor("any", "INT64", [1, 2, 3, 4], [2, 2]), "any", [[1, 2], [3, 4]]),
    ],
)
async def test_a_tensor_in_json_becomes_the_argument(server: House, sent: Any, name: str, value: Any) -> None:
    assert await result(server, sent) == {name: value}


@pytest.mark.parametrize(
    ("datatype", "raw", "values"),
    [
        ("INT8", struct.pack("<2b", -128, 127), [-128, 127]),
        ("INT16", struct.pack("<2h", -2, 2), [-2, 2]),
        ("INT32", struct.pack("<2i", -(2**31), 2), [-(2**31), 2]),
        ("INT64", struct.pack("<2q", -(2**63), 2), [-(2**63), 2]),
        ("UINT8", b"\x00\xff", [0, 255]),
        ("UINT16", struct.pack("<2H", 1, 65535), [1, 65535]),
        ("UINT32", struct.pack("<2I", 1, 2**32 - 1), [1, 2**32 - 1]),
        ("UINT64", struct.pack("<2Q", 1, 2**64 - 1), [1, 2**64 - 1]),
        ("FP16", struct.pack("<2e", 0.5, -2), [0.5, -2]),
        ("FP32", struct.pack("<2f", 0.5, -2), [0.5, -2]),
        ("FP64", struct.pack("<2d", 0.1, -2), [0.1, -2]),
        ("BF16", b"\x80\x3f\x20\xc0", [1.0, -2.5]),
    ],
)
async def test_every_datatype_of_numbers_is_read_in_binary(
    server: House, datatype: str, raw: bytes, values: list[Any]
) -> None:
    assert await result(server, binary("any", datatype, [2], len(raw)), raw=raw) == {"any": values}


async def test_binary_and_json_inputs_come_in_one_request(server: House) -> None:
    numbers, yes, words = struct.pack("<2f", 1, 2), b"\x01", element("ä".encode()) + element(b"")
    inputs = [
        binary("numbers", "FP32", [2], len(numbers)),
        tensor("count", "INT64", [5]),
        binary("yes", "BOOL", [1], 1),
        binary("words", "BYTES", [2], len(words)),
    ]
    expected = {"count": 5, "yes": True, "numbers": [1.0, 2.0], "words": ["ä", ""]}
    assert await result(server, *inputs, raw=numbers + yes + words) == expected


async def test_a_file_is_the_bytes_of_one_element(server: House) -> None:
    told = PNG.hex()
    raw = element(PNG)
    said = await result(server, binary("image", "BYTES", [1], len(raw)), raw=raw)
    assert said == {"image": ["image.png", "image/png", "png", 13, told]}
    sent = binary("image", "BYTES", [1], len(raw), filename="../a/scan.nii.gz", media_type="image/x-own")
    assert (await result(server, sent, raw=raw))["image"] == ["scan.nii.gz", "image/x-own", "nii.gz", 13, told]
    text = base64.b64encode(PNG).decode()
    said = await result(server, tensor("image", "BYTES", [text], content_type="base64"))
    assert said["image"] == ["image.png", "image/png", "png", 13, told]
    said = await result(server, tensor("image", "BYTES", ["ä"]))
    assert said["image"] == ["image", "application/octet-stream", "", 2, "ä".encode().hex()]


async def test_a_list_of_files_has_one_in_each_element(server: House) -> None:
    raw = element(PNG) + element(b"") + element(b"x" * 300_000)
    files = (await result(server, binary("files", "BYTES", [3], len(raw)), raw=raw))["files"]
    assert [(file[0], file[3]) for file in files] == [("files.png", 13), ("files", 0), ("files", 300_000)]


async def test_scalars_may_come_as_parameters_and_an_input_wins(server: House) -> None:
    parameters = {"count": 3, "the-text": "a", "priority": 1, "image": "x", "nothing": None}
    sent = tensor("the-text", "BYTES", ["b"])
    assert await result(server, sent, parameters=parameters) == {"count": 3, "text": "b"}


async def test_members_that_the_protocol_does_not_have_are_ignored(server: House) -> None:
    sent = {**tensor("count", "INT64", [1]), "more": {}}
    nothing = {"outputs": None, "parameters": None, "id": None}
    assert await result(server, sent, model_name="x", **nothing) == {"count": 1}


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (tensor("nobody", "BYTES", ["a"]), "there is no input 'nobody'; the inputs are the-text, count,"),
        (tensor("never", "BYTES", ["a"]), "there is no input 'never'"),
        (tensor("count", "STRING", ["a"]), "the input 'count' has the datatype 'STRING'; use one of BOOL, INT8"),
        (
            tensor("count", "BYTES", ["1"]),
            "the input 'count' has the datatype BYTES; use INT and UINT of any size or FP16",
        ),
        (tensor("the-text", "INT64", [1]), "the input 'the-text' has the datatype INT64; use BYTES"),
        (tensor("image", "UINT8", [1]), "the input 'image' is a file, so its datatype must be BYTES, not UINT8"),
        (tensor("count", "INT8", [128]), "is INT8, so its data must be whole numbers from -128 to 127, not 128"),
        (
            tensor("count", "INT64", [True]),
            "is INT64, so its data must be whole numbers in the shape [1]: Expected `int`, got `bool`",
        ),
        (tensor("count", "INT64", [None]), "Expected `int`, got `null` - at `$[0]`"),
        (tensor("count", "FP64", [1.5]), "the input 'count' is 1.5; the model takes whole numbers"),
        (
            tensor("numbers", "FP64", ["1"]),
            "the input 'numbers' is FP64, so its data must be numbers in the shape [1]: Exp",
        ),
        (tensor("yes", "BYTES", ["maybe"]), "the input 'yes' is 'maybe'; use true or false"),
        (tensor("yes", "BOOL", [1]), "its data must be true or false in the shape [1]: Expected `bool`, got `int`"),
        (tensor("count", "INT64", [1] * 6, [2, 3]), "has the shape [2, 3]; use the shape [1], or [n] for n items"),
        (tensor("count", "INT64", []), "has the shape [0]; use the shape [1], or [n] for n items"),
        (
            tensor("files", "BYTES", ["a", "b"], [2, 1, 2]),
            "the input 'files' has the shape [2, 1, 2]; use the shape [-1]",
        ),
        (tensor("matrix", "INT64", [1, 2]), "has the shape [2]; use the shape [-1, -1], where -1 stands for any size"),
        (tensor("numbers", "FP64", [1, 2], [3]), "the input 'numbers' has 2 elements, but its shape [3] has 3"),
        (tensor("matrix", "INT64", [[1], [2, 3]], [2, 1]), "has 3 elements, but its shape [2, 1] has 2"),
        (
            tensor("matrix", "INT64", [[1], 2], [2, 1]),
            "its data must be whole numbers in the shape [2, 1]: Expected `array`",
        ),
        (tensor("numbers", "FP64", [[[1]]], [1]), "Expected `float`, got `array` - at `$[0]`"),
        (tensor("numbers", "FP64", [1], [-1]), "has the shape [-1]; sizes in a request are 0 or more"),
        (tensor("numbers", "FP64", [1], [1] * 65), "has 65 dimensions; at most 64 are allowed"),
        (
            tensor("numbers", "FP64", {}, [1]),
            "its data must be numbers in the shape [1]: Expected `array`, got `object`",
        ),
        (tensor("tree", "BYTES", ["{"]), "the input 'tree' must be JSON as text"),
        (tensor("tree", "BYTES", ["[" * 5000]), "the input 'tree' must be JSON as text"),
        (tensor("image", "BYTES", ["~"], content_type="base64"), "has the content_type base64, and is not base64"),
        (
            tensor("words", "BYTES", ['"', "\\", '\\"'], [2]),
            "the input 'words' has 3 elements, but its shape [2] has 2",
        ),
        (tensor("matrix", "INT64", [[1, 2], [3]], [3, 1]), "Expected `array` of length"),
        ({"name": "count", "datatype": "INT64", "shape": [1]}, "has no data; give either data or parameters.binary_"),
        (binary("count", "INT64", [1], 8), f"has a binary_data_size, so the request needs the header {HEAD}"),
        ({**binary("count", "INT64", [1], 8), "data": [1]}, "has both data and binary_data_size"),
        ({"name": 1, "datatype": "INT64", "shape": [1]}, "the body is not an inference request: Expected `str`, got"),
    ],
)
async def test_a_tensor_that_does_not_fit_is_refused_by_its_name(server: House, sent: Any, says: str) -> None:
    assert says in await refusal(server, [sent])


@pytest.mark.parametrize(
    ("sent", "raw", "says"),
    [
        (binary("numbers", "FP32", [2], 4), b"1234", "has 4 bytes of data, but FP32 with the shape [2] has 8"),
        (binary("numbers", "FP32", [1], 4), b"123", "the body ends 1 bytes too early"),
        (binary("numbers", "FP32", [1], 4), b"12345", "the body is longer than"),
        (binary("numbers", "FP32", [1], -4), b"1234", "has the binary_data_size '-4'; give a number of bytes"),
        (binary("numbers", "FP32", [1], True), b"1234", "has the binary_data_size 'True'"),
        (binary("numbers", "FP32", [1], 4), struct.pack("<f", float("nan")), "holds NaN or infinity"),
        (binary("words", "BYTES", [1], 6), element(b"a") + b"b", "has an element that is longer than the data"),
        (binary("words", "BYTES", [2], 5), element(b"a"), "has 1 elements, but its shape [2] has 2"),
        (
            binary("words", "BYTES", [1], 5),
            element(b"\xff"),
            "the input 'words' holds bytes that are not text in UTF-8",
        ),
        (binary("image", "BYTES", [1], 3), b"123", "has less data than its shape [1] says"),
        (binary("image", "BYTES", [1], 5), b"\xff\0\0\0a", "has an element that is longer than the data of the input"),
        (binary("image", "BYTES", [1], 6), element(b"a") + b"b", "has more data than its shape [1] says"),
    ],
)
async def test_binary_data_that_does_not_fit_is_refused(server: House, sent: Any, raw: bytes, says: str) -> None:
    assert says in await refusal(server, [sent], raw)


async def test_an_input_comes_once(server: House) -> None:
    assert "the input 'count' is there twice" in await refusal(server, [tensor("count", "INT64", [1])] * 2)


async def test_what_the_models_own_fields_refuse_is_a_400_too(server: House) -> None:
    said = await refusal(server, [tensor("size", "INT64", [-1])], model="media")
    assert said.startswith("size: ") and "0" in said


@pytest.mark.parametrize("length", ["", "-1", "1_0", "²", "1.0", "x"])
async def test_the_length_of_the_json_is_a_number(server: House, length: str) -> None:
    path = "/kserve/v2/models/everything/infer"
    answer = await server.post(path, data=b"{}", headers={HEAD: length})
    assert answer.status == 400 and f"the header {HEAD} is" in answer.json()["error"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 9999, b'{"inputs": 1}', b'{"inputs": [NaN]}'])
@pytest.mark.parametrize("headers", [{}, {HEAD: "1"}, {HEAD: "999999"}, {HEAD: "9" * 5000}])
async def test_no_body_makes_it_fail(server: House, body: bytes, headers: dict[str, str]) -> None:
    answer = await server.post("/kserve/v2/models/everything/infer", data=body, headers=headers)
    assert answer.status in (400, 413), answer.text
    assert list(answer.json()) == ["error"]
