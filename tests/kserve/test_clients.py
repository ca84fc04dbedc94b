"""The clients that exist: tritonclient (also what MLServer's own client uses) and the KServe SDK, against a server."""

from __future__ import annotations

import asyncio
import html
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import OpenHouse
from tests.environments import environment
from tests.house import House
from tests.kserve import plugins

ROOT = Path(__file__).parents[2]
CLIENTS_S = 120
# In an environment of its own: it needs gevent and NumPy, which nothing else here does.
TRITONCLIENT = ("tritonclient[http]==2.73.0",)
KSERVE = ("kserve==0.21.0",)


async def snippet(server: House, name: str, label: str) -> str:
    """What the dashboard's page of the deployment shows under this tab."""
    headers = {"Authorization": f"Bearer {server.gateway.owner.token}"}
    page = (await server.get(f"/ui/inference/{name}", headers=headers)).text
    [tab] = re.findall(rf'id="tab-([^"]+)"[^>]*>{re.escape(label)}</button>', page)
    [text] = re.findall(rf'<pre [^>]*id="text-{tab}">(.*?)</pre>', page, re.S)
    return html.unescape(text)


async def run(python: Path, script: str, *arguments: str) -> Any:
    """What the client's script prints, as JSON."""
    return json.loads(await printed(python, script, *arguments))


