"""The example modules give the same by this protocol as by DEEPaaS's."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from tests.house import House, open_house
from tests.kserve.conftest import HEAD, binary, element, infer, tensor

ROOT = Path(__file__).parents[2]


async def by_deepaas(server: House, files: dict[str, Path], query: list[tuple[str, str]], accept: str) -> Any:
    form = {name: path.open("rb") for name, path in files.items()}
    path = "/v2/models/x/predict/"
    return await server.post(path, data=form or None, params=query, headers={"Accept": accept})


async def test_demo_app_gives_the_same_for_all_its_arguments(tmp_path: Path) -> None:
    source = (ROOT / "examples/demo_app/demo_app/__init__.py").read_text()
    files = {
        "demo_image": ROOT / "data/digit.png",
        "demo_audio": ROOT / "data/tone.wav",
        "demo_video": ROOT / "data/bounce.avi",
    }
    query = [("demo_str", "ä"), ("demo_str_choice", "choice2"), ("demo_int", "-7"), ("demo_int_range", "60")]
    query += [("demo_float", "0.25"), ("demo_bool", "false"), ("demo_dict", '{"c": "d"}')]
    query += [("demo_list_of_floats", "1.5"), ("demo_list_of_floats", "-2")]
    contents = {name: element(path.read_bytes()) for name, path in files.items()}
    floats = struct.pack("<2d", 1.5, -2)
    inputs = [
        tensor("demo_str", "BYTES", ["ä"]),
        tensor("demo_str_choice", "BYTES", ["choice2"]),
        tensor("demo_int", "INT64", [-7]),
        tensor("demo_int_range", "INT32", [60]),
        tensor("demo_float", "FP64", [0.25]),
        tensor("demo_bool", "BOOL", [False]),
        tensor("demo_dict", "BYTES", ['{"c": "d"}']),
        binary("demo_list_of_floats", "FP64", [2], len(floats)),
        *[binary(name, "BYTES", [1], len(content)) for name, content in contents.items()],
    ]
    async with open_house(tmp_path, {"x": source}) as server:
        expected = (await by_deepaas(server, files, query, "application/json")).json()
        raw = floats + b"".join(contents.values())
        answer = await infer(server, inputs, raw, "x", outputs=[{"name": "result"}])
        assert answer.status == 200, answer.text
        result = json.loads(answer.json()["outputs"][0]["data"][0])
        # What it guesses is made up anew at each call.
        assert {**result, "labels": 0, "probabilities": 0} == {**expected, "labels": 0, "probabilities": 0}
        assert len(result) == len(expected) == 13
        typed = (await infer(server, inputs, raw, "x")).json()["outputs"]
        assert {output["name"]: output["data"] for output in typed if output["name"] in contents} == {
            name: [expected[name]] for name in contents
        }


@pytest.mark.slow
async def test_my_model_reads_a_picture_and_draws_one(tmp_path: Path, fitted_home: Path) -> None:
    page = ROOT / "data/digits_page.png"
    content = element(page.read_bytes())
    files = [binary("files", "BYTES", [1], len(content), filename=page.name)]
    async with open_house(tmp_path, {"x": "from my_model import *"}) as server:
        expected = (await by_deepaas(server, {"files": page}, [], "application/json")).json()
        answer = await infer(server, files, content, "x")
        columns = {output["name"]: output["data"] for output in answer.json()["outputs"]}
        assert columns["class"] == [digit["class"] for digit in expected]
        assert columns["confidence"] == [digit["confidence"] for digit in expected]
        assert [json.loads(box) for box in columns["box"]] == [digit["box"] for digit in expected]
        drawn = (await by_deepaas(server, {"files": page}, [], "image/png")).body
        wishes = {"accept": "image/png", "binary_data_output": True}
        answer = await infer(server, files, content, "x", parameters=wishes)
        assert answer.body[int(answer.headers[HEAD]) :] == element(drawn)
