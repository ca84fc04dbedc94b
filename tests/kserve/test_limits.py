"""How much a request may hold, and where large values go."""

from __future__ import annotations

import http.client
import json
import struct
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import OpenHouse
from tests.house import PATIENCE_S, peak_memory_bytes, spawned_house
from tests.kserve import plugins
from tests.kserve.conftest import HEAD, binary, element, infer, result, tensor


async def test_the_inputs_are_limited_and_files_are_not(house: OpenHouse) -> None:
    opened = await house(plugins.EVERYTHING, tensor_limit_bytes=10_000, tensor_limit_elements=2000, form_limit_parts=5)
    room = struct.pack("<1000f", *range(1000))
    assert len((await result(opened, binary("numbers", "FP32", [1000], 4000), raw=room, model="x"))["numbers"]) == 1000
    file = element(b"x" * 100_000)
    assert (await result(opened, binary("image", "BYTES", [1], len(file)), raw=file, model="x"))["image"][3] == 100_000
    for sent, raw, limit in (
        (binary("numbers", "FP64", [1251], 10_008), b"\0" * 10_008, "tensor_limit_bytes"),
        (binary("numbers", "UINT8", [2001], 2001), b"\0" * 2001, "tensor_limit_elements"),
        (binary("any", "FP32", [10**9, 10**9], 4), b"\0" * 4, "tensor_limit_elements"),
        (binary("any", "UINT8", [1000, 1, 1, 1], 1000), b"\0" * 1000, "tensor_limit_elements"),
        (tensor("numbers", "FP32", [0] * 2001), None, "tensor_limit_elements"),
        (tensor("the-text", "BYTES", ["x" * 10_000]), b"", "tensor_limit_bytes"),
        (tensor("the-text", "BYTES", ["x" * 10_000]), None, "tensor_limit_bytes"),
        (binary("files", "BYTES", [6], 24), element(b"") * 6, "form_limit_parts"),
    ):
        answer = await infer(opened, [sent], raw, model="x")
        assert answer.status == 413 and limit in answer.json()["error"], answer.text


async def test_large_values_go_to_the_model_in_files(house: OpenHouse) -> None:
    opened = await house(plugins.EVERYTHING, json_small_bytes=1024)
    numbers = [float(number) for number in range(3000)]
    raw = struct.pack("<3000d", *numbers)
    assert (await result(opened, binary("numbers", "FP64", [3000], len(raw)), raw=raw, model="x"))["numbers"] == numbers
    words = ["w" * 20] * 200
    assert (await result(opened, tensor("comma", "BYTES", words), model="x"))["comma"] == words
    text = "ä" * 4000
    assert (await result(opened, tensor("the-text", "BYTES", [text]), model="x"))["text"] == text


async def test_a_gzip_body_counts_its_bytes_unpacked(house: OpenHouse) -> None:
    opened = await house(plugins.EVERYTHING, gzip_bodies=True)
    head = json.dumps({"inputs": [binary("numbers", "FP32", [2], 8)]}).encode()
    packer = zlib.compressobj(wbits=31)
    body = packer.compress(head + struct.pack("<2f", 1, 2)) + packer.flush()
    headers = {HEAD: str(len(head)), "Content-Encoding": "gzip"}
    answer = await opened.post("/kserve/v2/models/x/infer", data=body, headers=headers)
    assert json.loads(answer.json()["outputs"][0]["data"][0]) == {"numbers": [1.0, 2.0]}


@pytest.mark.slow
def test_a_large_file_goes_to_the_disk_and_back_without_filling_the_memory(tmp_path: Path) -> None:
    """A quarter of a GiB each way, in pieces."""
    size, piece = 256 << 20, b"x" * (1 << 20)
    told = [binary("f", "BYTES", [1], 4 + size)]
    head = json.dumps({"inputs": told, "parameters": {"binary_data_output": True}}).encode()

    def body() -> Iterator[bytes]:
        yield head + struct.pack("<I", size)
        for _ in range(size // len(piece)):
            yield piece

    source = (
        "from marshmallow import fields\n"
        "def get_predict_args(): return {'f': fields.Field(metadata={'type': 'file', 'location': 'form'})}\n"
        "def predict(f): return open(f.filename, 'rb')\n"
    )
    with spawned_house(tmp_path, source) as server:
        before = peak_memory_bytes(server.process.pid)
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10 * PATIENCE_S)
        with closing(connection):
            headers = {HEAD: str(len(head)), "Content-Length": str(len(head) + 4 + size)}
            connection.request("POST", "/kserve/v2/models/x/infer", body(), headers)
            answer = connection.getresponse()
            length = int(answer.headers[HEAD])
            assert answer.status == 200 and json.loads(answer.read(length))["outputs"][0]["name"] == "result"
            assert struct.unpack("<I", answer.read(4)) == (size,)
            received = 0
            while chunk := answer.read(1 << 20):
                received += len(chunk)
        assert received == size
        assert peak_memory_bytes(server.process.pid) - before < 32 << 20


@pytest.mark.slow
def test_no_shape_of_json_fills_the_memory(tmp_path: Path) -> None:
    """Each is as large as it may be, and of what takes the most memory when it is read."""
    number = 1_000_000
    shapes = {
        "[],": (b"[[" + b"],[" * number + b"]]", [number + 1, 0]),
        "[0],": (b"[[0" + b"],[0" * (number // 2) + b"]]", [number // 2 + 1, 1]),
        "0,": (b"[0" + b",0" * number + b"]", [1]),
        "many texts": (b'["ab"' + b',"ab"' * (number // 2) + b"]", [number // 2 + 1]),
        "fewer texts": (b'["ab"' + b',"ab"' * 200_000 + b"]", [200_001]),
        "deep": (b"[" * number + b"]" * number, [0]),
        "escapes": (b'["' + b"\\u00e9" * (number // 2) + b'"]', [1]),
    }
    with spawned_house(tmp_path, plugins.EVERYTHING) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
        with closing(connection):
            before = 0
            for name, (data, shape) in {"first": (b"[1]", [1]), **shapes}.items():
                head, datatype = json.dumps(shape).encode(), b"BYTES" if b'"' in data else b"FP64"
                told = b'{"inputs":[{"name":"any","datatype":"%b","shape":%b,"data":%b}]}' % (datatype, head, data)
                connection.request("POST", "/kserve/v2/models/x/infer", told)
                answer = connection.getresponse()
                answer.read()
                assert answer.status in (200, 400, 413), name
                before = before or peak_memory_bytes(server.process.pid)
                assert peak_memory_bytes(server.process.pid) - before < 64 << 20, name
