"""Several items in one request: each is a call of its own, and the answers are stacked."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest

from tests.conftest import OpenHouse
from tests.house import House, wait_until
from tests.kserve import plugins
from tests.kserve.conftest import HEAD, binary, element, infer, refusal, tensor

package_loop = pytest.mark.asyncio(loop_scope="package")


async def results(server: House, *inputs: Any, raw: bytes | None = None, **members: Any) -> list[Any]:
    answer = await infer(server, list(inputs), raw, **members)
    assert answer.status == 200, answer.text
    [output] = answer.json()["outputs"]
    assert (output["name"], output["shape"]) == ("result", [len(output["data"])])
    return [json.loads(text) for text in output["data"]]


@package_loop
async def test_each_item_is_a_call(server: House) -> None:
    inputs = [
        tensor("the-text", "BYTES", ["a", "b", "c"]),
        tensor("count", "INT64", [[1], [2], [3]], [3, 1]),
        tensor("numbers", "FP32", [1, 2, 3, 4, 5, 6], [3, 2]),
        tensor("matrix", "INT64", list(range(12)), [3, 2, 2]),
        tensor("tree", "BYTES", ["{}", '{"a": 1}', '{"b": 2}']),
        tensor("part", "FP64", [0.5]),  # the same for all
        tensor("any", "INT64", [7, 8, 9]),  # is one value
        tensor("words", "BYTES", ["x", "y"], [2, 1]),  # a list, not two items
    ]
    same = {"part": 0.5, "any": [7, 8, 9], "words": ["x", "y"], "yes": True}
    trees, matrices = [{}, {"a": 1}, {"b": 2}], [[[n, n + 1], [n + 2, n + 3]] for n in (0, 4, 8)]
    assert await results(server, *inputs, parameters={"yes": True}) == [
        {
            **same,
            "text": "abc"[n],
            "count": n + 1,
            "numbers": [2 * n + 1, 2 * n + 2],
            "tree": trees[n],
            "matrix": matrices[n],
        }
        for n in range(3)
    ]


@package_loop
async def test_each_item_has_its_own_file(server: House) -> None:
    raw = element(b"one") + element(b"three") + struct.pack("<2q", 1, 2)
    inputs = [binary("image", "BYTES", [2], len(raw) - 16), binary("count", "INT64", [2], 16)]
    said = await results(server, *inputs, raw=raw)
    assert [(item["image"][3], item["count"]) for item in said] == [(3, 1), (5, 2)]
    said = await results(server, tensor("image", "BYTES", ["b25l", "dHdvMg=="], content_type="base64"))
    assert [item["image"][3] for item in said] == [3, 4]


@package_loop
async def test_fields_of_records_are_stacked(server: House) -> None:
    likes = tensor("like", "BYTES", ["all", "all"])
    answer = (await infer(server, [likes], model="record")).json()
    stacked = {output["name"]: (output["datatype"], output["shape"], output["data"]) for output in answer["outputs"]}
    assert stacked == {
        "label": ("BYTES", [2], ["süß", "süß"]),
        "class": ("INT64", [2], [7, 7]),
        "score": ("FP64", [2], [0.5, 0.5]),
        "sure": ("BOOL", [2], [True, True]),
        "vector": ("FP64", [2, 2], [1.0, 2.5] * 2),
        "table": ("INT64", [2, 2, 3], [1, 2, 3, 4, 5, 6] * 2),
        "box": ("BYTES", [2], ['{"x":1}'] * 2),
        "boxes": ("BYTES", [2, 2], ['{"x":1}', '{"x":2}'] * 2),
    }
    mixed = (await infer(server, [tensor("like", "BYTES", ["few", "all"])], model="record")).json()["outputs"]
    assert [output["data"] for output in mixed if output["name"] in ("label", "class")] == [
        ["few", "süß"],
        ["null", "7"],
    ]


@package_loop
async def test_lists_of_records_are_stacked_or_texts_where_their_lengths_differ(server: House) -> None:
    for lengths, scores in (
        ([2, 2], ("FP64", [2, 2], [0.0, 0.5] * 2)),
        ([1, 2], ("BYTES", [2], ["[0.0]", "[0.0,0.5]"])),
    ):
        answer = (await infer(server, [tensor("how", "INT64", lengths)], model="records")).json()
        [score] = [output for output in answer["outputs"] if output["name"] == "score"]
        assert (score["datatype"], score["shape"], score["data"]) == scores


@package_loop
async def test_bytes_are_stacked_in_binary(server: House) -> None:
    inputs = [tensor("size", "INT64", [1, 3])]
    parameters = {"accept": "image/png", "binary_data_output": True}
    answer = await infer(server, inputs, model="media", parameters=parameters)
    head = json.loads(answer.body[: int(answer.headers[HEAD])])
    assert head["outputs"][0]["shape"] == [2]
    assert head["outputs"][0]["parameters"]["content_type"] == "image/png"
    png = b"\x89PNG\r\n\x1a\n"
    assert answer.body[int(answer.headers[HEAD]) :] == element(png + b"p") + element(png + b"ppp")


@package_loop
async def test_what_is_wrong_with_one_item_is_told_with_its_number(server: House) -> None:
    said = await refusal(server, [tensor("size", "INT64", [1, -1])], model="media")
    assert said.startswith("item 1: size: ")
    answer = await infer(server, [tensor("fail", "BOOL", [False, True])], model="media")
    assert (answer.status, answer.json()["error"]) == (500, "item 1: ValueError: no such breed")


@package_loop
async def test_items_that_do_not_go_together_are_refused(server: House) -> None:
    inputs = [tensor("count", "INT64", [1, 2]), tensor("the-text", "BYTES", ["a", "b", "c"])]
    said = await refusal(server, inputs)
    assert said == "the inputs do not have the same number of items: 'count' has 2, 'the-text' has 3"
    said = await refusal(server, [tensor("count", "INT64", [1, 2]), tensor("image", "BYTES", ["a"])])
    assert said == "the input 'image' is a file, so it must come once for each of the 2 items"
    answer = await infer(server, [tensor("count", "INT64", [1] * 33)])
    assert answer.status == 413 and "at most 32 are taken at once (tensor_limit_items)" in answer.json()["error"]


async def test_the_first_item_that_fails_ends_the_others(house: OpenHouse) -> None:
    opened = await house({"x": plugins.MEDIA}, workers=2)
    answer = await infer(
        opened, [tensor("seconds", "FP64", [600, 0]), tensor("fail", "BOOL", [False, True])], model="x"
    )
    assert (answer.status, answer.json()["error"]) == (500, "item 1: ValueError: no such breed")
    await wait_until(lambda: opened.server.deployments.get("x").executor.counts().busy == 0)
    await wait_until(lambda: not list(opened.home.glob("run/*/scratch/*")))
