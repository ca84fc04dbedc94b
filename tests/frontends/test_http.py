"""The hall: tokens, the choice of media types, errors."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil

import pytest
from aiohttp import web

import modelport
from modelport import errors
from modelport.contract.card import Argument, Card
from modelport.describe.statuses import STATUS
from modelport.errors import InvalidArguments, ModelportError
from modelport.frontends.deepaas import reason_phrase
from modelport.http.gateway import guarded
from modelport.identity.owner import same_secret
from modelport.intake.calls import choose_answer_type
from tests.conftest import OpenHouse
from tests.house import SOON_S, wait_until

CARD = Card(
    "x",
    predict_args=[Argument("accept", "string")],
    answer_types=["image/png", "application/json", "text/plain"],
    default_answer_type="application/json",
)


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("  ", "application/json"),
        (5, "application/json"),
        ("*", "application/json"),
        ("*/*", "application/json"),
        ("image/*", "image/png"),
        ("application/*", "application/json"),
        ("TEXT/PLAIN", "text/plain"),
        ("text/plain;charset=utf-8", "text/plain"),
        ("text/plain;q=0.1,image/png;q=0.2", "image/png"),
        ("text/plain , image/png", "text/plain"),
        ("text/plain;q=nonsense, image/png;q=0.5", "text/plain"),
        ("audio/wav, */*;q=0.1", "application/json"),
        (",,text/plain,", "text/plain"),
    ],
)
def test_the_best_of_the_plugins_types_is_chosen(wanted: object, chosen: str) -> None:
    assert choose_answer_type(CARD, wanted) == chosen


@pytest.mark.parametrize("wanted", ["audio/wav", "nonsense", "image/png;q=0", "application/jsonx", "text"])
def test_what_the_plugin_does_not_have_is_refused(wanted: str) -> None:
    with pytest.raises(InvalidArguments) as caught:
        choose_answer_type(CARD, wanted)
    assert caught.value.fields == {"accept": ["Must be one of: image/png, application/json, text/plain."]}


def test_a_plugin_that_lists_no_types_gets_what_was_asked_for_but_no_wildcard() -> None:
    card = Card("x", predict_args=[Argument("accept", "string")], default_answer_type="text/csv")
    assert choose_answer_type(card, "text/html") == "text/html"
    assert choose_answer_type(card, "*/*") == "text/csv"
    assert choose_answer_type(card, "text/html, */*") == "text/csv"


def test_every_kind_of_error_has_a_status() -> None:
    for module in pkgutil.walk_packages(modelport.__path__, "modelport."):
        if not module.name.startswith("modelport.child.compat.") and module.name != "modelport.__main__":
            importlib.import_module(module.name)
    # What only a command can meet is never answered, nor what a facilitator says: `Payments` says it otherwise.
    ours = ("modelport.client.", "modelport.commands.", "modelport.settings", "modelport.payments.")
    kinds = {kind for kind, cls in errors.KINDS.items() if not cls.__module__.startswith(ours)}
    assert {"store_failed", "issuer_unreachable", "bad_setting", "not_written"} <= set(errors.KINDS)
    assert kinds - {"internal", "store_in_use"} == set(STATUS)  # a server that cannot open its store answers nobody


@pytest.mark.parametrize(
    ("given", "same"), [("secret", True), ("Secret", False), ("", False), ("secret\udcff", False), ("sécret", False)]
)
def test_tokens_are_compared_whole(given: str, same: bool) -> None:
    assert same_secret(given, "secret") is same


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("two\r\nlines\n", "two lines"),
        ("nul\0 and \x1b[0m \x7f \x85", "nul? and ?[0m ?"),
        ("snow ☃", "snow ?"),
        ("é", "é"),
        ("x" * 1000, "x" * 300),
        ("\udcff", "?"),
        ("", ""),
    ],
)
def test_a_reason_phrase_is_one_clean_line(text: str, phrase: str) -> None:
    assert reason_phrase(text) == phrase


async def test_what_nobody_foresaw_is_a_500_that_tells_the_client_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        raise RuntimeError("the password is 1234")

    def shape(error: ModelportError, status: int) -> web.Response:
        return web.Response(status=status, text=error.message)

    from aiohttp.test_utils import make_mocked_request

    response = await guarded(handler, shape)(make_mocked_request("GET", "/"))
    assert isinstance(response, web.Response)
    assert (response.status, response.text) == (500, "the server failed; its log says why")
    assert "1234" in caplog.text


# Tokens, over the wire


async def test_with_a_token_only_those_who_have_it_are_served(house: OpenHouse) -> None:
    opened = await house("def predict(**k): return 1\ndef train(**k): return 1\n", token="secret")
    paths = [
        ("GET", "/"),
        ("GET", "/v2/models/"),
        ("GET", "/v2/models/x/"),
        ("POST", "/v2/models/x/predict/"),
        ("POST", "/v2/models/nobody/predict/"),
        ("POST", "/v2/models/x/train/"),
        ("GET", "/v2/models/x/train/"),
        ("DELETE", "/v2/models/x/train/0123"),
        ("GET", "/v2/debug/"),
        ("GET", "/swagger.json"),
        ("GET", "/openapi.json"),
        ("GET", "/metrics"),
    ]
    for method, path in paths:
        for header in ("", "Bearer", "Bearer wrong", "Basic secret", "secret", "Bearer secret secret"):
            answer = await opened.ask(method, path, headers={"Authorization": header} if header else {})
            assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer"), (path, header)
            assert "secret" not in answer.text
        for header in ("Bearer secret", "bearer secret", "Bearer   secret"):
            answer = await opened.ask(method, path, headers={"Authorization": header})
            assert answer.status in (200, 204, 404), (path, header, answer.text)
    raw = await opened.raw(
        b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer \xff\xfe\r\n\r\n"
    )
    assert raw.startswith(b"HTTP/1.1 401")
    for path in ("/health", "/ready", "/api", "/static/swagger/swagger-ui.css"):
        assert (await opened.get(path)).status == 200


async def test_nothing_is_read_or_stored_of_a_body_without_the_token(house: OpenHouse) -> None:
    opened = await house("def predict(**k): return 1\n", token="secret")
    head = b"POST /v2/models/x/predict/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", opened.server.port)
    writer.write(head + b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n")
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), SOON_S)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 401")
    await wait_until(lambda: opened.scratch() == [])
