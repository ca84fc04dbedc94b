"""One server for the folder, and a client that says what it sends byte by byte."""

from __future__ import annotations

import json
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.house import Answer, House, open_house
from tests.kserve import plugins

HEAD = "Inference-Header-Content-Length"


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with open_house(tmp_path_factory.mktemp("kserve"), plugins.ALL, start_method="fork") as house:
        yield house


def tensor(name: str, datatype: str, data: Any, shape: list[int] | None = None, **parameters: Any) -> dict[str, Any]:
    """An input with its data in JSON."""
    sizes = [len(data)] if shape is None else shape
    return {"name": name, "datatype": datatype, "shape": sizes, "data": data, "parameters": parameters}


def binary(name: str, datatype: str, shape: list[int], size: int, **parameters: Any) -> dict[str, Any]:
    """An input whose data of `size` bytes follows the JSON."""
    told = {"binary_data_size": size, **parameters}
    return {"name": name, "datatype": datatype, "shape": shape, "parameters": told}


def element(data: bytes) -> bytes:
    """One of a BYTES tensor."""
    return struct.pack("<I", len(data)) + data


async def infer(
    server: House, inputs: list[Any], raw: bytes | None = None, model: str = "everything", **members: Any
) -> Answer:
    """raw: the binary data; None: all is JSON. members: of the request, besides its inputs."""
    path = f"{server.server.settings.base_path}/kserve/v2/models/{model}/infer"
    head = json.dumps({"inputs": inputs, **members}).encode()
    headers = {} if raw is None else {HEAD: str(len(head))}
    return await server.post(path, data=head + (raw or b""), headers=headers)


async def result(server: House, *inputs: Any, raw: bytes | None = None, **members: Any) -> Any:
    """What the model returned, by the output `result`."""
    answer = await infer(server, list(inputs), raw, **members)
    assert answer.status == 200, answer.text
    [output] = answer.json()["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("result", "BYTES", [1])
    assert output["parameters"] == {"content_type": "json"}
    return json.loads(output["data"][0])


async def refusal(server: House, inputs: list[Any], raw: bytes | None = None, **members: Any) -> str:
    answer = await infer(server, inputs, raw, **members)
    assert answer.status == 400, answer.text
    assert list(answer.json()) == ["error"]
    return str(answer.json()["error"])
