"""The plain door under settings of its own server: token, base path, origins."""

from __future__ import annotations

import pytest

from tests.conftest import OpenHouse
from tests.plain.conftest import bearer
from tests.plain.plugins import EVERYTHING, SMALL

pytestmark = pytest.mark.slow


async def test_where_nothing_is_secret_an_unknown_name_is_not_found(house: OpenHouse) -> None:
    opened = await house(SMALL)
    answer = await opened.get("/no-such-thing")
    assert (answer.status, answer.json()) == (404, {"detail": "Not Found"})


async def test_the_servers_token_is_asked_for_at_this_door(house: OpenHouse) -> None:
    opened = await house(SMALL, token="s3cret", base_path="/models")
    assert (await opened.get("/models/x")).json() == {"detail": "Not authenticated"}
    assert (await opened.get("/models/x", headers=bearer("s3cret"))).json() == {"result": None}
    assert (await opened.get("/x", headers=bearer("s3cret"))).status == 404
    assert (await opened.get("/models", headers=bearer("s3cret"))).json()["versions"]


async def test_the_endpoint_can_be_switched_off(house: OpenHouse) -> None:
    opened = await house(SMALL, predict_endpoint=False)
    assert (await opened.get("/x")).json() == {"detail": "the predict endpoint is switched off here"}


async def test_only_the_origins_of_the_setting_may(house: OpenHouse) -> None:
    opened = await house(SMALL, cors_origins="https://a.example, https://b.example/")
    for origin, allowed in (("https://b.example", True), ("https://c.example", False), ("", False)):
        for method in ("OPTIONS", "GET"):
            answer = await opened.ask(method, "/x", headers={"Origin": origin} if origin else {})
            assert answer.headers.get("Access-Control-Allow-Origin") == (origin if allowed else None)
            assert (answer.status == 403) == (origin == "https://c.example")
            assert answer.headers["Vary"] == "Origin"
    opened = await house(SMALL, cors_origins="")
    answer = await opened.ask("OPTIONS", "/x", headers={"Origin": "https://a.example"})
    assert answer.status == 403
    assert not [header for header in answer.headers if header.startswith("Access-Control")]


async def test_a_large_answer_says_whose_pages_may_read_it(house: OpenHouse) -> None:
    origin = {"Origin": "https://a.example"}
    opened = await house(EVERYTHING, cors_origins="https://a.example")
    answer = await opened.get("/x?accept=application/pdf&mode=large", headers=origin)
    assert len(answer.body) > 3 << 20
    assert answer.headers["Access-Control-Allow-Origin"] == "https://a.example"


async def test_the_document_of_one_model_is_that_models(house: OpenHouse) -> None:
    opened = await house(EVERYTHING)
    info = (await opened.get("/openapi.json")).json()["info"]
    assert (info["title"], info["summary"], info["version"]) == ("Everything", "Answers with what it got", "1.2")
    assert info["description"].startswith("One argument of every kind.")
