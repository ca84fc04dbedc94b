"""Answers become tensors: one output, or one for each field of the model's schema; in JSON and in binary."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest

from tests.house import Answer, House
from tests.kserve.conftest import HEAD, element, infer, refusal, tensor

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def outputs(server: House, model: str, *inputs: Any, **members: Any) -> dict[str, Any]:
    """(datatype, shape, data) by name; with its parameters, where it has any."""
    answer = await infer(server, list(inputs), model=model, **members)
    assert answer.status == 200, answer.text
    return {
        output["name"]: (output["datatype"], output["shape"], output["data"], *filter(None, [output.get("parameters")]))
        for output in answer.json()["outputs"]
    }


def taken_apart(answer: Answer) -> tuple[dict[str, Any], bytes]:
    """(the JSON, what follows it)."""
    assert answer.status == 200, answer.text
    assert answer.type == "application/octet-stream"
    length = int(answer.headers[HEAD])
    return json.loads(answer.body[:length]), answer.body[length:]


BOXES = ("BYTES", [2], ['{"x":1}', '{"x":2}'], {"content_type": "json"})
RECORD = {
    "label": ("BYTES", [1], ["süß"]),
    "class": ("INT64", [1], [7]),
    "score": ("FP64", [1], [0.5]),
    "sure": ("BOOL", [1], [True]),
    "vector": ("FP64", [2], [1.0, 2.5]),
    "table": ("INT64", [2, 3], [1, 2, 3, 4, 5, 6]),
    "box": ("BYTES", [1], ['{"x":1}'], {"content_type": "json"}),
    "boxes": BOXES,
}


async def test_a_model_with_a_schema_has_an_output_for_each_field(server: House) -> None:
    assert await outputs(server, "record") == RECORD
    metadata = (await server.get("/kserve/v2/models/record")).json()["outputs"]
    shapes = {"vector": [-1], "table": [-1, -1], "boxes": [-1]}
    expected = [(name, value[0], shapes.get(name, [1])) for name, value in RECORD.items()]
    assert [(output["name"], output["datatype"], output["shape"]) for output in metadata] == expected
    assert [output["name"] for output in metadata if output.get("parameters")] == ["box", "boxes"]


async def test_only_the_outputs_that_are_asked_for_come_and_result_may_be_one(server: House) -> None:
    wanted = [{"name": "sure"}, {"name": "label"}]
    assert list(await outputs(server, "record", outputs=wanted)) == ["sure", "label"]
    both = await outputs(server, "record", outputs=[{"name": "result"}, {"name": "sure"}])
    assert json.loads(both["result"][2][0])["label"] == "süß" and both["sure"] == RECORD["sure"]
    only = await outputs(server, "record", outputs=[{"name": "result"}])
    assert list(only) == ["result"] and only["result"] == both["result"]
    said = await refusal(server, [], model="record", outputs=[{"name": "labels"}])
    assert said == "there is no output 'labels'; the outputs are label, class, score, sure, vector, table, box, boxes"


async def test_a_field_that_is_missing_has_no_output_and_one_that_does_not_fit_is_json(server: House) -> None:
    assert list(await outputs(server, "record", tensor("like", "BYTES", ["few"]))) == ["label"]
    json_type = {"content_type": "json"}
    null = await outputs(server, "record", tensor("like", "BYTES", ["null"]))
    assert null["score"] == ("BYTES", [1], ["null"], json_type) and null["class"] == RECORD["class"]
    ragged = await outputs(server, "record", tensor("like", "BYTES", ["ragged"]))
    assert ragged["table"] == ("BYTES", [1], ["[[1],[2,3]]"], json_type)


async def test_a_list_of_records_has_a_column_for_each_field(server: House) -> None:
    assert await outputs(server, "records") == {
        "label": ("BYTES", [2], ["0", "1"]),
        "score": ("FP64", [2], [0.0, 0.5]),
        "vector": ("FP64", [2, 2], [0.0, 0.0, 1.0, 1.0]),
        "box": ("BYTES", [2], ['{"x":0}', '{"x":1}'], {"content_type": "json"}),
    }
    metadata = (await server.get("/kserve/v2/models/records")).json()["outputs"]
    assert [output["shape"] for output in metadata] == [[-1], [-1], [-1, -1], [-1]]
    none = await outputs(server, "records", tensor("how", "INT64", [0]))
    assert [output[1:3] for output in none.values()] == [([0], []), ([0], []), ([0, 0], []), ([0], [])]
    hole = await outputs(server, "records", tensor("hole", "BOOL", [True]))
    assert hole["score"] == ("BYTES", [2], ["null", "0.5"], {"content_type": "json"})


async def test_outputs_come_in_binary_where_it_is_asked_for(server: House) -> None:
    wanted = [
        {"name": "vector"},
        {"name": "sure", "parameters": {"binary_data": False}},
        {"name": "label"},
        {"name": "table"},
    ]
    answer = await infer(server, [], model="record", outputs=wanted, parameters={"binary_data_output": True}, id="7")
    head, raw = taken_apart(answer)
    assert (head["model_name"], head["model_version"], head["id"]) == ("record", "1", "7")
    sizes = [output.get("parameters", {}).get("binary_data_size") for output in head["outputs"]]
    assert sizes == [16, None, 9, 48]
    assert ["data" in output for output in head["outputs"]] == [False, True, False, False]
    assert raw == struct.pack("<2d", 1, 2.5) + element("süß".encode()) + struct.pack("<6q", 1, 2, 3, 4, 5, 6)


async def test_a_binary_output_without_elements_is_binary_all_the_same(server: House) -> None:
    inputs = [tensor("how", "INT64", [0])]
    answer = await infer(server, inputs, model="records", parameters={"binary_data_output": True})
    head, raw = taken_apart(answer)
    assert raw == b"" and {output["parameters"]["binary_data_size"] for output in head["outputs"]} == {0}


@pytest.mark.parametrize("size", [10, 3 << 20])  # from memory, and from a file
async def test_bytes_come_as_they_are_in_binary_and_as_base64_in_json(server: House, size: int) -> None:
    png = b"\x89PNG\r\n\x1a\n" + b"p" * size
    inputs = [tensor("size", "INT64", [size]), tensor("accept", "BYTES", ["image/png"])]
    head, raw = taken_apart(await infer(server, inputs, model="media", parameters={"binary_data_output": True}))
    parameters = {"content_type": "image/png", "binary_data_size": len(raw)}
    assert head["outputs"] == [{"name": "result", "datatype": "BYTES", "shape": [1], "parameters": parameters}]
    assert raw == element(png)
    datatype, shape, data, told = (await outputs(server, "media", *inputs))["result"]
    assert (datatype, shape, base64.b64decode(data[0])) == ("BYTES", [1], png)
    assert told == {"content_type": "base64", "media_type": "image/png"}


async def test_the_media_type_may_be_a_parameter_and_text_is_text(server: House) -> None:
    said = (await outputs(server, "media", parameters={"accept": "text/plain", "size": 3}))["result"]
    assert said == ("BYTES", [1], ["ttt"], {"content_type": "text/plain; charset=utf-8"})
    said = await refusal(server, [], model="media", parameters={"accept": "audio/wav"})
    assert "accept" in said and "image/png" in said


async def test_the_id_is_echoed_or_made(server: House) -> None:
    ids = [(await infer(server, [], id=id)).json()["id"] for id in ("a", "", None)]
    assert ids[:2] == ["a", ""] and len(ids[2]) == 36
    assert len((await infer(server, [])).json()["id"]) == 36


async def test_what_went_wrong_in_the_model_is_a_500(server: House) -> None:
    answer = await infer(server, [tensor("fail", "BOOL", [True])], model="media")
    assert (answer.status, answer.json()) == (500, {"error": "ValueError: no such breed"})


async def test_an_answer_says_how_long_it_took(server: House) -> None:
    for binary_data in (False, True):
        answer = await infer(server, [], parameters={"binary_data_output": binary_data})
        assert "predict;dur=" in answer.headers["Server-Timing"]
