"""OpenAI's API for the models that declare themselves: what it answers, and what it refuses."""

from __future__ import annotations

import base64
import io
import json
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from modelport.store.deployments import DeploymentRow
from tests.house import Answer, House, open_house
from tests.openai import plugins

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("openai")
    async with open_house(folder, plugins.ALL, start_method="fork", json_small_bytes=1024) as house:
        yield house


async def embed(server: House, input: Any, **members: Any) -> Answer:
    return await server.post("/v1/embeddings", json={"model": "embedder", "input": input, **members})


async def chat(server: House, *contents: Any, **members: Any) -> Answer:
    messages = [{"role": "user", "content": content} for content in contents]
    return await server.post("/v1/chat/completions", json={"model": "chatter", "messages": messages, **members})


def fault(answer: Answer) -> dict[str, Any]:
    assert list(answer.json()) == ["error"]
    error: dict[str, Any] = answer.json()["error"]
    assert list(error) == ["message", "type", "param", "code"]
    return error


async def test_the_models_that_declare_themselves_are_listed(server: House) -> None:
    document = (await server.get("/v1/models")).json()
    assert document["object"] == "list"
    assert sorted(model["id"] for model in document["data"]) == ["chatter", "embedder", "wrong"]
    assert document["data"][0]["object"] == "model"
    assert (await server.get("/v1/models/chatter")).json()["id"] == "chatter"
    for name in ("other", "nobody"):
        answer = await server.get(f"/v1/models/{name}")
        assert (answer.status, fault(answer)["type"]) == (404, "not_found_error")


async def test_texts_are_embedded_in_one_call(server: House) -> None:
    answer = await embed(server, ["a", "bcde"], user="x", dimensions=2)
    assert answer.json() == {
        "model": "embedder",
        "data": [
            {"index": 0, "embedding": [1.0, 0.5], "object": "embedding"},
            {"index": 1, "embedding": [4.0, 2.0], "object": "embedding"},
        ],
        "object": "list",
    }
    assert [one["embedding"] for one in (await embed(server, "abc", dimensions=None)).json()["data"]] == [
        [3.0, 1.5, 1.0]
    ]
    packed = (await embed(server, ["abc"], encoding_format="base64")).json()["data"][0]["embedding"]
    assert struct.unpack("<3f", base64.b64decode(packed)) == (3.0, 1.5, 1.0)


async def test_large_requests_and_answers_work(server: House) -> None:
    texts = ["ä" * 10] * 2048
    vectors = [one["embedding"] for one in (await embed(server, texts, dimensions=50)).json()["data"]]
    assert len(vectors) == 2048 and vectors[-1][:2] == [10.0, 5.0]


@pytest.mark.parametrize(
    ("input", "says"),
    [
        ([], "length >= 1"),
        (["a"] * 2049, "length <= 2048"),
        ([[1, 2]], "Expected `str`, got `array` - at `$.input[0]`"),
        (7, "at `$.input`"),
        (None, "at `$.input`"),
    ],
)
async def test_what_is_no_list_of_texts_is_refused(server: House, input: Any, says: str) -> None:
    answer = await embed(server, input)
    assert answer.status == 400
    error = fault(answer)
    assert says in error["message"] and error["type"] == "invalid_request_error"


async def test_what_the_models_fields_refuse_names_the_parameter(server: House) -> None:
    answer = await embed(server, "a", dimensions="many")
    assert (answer.status, fault(answer)["param"]) == (400, "dimensions")
    answer = await chat(server, "a", temperature=3)
    assert (answer.status, fault(answer)["param"]) == (400, "temperature")


@pytest.mark.parametrize("value", ["1e999", '{"a": [1e999]}'])
async def test_a_number_that_python_cannot_hold_is_the_callers_fault(server: House, value: str) -> None:
    body = f'{{"model": "embedder", "input": "a", "dimensions": {value}}}'
    answer = await server.post("/v1/embeddings", data=body, headers={"Content-Type": "application/json"})
    assert answer.status == 400 and "Number out of range" in fault(answer)["message"]


async def test_an_answer_that_is_no_embedding_is_the_models_fault(server: House) -> None:
    for wrong, says in (("few", "returned 1 vectors for 2 texts"), ("text", "not a list of lists"), ("large", "FP32")):
        answer = await embed(server, ["a", "b"], wrong=wrong, encoding_format="base64")
        error = fault(answer)
        assert (answer.status, error["type"], error["code"]) == (500, "server_error", "model_failed")
        assert says in error["message"]
    answer = await embed(server, "a", model="wrong")
    assert answer.status == 500 and "has no argument input" in fault(answer)["message"]


async def test_a_conversation_is_answered(server: House) -> None:
    document = (await chat(server, "Hello", "How are you?", temperature=0.5, max_tokens=7, tools=[], top_p=None)).json()
    assert document["object"] == "chat.completion" and document["model"] == "chatter"
    assert document["id"].startswith("chatcmpl-") and document["created"] > 0
    message = {"content": "2 messages at 0.5: How are you?", "role": "assistant"}
    assert document["choices"] == [{"message": message, "index": 0, "finish_reason": "stop"}]
    parts = [{"type": "text", "text": "Hi"}]
    said = (await chat(server, parts, pieces=True)).json()["choices"][0]["message"]["content"]
    assert said == "1 messages at 1.0: Hi"
    long = "x" * 5000  # goes to the model in a file
    assert (await chat(server, long)).json()["choices"][0]["message"]["content"].endswith(long)


