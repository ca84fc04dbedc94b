"""Answers: the accept argument, what may be returned, the schema (contract, 1.5, 1.6, 2.5)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="package")

JSON = "application/json; charset=utf-8"


@pytest.fixture
def stored(tmp_path: Path) -> str:
    path = tmp_path / "answer.bin"
    path.write_bytes(b"stored")
    return str(path)


# Without an argument `accept`


@pytest.mark.parametrize(
    ("mode", "value"),
    [
        ("a_dict", {"a": [1, 2.5, True, None, "é"], "b": []}),
        ("a_text", "text"),
        ("none", None),
        ("a_set", [1, 2, 3]),
        ("dates", ["2026-01-31", "2026-01-31T12:00:00"]),
        ("decimals", "1.50"),
        ("a_path", "/no/such/place"),
        ("numbers", {"scalar": 0.5, "array": [0, 1, 2], "flag": True}),
        ("same_keys", {"1": "int", "a": {"2.5": None}}),
        ("large", ["x" * 1000] * 3000),
    ],
)
async def test_what_json_can_say_is_enveloped(server: House, mode: str, value: Any) -> None:
    answer = await server.predict({"mode": mode}, "answers")
    assert (answer.status, answer.type) == (200, JSON)
    assert answer.json() == {"status": "OK", "predictions": value}
    assert answer.body.startswith(b'{"status": "OK", "predictions": ')
    assert int(answer.headers["Content-Length"]) == len(answer.body)


@pytest.mark.parametrize("accept", ["text/plain", "image/png", "application/xml", "nonsense", "", "*/*;q=0"])
async def test_without_the_argument_the_accept_header_has_no_effect(server: House, accept: str) -> None:
    answer = await server.predict({"mode": "a_text"}, "answers", headers={"Accept": accept})
    assert answer.json() == {"status": "OK", "predictions": "text"}


@pytest.mark.parametrize(("mode", "answer"), [("nan", {"x": [None]}), ("infinity", None)])
async def test_numbers_that_json_does_not_have_are_null(server: House, mode: str, answer: Any) -> None:
    assert (await server.predict({"mode": mode}, "answers")).json()["predictions"] == answer


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        ("an_object", "an object, which JSON cannot express"),
        ("a_function", "a function, which JSON cannot express"),
        ("itself", "the answer is not valid JSON"),
    ],
)
async def test_what_json_cannot_say_is_a_500_with_the_reason(server: House, mode: str, told: str) -> None:
    answer = await server.predict({"mode": mode}, "answers")
    assert answer.status == 500
    assert answer.text.startswith("500: ")
    assert told in answer.text


@pytest.mark.parametrize(
    ("mode", "kind", "body"),
    [
        ("some_bytes", "image/png", b"\x89PNG\r\n\x1a\n and more"),
        ("generated", "application/octet-stream", b"one two"),
        ("opened", "application/octet-stream", b"stored"),
    ],
)
async def test_bytes_are_sent_as_they_are_under_the_type_that_they_seem_to_have(
    server: House, stored: str, mode: str, kind: str, body: bytes
) -> None:
    answer = await server.predict({"mode": mode, "path": stored}, "answers")
    assert (answer.status, answer.type, answer.body) == (200, kind, body)


# Which type


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("application/json", "application/json"),
        ("APPLICATION/JSON", "application/json"),
        ("text/plain", "text/plain"),
        ("Text/Plain", "text/plain"),
        ("text/plain;q=0.5, application/json", "application/json"),
        ("text/plain, application/json;q=0.9", "text/plain"),
        ("text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8", "application/json"),
        ("text/html, text/*;q=0.5", "text/plain"),
        ("application/json;q=0, text/plain", "text/plain"),
        ("", "application/json"),
    ],
)
async def test_the_best_of_the_plugins_types_is_chosen(server: House, header: str | None, chosen: str) -> None:
    # aiohttp's client sends `*/*` where nothing is said.
    options: dict[str, Any] = {"skip_auto_headers": ["Accept"]}
    if header is not None:
        options["headers"] = {"Accept": header}
    answer = await server.predict(None, "typed", **options)
    assert answer.status == 200
    if chosen == "application/json":
        assert (answer.type, answer.json()) == (JSON, {"status": "OK", "predictions": chosen})
    else:
        charset = "; charset=utf-8" if chosen.startswith("text/") else ""
        assert (answer.type, answer.text) == (chosen + charset, chosen)


@pytest.mark.parametrize(
    "header", ["text/html", "nonsense", "audio/*", "application/pdf;q=0", "text/plain application/json"]
)
async def test_a_type_that_the_plugin_does_not_have_is_422(server: House, header: str) -> None:
    answer = await server.predict(None, "typed", headers={"Accept": header})
    assert (answer.status, answer.type) == (422, "application/json")
    types = "application/json, text/plain, image/png, image/*, application/pdf, application/zip"
    assert answer.json() == {"accept": [f"Must be one of: {types}."]}


async def test_the_declared_default_is_the_default_though_it_is_not_the_first(server: House) -> None:
    for header in ("*/*", "application/*"):
        answer = await server.predict(None, "default-type", headers={"Accept": header})
        assert (answer.type, answer.text) == ("application/pdf", "application/pdf")
    answer = await server.predict(None, "default-type", headers={"Accept": "application/json"})
    assert answer.json()["predictions"] == "application/json"


async def test_with_the_location_headers_a_query_argument_accept_is_ignored(server: House) -> None:
    answer = await server.predict({"accept": "text/plain"}, "typed", headers={"Accept": "application/json"})
    assert answer.type == JSON


async def test_without_a_location_accept_is_read_like_any_argument_and_the_header_is_not(server: House) -> None:
    header = {"Accept": "text/plain"}
    assert (await server.predict(None, "accept_anywhere", headers=header)).type == JSON
    for options in (
        {"params": {"accept": "text/plain"}},
        {"data": {"accept": "text/plain"}},
        {"json": {"accept": "text/plain"}},
    ):
        answer = await server.post("/v2/models/accept_anywhere/predict/", **options)
        assert (answer.type, answer.text) == ("text/plain; charset=utf-8", "text/plain")
    assert (await server.predict({"accept": "image/png"}, "accept_anywhere")).status == 422


async def test_a_required_accept_must_be_there(server: House) -> None:
    answer = await server.predict(None, "accept_required", skip_auto_headers=["Accept"])
    assert (answer.status, answer.json()) == (422, {"accept": ["Missing data for required field."]})
    answer = await server.predict(None, "accept_required", headers={"Accept": "*/*"})
    assert answer.json()["predictions"] == "application/json"


# Another type than JSON


@pytest.mark.parametrize(
    ("mode", "body"),
    [
        ("echo", b"application/zip"),
        ("none", b""),
        ("some_bytes", b"\0raw\xff"),
        ("an_array", b"array"),
        ("buffer", b"not rewound"),
        ("texts", "é not rewound".encode()),
        ("opened", b"stored"),
        ("opened_text", b"stored"),
        ("read_already", b"stored"),
        ("deleted", b"stored"),
        ("closed", b"stored"),
        ("temporary", b"temporary"),
        ("generated", b"one two"),
    ],
)
async def test_bytes_text_and_files_are_sent_under_the_type_asked_for(
    server: House, stored: str, mode: str, body: bytes
) -> None:
    answer = await server.predict({"mode": mode, "path": stored}, "typed", headers={"Accept": "application/zip"})
    assert (answer.status, answer.type, answer.body) == (200, "application/zip", body)
    assert "Content-Disposition" not in answer.headers


@pytest.mark.parametrize("mode", ["a_dict", "number"])
async def test_other_values_are_a_500_with_the_reason_where_no_json_was_asked_for(server: House, mode: str) -> None:
    answer = await server.predict({"mode": mode}, "typed", headers={"Accept": "application/zip"})
    assert answer.status == 500
    assert "where application/zip was asked for" in answer.text


@pytest.mark.parametrize("mode", ["some_bytes", "an_array", "buffer", "opened"])
async def test_bytes_are_a_500_with_the_reason_where_json_was_asked_for(server: House, stored: str, mode: str) -> None:
    answer = await server.predict({"mode": mode, "path": stored}, "typed", headers={"Accept": "application/json"})
    assert answer.status == 500
    assert "where application/json was asked for" in answer.text


async def test_an_answer_under_a_range_of_types_has_its_real_type(server: House) -> None:
    """Ours: deepaas sends Content-Type `image/*`."""
    answer = await server.predict({"mode": "png"}, "typed", headers={"Accept": "image/webp, image/*;q=0.1"})
    assert (answer.status, answer.type) == (200, "image/png")


async def test_each_answer_tells_its_phases(server: House) -> None:
    answer = await server.predict({"mode": "a_text"}, "answers")
    phases = {part.partition(";")[0].strip() for part in answer.headers["Server-Timing"].split(",")}
    assert {"queue", "validate", "predict", "encode"} <= phases


# The schema


async def test_with_a_schema_the_value_is_bare_and_unconverted(server: House) -> None:
    answer = await server.predict(None, "dict_schema")
    assert (answer.status, answer.type, answer.json()) == (200, JSON, {"p": "0.5", "label": "cat"})
    answer = await server.predict({"p": "0.5"}, "class_schema")
    assert answer.json() == {"p": "0.5"}


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        ("unknown", "Unknown field"),
        ("missing", "Missing data for required field"),
        ("list", "Invalid input type"),
    ],
)
async def test_an_answer_that_does_not_fit_the_schema_is_a_500_with_the_reason(
    server: House, mode: str, told: str
) -> None:
    answer = await server.predict({"mode": mode}, "dict_schema")
    assert answer.status == 500
    assert "schema" in answer.text and told in answer.text
