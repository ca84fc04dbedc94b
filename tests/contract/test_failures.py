"""What the model raises, and how its process ends (contract, 1.7, 2.6)."""

from __future__ import annotations

import pytest

from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="package")


@pytest.mark.parametrize(
    ("mode", "status", "told"),
    [
        ("value_error", 500, "ValueError: what happened"),
        ("attribute_error", 500, "AttributeError: 'str' object has no attribute 'nothing'"),
        ("not_implemented", 500, "NotImplementedError: what happened"),
        ("own", 500, "Own: code 7"),
        ("bad_request", 400, "what happened"),
        ("bad_request_text", 400, "what happened"),
        ("not_found", 404, "what happened"),
        ("base", 500, "what happened"),
        ("reason_is_error", 400, "what happened"),
        ("base_reason_is_error", 500, "what happened"),
        ("redirect", 500, ""),
        ("ok", 500, "what happened"),
        ("sys_exit", 500, "the model called sys.exit('what happened')"),
        ("os_exit", 500, "exit status 1"),
        ("killed", 500, "SIGKILL"),
        ("interrupted", 500, "KeyboardInterrupt"),
    ],
)
async def test_every_end_of_predict_is_an_answer_and_the_next_call_works(
    server: House, mode: str, status: int, told: str
) -> None:
    answer = await server.predict({"mode": mode}, "failing")
    assert (answer.status, answer.type) == (status, "text/plain; charset=utf-8")
    assert answer.text.startswith(f"{status}: ")
    assert told in answer.text and told in answer.reason
    assert "Traceback" not in answer.text
    assert "Location" not in answer.headers
    assert (await server.predict({"text": "x"}, "failing")).json()["predictions"] == "x"


async def test_a_validation_error_of_the_plugin_is_a_422(server: House) -> None:
    answer = await server.predict({"mode": "refused"}, "failing")
    assert (answer.status, answer.json()) == (422, {"mode": ["what happened"]})


@pytest.mark.parametrize("mode", ["value_error", "bad_request", "not_found", "base", "own", "sys_exit"])
@pytest.mark.parametrize(
    "text",
    [
        "two\r\nlines\n",
        "X-Injected: 1\r\n\r\n<html>",
        "nul \0 and bell \a and escape \x1b[0m",
        "snow ☃ and é",
        "x" * 5000,
        " ",
    ],
    ids=["lines", "injected", "controls", "unicode", "long", "blank"],
)
async def test_any_text_is_told_without_harm(server: House, mode: str, text: str) -> None:
    answer = await server.predict({"mode": mode}, "failing", json={"text": text})
    assert answer.status in (400, 404, 500)
    assert "X-Injected" not in answer.headers
    assert all(char.isprintable() for char in answer.reason), answer.reason
    assert answer.text.startswith(f"{answer.status}: ")
    assert (await server.predict({"text": "x"}, "failing")).status == 200


async def test_a_plugin_without_the_function_is_501(server: House) -> None:
    for answer in (
        await server.post("/v2/models/nothing/predict/"),
        await server.post("/v2/models/nothing/train/"),
        await server.post("/v2/models/metadata/predict/"),
    ):
        assert answer.status == 501
        assert answer.reason.startswith("Not implemented by underlying model (loaded '")