def messages(answer: Answer) -> list[Any]:
    """Of a stream."""
    assert answer.status == 200 and answer.type == "text/event-stream"
    assert answer.text.endswith("\n\n")
    said = [part.removeprefix("data: ") for part in answer.text.split("\n\n")[:-1]]
    return [part if part == "[DONE]" else json.loads(part) for part in said]


async def test_a_file_that_is_not_utf_8_is_the_models_fault(server: House) -> None:
    answer = await chat(server, "latin")
    assert (answer.status, fault(answer)["code"]) == (500, "model_failed")
    answer = await chat(server, "latin", stream=True)
    assert (answer.status, fault(answer)["code"]) == (406, "not_acceptable")


@pytest.mark.parametrize("pieces", [True, False])
async def test_an_answer_is_streamed_as_it_comes(server: House, pieces: bool) -> None:
    *chunks, done = messages(await chat(server, "Hi", stream=True, pieces=pieces, stream_options={}))
    assert done == "[DONE]"
    assert {(chunk["object"], chunk["model"]) for chunk in chunks} == {("chat.completion.chunk", "chatter")}
    assert len({chunk["id"] for chunk in chunks}) == 1
    choices = [chunk["choices"][0] for chunk in chunks]
    deltas = [choice["delta"] for choice in choices]
    words = ["1 messages at 1.0: ", "Hi"]
    contents = [{"content": word} for word in (words if pieces else ["".join(words)])]
    assert deltas == [{"role": "assistant", "content": ""}, *contents, {}]
    assert [choice["finish_reason"] for choice in choices] == [None] * (len(choices) - 1) + ["stop"]


async def test_what_goes_wrong_in_a_stream_is_told_with_a_status_before_it_begins_and_in_it_after(
    server: House,
) -> None:
    for members, status in (({"fail": True}, 500), ({"temperature": 9}, 400), ({"stop_at": 0, "pieces": True}, 500)):
        answer = await chat(server, "Hi", stream=True, **members)
        assert answer.status == status and fault(answer)["message"]
    _, word, last = messages(await chat(server, "Hi", stream=True, pieces=True, stop_at=1))
    assert word["choices"][0]["delta"] == {"content": "1 messages at 1.0: "}
    assert (last["error"]["message"], last["error"]["type"]) == ("RuntimeError: out of words", "server_error")
    _, last = messages(await chat(server, "Hi", stream=True, pieces=True, stop_at=-1))
    assert last["error"]["message"].startswith("the model's answer is not text")


async def test_what_chat_does_not_have_is_refused_by_its_name(server: House) -> None:
    answer = await chat(server, "a", n=2)
    assert (answer.status, fault(answer)["param"]) == (400, "n")
    answer = await chat(server, "a", fail=True)
    assert (answer.status, fault(answer)["message"]) == (500, "RuntimeError: no such thought")


async def test_a_model_is_only_for_what_it_declares(server: House) -> None:
    for model in ("chatter", "other", "nobody"):
        answer = await embed(server, "a", model=model)
        assert (answer.status, fault(answer)["type"]) == (404, "not_found_error")
    answer = await embed(server, "a", model="other")
    assert fault(answer)["message"].endswith('its metadata do not have "openai": "embeddings"')


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"\xff", b'{"model": "embedder"}', b'{"model": "chatter"}', b"[" * 9999]
)
@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/chat/completions"])
async def test_no_body_makes_it_fail(server: House, path: str, body: bytes) -> None:
    answer = await server.post(path, data=body)
    assert answer.status == 400 and fault(answer)["type"] == "invalid_request_error"


async def test_a_request_is_limited(server: House) -> None:
    body = io.BytesIO(json.dumps({"model": "embedder", "input": "x" * (4 << 20)}).encode())
    answer = await server.post("/v1/embeddings", data=body)
    assert answer.status == 413 and "openai_limit_bytes" in fault(answer)["message"]


async def test_a_token_opens_its_own_model_only(server: House) -> None:
    module = str(server.folder / "plugins" / "plugin_0.py")
    rows = [await server.gateway.services.deploy(DeploymentRow(name, module)) for name in ("one", "two")]
    await server.gateway.deployments.get("one").wait_card()
    for row, status in ((rows[0], 200), (rows[1], 401)):
        headers = {"Authorization": f"Bearer {row.token}"}
        answer = await server.post("/v1/embeddings", json={"model": "one", "input": "a"}, headers=headers)
        assert answer.status == status
        assert status == 200 or fault(answer)["type"] == "authentication_error"
    listed = await server.get("/v1/models", headers={"Authorization": f"Bearer {rows[0].token}"})
    assert "one" in [model["id"] for model in listed.json()["data"]]


async def test_unknown_paths_are_told_in_the_same_shape(server: House) -> None:
    answer = await server.post("/v1/images/generations", json={})
    assert (answer.status, fault(answer)["code"]) == (404, "not_found")
