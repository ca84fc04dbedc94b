"""The `openai` package against a server, and the conformance suite."""

from __future__ import annotations

import pytest

from modelport.testing.frontends import FrontendConformance
from tests.conftest import OpenHouse
from tests.environments import environment
from tests.kserve.test_clients import printed, run, snippet
from tests.openai import plugins


class TestConformance(FrontendConformance):
    name = "openai"


OPENAI = ("openai==3.57.0",)
SCRIPT = """
import json, sys
import openai

client = openai.OpenAI(base_url=sys.argv[1], api_key="secret", max_retries=0)
said = [sorted(model.id for model in client.models.list()), client.models.retrieve("embedder").id]
texts = client.embeddings.create(model="embedder", input=["a", "bcde"])
said.append([one.embedding for one in texts.data])
texts = client.embeddings.create(model="embedder", input="a", encoding_format="float", dimensions=1)
said.append(texts.data[0].embedding)
messages = [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Hello"}]
answer = client.chat.completions.create(model="chatter", messages=messages, temperature=0.5)
said.append([answer.choices[0].message.content, answer.choices[0].finish_reason])
stream = client.chat.completions.create(model="chatter", messages=messages, stream=True, extra_body={"pieces": True})
said.append([chunk.choices[0].delta.content for chunk in stream])
broken = {"pieces": True, "stop_at": 1}
stream = client.chat.completions.create(model="chatter", messages=messages, stream=True, extra_body=broken)
try:
    list(stream)
except openai.APIError as error:
    said.append(error.message)
for call, kind in (
    (lambda: client.chat.completions.create(model="nobody", messages=messages), openai.NotFoundError),
    (lambda: client.chat.completions.create(model="chatter", messages=messages, temperature=9), openai.BadRequestError),
    (lambda: client.with_options(api_key="wrong").models.list(), openai.AuthenticationError),
):
    try:
        call()
    except kind as error:
        said.append(error.body["message"])
print(json.dumps(said))
"""


@pytest.mark.slow
async def test_the_openai_package(house: OpenHouse) -> None:
    server = await house(plugins.ALL, token="secret")
    said = await run(environment("3.11", OPENAI), SCRIPT, f"{server.url}/v1")
    assert said[:-1] == [
        ["chatter", "embedder", "wrong"],
        "embedder",
        [[1.0, 0.5, pytest.approx(1 / 3)], [4.0, 2.0, pytest.approx(4 / 3)]],
        [1.0],
        ["2 messages at 0.5: Hello", "stop"],
        ["", "2 messages at 1.0: ", "Hello", None],
        "RuntimeError: out of words",
        "there is no service called nobody",
        "temperature: Invalid value (given 9).",
    ]
    assert "token" in said[-1]


@pytest.mark.slow
async def test_the_snippets_of_the_dashboard_work_when_pasted(house: OpenHouse) -> None:
    server, python = await house(plugins.ALL), environment("3.11", OPENAI)
    said = await printed(python, await snippet(server, "embedder", "Python: openai"))
    assert said.startswith("[[6.0, 3.0, 2.0], [12.0, 6.0, 4.0]]")
    said = await printed(python, await snippet(server, "chatter", "Python: openai"))
    assert said == "1 messages at 1.0: Hello\n"
    with pytest.raises(ValueError):
        await snippet(server, "other", "Python: openai")