async def printed(python: Path, script: str, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        str(python), "-c", script, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(CLIENTS_S):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


TRITON = """
import json, sys
import numpy as np
import tritonclient.http as triton

said = []
for address in (sys.argv[1], sys.argv[1] + "/kserve"):
    client = triton.InferenceServerClient(address)
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("x")
    assert client.is_model_ready("x", "1") and not client.is_model_ready("x", "2")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    metadata = client.get_model_metadata("x")
    said.append([one["name"] for one in client.get_model_repository_index()] + [len(metadata["inputs"])])
    for binary_in in (True, False):
        for binary_out in (True, False):
            text = triton.InferInput("the-text", [1], "BYTES")
            text.set_data_from_numpy(np.array(["süß"], dtype=object), binary_data=binary_in)
            numbers = triton.InferInput("numbers", [3], "FP32")
            numbers.set_data_from_numpy(np.array([1, 2.5, 3], dtype=np.float32), binary_data=binary_in)
            output = triton.InferRequestedOutput("result", binary_data=binary_out)
            result = client.infer("x", [text, numbers], outputs=[output], request_id="7")
            assert result.get_response()["id"] == "7"
            said.append(json.loads(result.as_numpy("result")[0]))
    image = triton.InferInput("image", [1], "BYTES")
    image.set_data_from_numpy(np.array([open(sys.argv[2], "rb").read()], dtype=object))
    plain = client.infer("x", [image])
    packed = client.infer("x", [image], request_compression_algorithm="gzip", response_compression_algorithm="gzip")
    assert plain.as_numpy("result") == packed.as_numpy("result")
    said.append(json.loads(plain.as_numpy("result")[0])["image"][:4])
    record = client.infer("record", [])
    said.append([record.as_numpy(name).tolist() for name in ("class", "score", "sure", "table")])
    said.append([record.as_numpy("label")[0].decode(), json.loads(record.as_numpy("box")[0])])
    counts = triton.InferInput("count", [3, 1], "INT32")
    counts.set_data_from_numpy(np.array([[1], [2], [3]], dtype=np.int32))
    said.append([json.loads(item)["count"] for item in client.infer("x", [counts]).as_numpy("result")])
    wrong = triton.InferInput("count", [2, 2], "INT32")
    wrong.set_data_from_numpy(np.array([[1, 2], [3, 4]], dtype=np.int32))
    for call in (lambda: client.infer("x", [wrong]), lambda: client.infer("nobody", [])):
        try:
            call()
        except triton.InferenceServerException as error:
            said.append([error.status(), error.message()])
print(json.dumps(said))
"""


async def opened(house: OpenHouse) -> House:
    return await house({"x": plugins.EVERYTHING, "record": plugins.RECORD}, gzip_bodies=True)


@pytest.mark.slow
async def test_tritonclient(house: OpenHouse) -> None:
    server, image = await opened(house), ROOT / "data/digit.png"
    said = await run(environment("3.11", TRITONCLIENT), TRITON, f"127.0.0.1:{server.server.port}", str(image))
    one = {"text": "süß", "numbers": [1.0, 2.5, 3.0]}
    assert (
        said[: len(said) // 2]
        == said[len(said) // 2 :]
        == [
            ["x", "record", 12],
            *[one] * 4,
            ["image.png", "image/png", "png", image.stat().st_size],
            [[7], [0.5], [True], [[1, 2, 3], [4, 5, 6]]],
            ["süß", {"x": 1}],
            [1, 2, 3],
            ["400", "the input 'count' has the shape [2, 2]; use the shape [1], or [n] for n items"],
            ["404", "there is no service called nobody"],
        ]
    )


TOKENS = """
import json, sys
import tritonclient.http as triton

client = triton.InferenceServerClient(sys.argv[1])
assert client.is_server_live() and client.get_server_metadata()["name"] == "modelport"
said = []
for token in ("secret", "wrong"):
    headers = {"Authorization": f"Bearer {token}"}
    for call in (client.get_model_metadata, lambda name, headers: client.infer(name, [], headers=headers)):
        try:
            call("x", headers=headers)
            said.append("200")
        except triton.InferenceServerException as error:
            said.append(error.status())
print(json.dumps(said))
"""


@pytest.mark.slow
async def test_tritonclient_sends_the_token_as_a_header(house: OpenHouse) -> None:
    server = await house({"x": plugins.EVERYTHING}, token="secret")
    said = await run(environment("3.11", TRITONCLIENT), TOKENS, f"127.0.0.1:{server.server.port}")
    assert said == ["200", "200", "401", "401"]


NEEDY = """
from marshmallow import fields


def get_predict_args():
    file = {"type": "file", "location": "form"}
    return {
        "text": fields.Str(required=True),
        "count": fields.Int(required=True, data_key="a-count"),
        "yes": fields.Bool(required=True),
        "numbers": fields.List(fields.Float(), required=True),
        "tree": fields.Dict(required=True),
        "any": fields.Raw(required=True),
        "image": fields.Field(required=True, metadata=file),
    }


def predict(image, **arguments):
    return [sorted(arguments), image.original_filename]
"""


@pytest.mark.slow
@pytest.mark.parametrize("token", ["", "secret"])
async def test_the_snippet_of_the_dashboard_works_when_pasted(house: OpenHouse, token: str) -> None:
    server = await house({"x": NEEDY}, token=token)
    script = await snippet(server, "x", "Python: tritonclient")
    said = await printed(environment("3.11", TRITONCLIENT), script)
    assert "result" in said and '["any", "count", "numbers", "text", "tree", "yes"]' in said


KSERVE_SDK = """
import asyncio, json, sys
from kserve import InferenceRESTClient, InferRequest, InferInput, RESTConfig
import numpy as np

async def main():
    said = []
    for base in ("", "/kserve"):
        url = f"http://{sys.argv[1]}{base}"
        client = InferenceRESTClient(RESTConfig(protocol="v2"))
        assert await client.is_server_live(url) and await client.is_server_ready(url)
        assert await client.is_model_ready(url, "x")
        for binary in (False, True):
            text = InferInput("the-text", [1], "BYTES")
            text.set_data_from_numpy(np.array(["hi"], dtype=object), binary_data=binary)
            numbers = InferInput("numbers", [2], "FP32")
            numbers.set_data_from_numpy(np.array([1, 2], dtype=np.float32), binary_data=binary)
            parameters = {"binary_data_output": binary}
            request = InferRequest("x", [text, numbers], request_id="7", parameters=parameters)
            answer = await client.infer(url, request, model_name="x")
            assert (answer.model_name, answer.id) == ("x", "7")
            said.append(json.loads(answer.outputs[0].as_numpy()[0]))
        record = await client.infer(url, InferRequest("record", []), model_name="record")
        numbers = [output for output in record.outputs if output.datatype != "BYTES"]
        said.append({output.name: output.as_numpy().tolist() for output in numbers})
        await client.close()
    print(json.dumps(said))

asyncio.run(main())
"""


@pytest.mark.thorough
async def test_the_kserve_sdk(house: OpenHouse) -> None:
    """Its environment has 66 packages, which is why it is not in the usual run."""
    server = await opened(house)
    said = await run(environment("3.11", KSERVE), KSERVE_SDK, f"127.0.0.1:{server.server.port}")
    one = {"text": "hi", "numbers": [1.0, 2.0]}
    arrays = {"class": [7], "score": [0.5], "sure": [True], "vector": [1.0, 2.5], "table": [[1, 2, 3], [4, 5, 6]]}
    assert said == [one, one, arrays] * 2
