"""Large JSON goes to the model's process in files, and is judged by the same rules as small JSON: at every door."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.house import Answer, House, open_house, wait_until

pytestmark = pytest.mark.asyncio(loop_scope="module")

SMALL = 4096
SOURCE = """
import io
import json
from marshmallow import fields
def get_predict_args():
    return {"a": fields.Raw(load_default="none"), "text": fields.Str(), "numbers": fields.List(fields.Float())}
def get_train_args():
    return {"a": fields.Raw(load_default="none")}
def predict(a, text=None, numbers=None):
    return {"a": said(a), "text": text, "numbers": numbers and len(numbers)}
def train(a):
    return said(a)
def said(value):
    while isinstance(value, list) and len(value) == 2 and value[1] == "padding":
        value = value[0]
    text = json.dumps(value)
    return text if len(text) < 100 else len(text)
"""
DOORS = ("/v2/models/x/predict/", "/x", "/run/x")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with open_house(tmp_path_factory.mktemp("large"), SOURCE, json_small_bytes=SMALL, buckets=False) as opened:
        yield opened


async def ask(house: House, door: str, body: bytes, **headers: str) -> Answer:
    headers = {"Content-Type": "application/json", "Accept": "application/json", **headers}
    return await house.post(door, data=body, headers=headers)


def padded(member: bytes, size: int) -> bytes:
    """`{"a": …}` whose value is padded to so many bytes in all, inside the value."""
    name, _, value = member.partition(b":")
    blanks = size - len(member) - 20
    return b"{" + name + b": [" + value + b"," + b" " * max(blanks, 0) + b'"padding"]}'


VALID = {
    "text": b'"a":"text"',
    "escapes": b'"a":"\\u00e9 \\ud83d\\ude00 \\\\ud800"',
    "integer": b'"a":' + b"9" * 60,
    "float": b'"a":0.1e-3',
    "null": b'"a":null',
    "nested": b'"a":' + b"[" * 250 + b"]" * 250,
    "duplicates inside": b'"a":{"b":1,"b":2}',
    "digits": b'"a":[' + b"7" * 4300 + b"]",
}
INVALID = {
    "NaN": b'"a":NaN',
    "Infinity": b'"a":-Infinity',
    "a number out of range": b'"a":1e400',
    "too many digits": b'"a":' + b"7" * 4301,
    "half a surrogate": b'"a":"\\ud800"',
    "half a surrogate at the end": b'"a":"x\\udc00"',
    "a raw surrogate": b'"a":"\xed\xa0\x80"',
    "not UTF-8": b'"a":"\xff"',
    "too deep": b'"a":' + b"[" * 256 + b"]" * 256,
    "a control character": b'"a":"\x01"',
    "a bad escape": b'"a":"\\x41"',
    "a comma too many": b'"a":[1,]',
    "a leading zero": b'"a":01',
    "a word": b'"a":tru',
    "single quotes": b"\"a\":['b']",
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("size", [100, SMALL - 10, SMALL + 10, 20 * SMALL])
@pytest.mark.parametrize("kind", VALID)
async def test_what_is_valid_is_so_at_every_size_and_door(house: House, door: str, size: int, kind: str) -> None:
    body = padded(VALID[kind], size)
    answer = await ask(house, door, body)
    assert answer.status == 200, answer.text
    value = json.loads(body)["a"][0]
    text = json.dumps(value)
    found = answer.json()
    found = found.get("predictions", found.get("result", found))
    assert found["a"] == (text if len(text) < 100 else len(text))


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("size", [100, SMALL - 10, SMALL + 10, 20 * SMALL])
@pytest.mark.parametrize("kind", INVALID)
async def test_what_is_invalid_is_so_at_every_size_and_door(house: House, door: str, size: int, kind: str) -> None:
    answer = await ask(house, door, padded(INVALID[kind], size))
    assert answer.status == 400, answer.text
    if door == DOORS[0]:
        assert answer.json() == {"json": ["Invalid JSON body."]}
    elif kind == "too deep":
        assert "nested more than 256 deep" in answer.text
    else:
        assert "the body is not valid JSON: " in answer.text
    assert not house.scratch()


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("first", "last"),
    [
        (b"1", b"2"),
        (b'"%b"' % (b"x" * SMALL), b"2"),
        (b"1", b'"%b"' % (b"y" * SMALL)),
        (b"[%b1]" % (b"1," * SMALL), b"3"),
    ],
    ids=["small", "large first", "large last", "large list first"],
)
async def test_of_a_name_that_comes_twice_the_last_counts(house: House, door: str, first: bytes, last: bytes) -> None:
    answer = await ask(house, door, b'{"a":%b,"a":%b}' % (first, last))
    text = json.dumps(json.loads(last))
    document = answer.json()
    assert document.get("predictions", document.get("result", document))["a"] == (
        text if len(text) < 100 else len(text)
    )
    broken = first.replace(b"1", b"01").replace(b"x", b"\\x")
    assert (await ask(house, door, b'{"a":%b,"a":%b}' % (broken, last))).status == 400


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("size", [10, 3 * SMALL])
async def test_a_byte_order_mark_is_read_and_other_encodings_are_named(house: House, door: str, size: int) -> None:
    text = json.dumps({"a": "é" * size}, ensure_ascii=False)
    assert (await ask(house, door, text.encode("utf-8-sig"))).status == 200
    for encoding in ("utf-16", "utf-16-le", "utf-16-be"):
        answer = await ask(house, door, text.encode(encoding))
        assert answer.status == 400
        assert door == DOORS[0] or "the body is UTF-16; JSON must be UTF-8" in answer.text
    for encoding in ("utf-32", "utf-32-le", "utf-32-be"):
        assert (await ask(house, door, text.encode(encoding))).status == 400


async def test_a_charset_of_one_byte_is_read_at_every_size(house: House) -> None:
    for size in (10, 3 * SMALL):
        text = json.dumps({"a": ["é" * size, "padding"]}, ensure_ascii=False)
        kind = {"Content-Type": "application/json; charset=ISO-8859-1"}
        assert (await ask(house, DOORS[1], text.encode("latin-1"), **kind)).json()["result"]["a"] in (
            json.dumps("é" * size),
            len(json.dumps("é" * size)),
        )


async def test_large_values_become_what_small_ones_become(house: House) -> None:
    numbers = {"numbers": [0.5] * SMALL, "text": "é" * SMALL}
    for door in DOORS:
        found = (await ask(house, door, json.dumps(numbers).encode())).json()
        found = found.get("predictions", found.get("result", found))
        assert (found["numbers"], found["text"]) == (SMALL, "é" * SMALL)
    # The platform's command line knows only text: a number for a text argument was always fine there.
    answer = await ask(house, "/run/x", b'{"text": 0.%b5}' % (b"0" * SMALL))
    assert answer.json()["text"] == "0.0"
    refused = await ask(house, "/x", b'{"text": 0.%b5}' % (b"0" * SMALL))
    assert refused.status == 422


async def test_the_fields_refuse_large_values_by_their_names(house: House) -> None:
    body = json.dumps({"text": ["x"] * SMALL, "numbers": "x" * SMALL}).encode()
    answer = await ask(house, "/x", body)
    assert answer.status == 422
    rows = answer.json()["detail"]
    assert {row["loc"][1] for row in rows} == {"text", "numbers"}
    assert len(answer.body) < 3000
    answer = await ask(house, "/x", json.dumps({"nothing": "x" * SMALL}).encode())
    assert (answer.status, answer.json()["detail"][0]["type"]) == (422, "extra_forbidden")
    assert len(answer.body) < 1000


@pytest.mark.parametrize("value", [b"[%b1]" % (b"1," * SMALL), b'"%b"' % (b"x" * SMALL), b'"%b' % (b"x" * SMALL)])
async def test_a_large_body_that_is_not_an_object_says_what_a_small_one_says(house: House, value: bytes) -> None:
    small = {b"[": b"[1]", b'"': b'"x"'}[value[:1]] if value.endswith((b"]", b'"')) else b'"x'
    for door in DOORS:
        large, little = await ask(house, door, value), await ask(house, door, small)
        assert large.status == little.status, (large.text, little.text)


async def test_many_names_and_long_names_are_refused_by_their_limit(house: House) -> None:
    for door in DOORS:
        for count in (SMALL // 100, 10_001):
            body = json.dumps({str(number): 0 for number in range(count)}).encode()
            status = (await ask(house, door, body)).status
            assert status == (413 if count > 10_000 else 200 if door == DOORS[0] else 422)
        assert (await ask(house, door, b'{"%b": 1}' % (b"n" * 100_000))).status == 413


@pytest.mark.parametrize("road", ["/x/async", "/job/x", "prefer"])
async def test_a_job_keeps_large_values(house: House, road: str) -> None:
    value = ["x" * SMALL, "padding"]
    body = json.dumps({"a": value, "text": "small"}).encode()
    if road == "prefer":
        answer = await ask(house, DOORS[0], body, Prefer="respond-async")
    else:
        answer = await ask(house, road, body)
    assert answer.status in (201, 202), answer.text
    path = answer.headers["Location"].replace("/status/", "/jobs/")
    document: Any = {}

    async def ended() -> bool:
        nonlocal document
        document = (await house.get(path)).json()
        return document["status"] in ("succeeded", "failed")

    while not await ended():
        pass
    assert document["status"] == "succeeded", document
    assert document["arguments"]["a"] == "a.json"
    assert str(SMALL + 2) in (await house.get(f"{path}/result")).text
    again = await house.post(f"{path}/run-again")
    assert again.status == 202
    while (document := (await house.get(again.headers["Location"])).json())["status"] in ("queued", "running"):
        pass
    assert document["status"] == "succeeded"
    await wait_until(lambda: not house.scratch())


async def test_a_job_fails_for_large_values_that_are_not_valid(house: House) -> None:
    answer = await ask(house, "/x?", padded(INVALID["NaN"], 3 * SMALL), Prefer="respond-async, wait=30")
    assert (answer.status, "not valid JSON" in answer.text) == (400, True)


async def test_a_training_takes_large_values_and_shows_little_of_them(house: House) -> None:
    body = json.dumps({"a": ["x" * (3 << 20), "padding"]}).encode()
    answer = await house.post(
        "/v2/models/x/train/", data=io.BytesIO(body), headers={"Content-Type": "application/json"}
    )
    assert answer.status == 200, answer.text[:300]
    assert len(answer.body) < 1000
    document = answer.json()
    while document["status"] == "running":
        document = (await house.get(f"/v2/models/x/train/{document['uuid']}")).json()
    assert (document["status"], document["result"]["output"]) == ("done", (3 << 20) + 2)
