"""What the server's own options change (contract, 2.1, 2.4, 2.8, 2.10). Each test opens a server of its own."""

from __future__ import annotations

import re

import aiohttp
import pytest

from tests.conftest import OpenHouse
from tests.contract import plugins
from tests.house import wait_until

ECHO = """
from webargs import fields
def get_predict_args(): return {"s": fields.Str(), "f": fields.Field(type="file", location="form")}
def predict(**kwargs):
    print("from plugin", kwargs.get("s"))
    return kwargs.get("s")
def get_metadata():
    return {"license": "MIT"}
def train(**kwargs): return 1
"""


async def test_a_base_path_goes_before_every_route_and_link(house: OpenHouse) -> None:
    opened = await house(ECHO, base_path="/models")
    answer = await opened.get("/models")
    self_link = {"rel": "self", "type": "application/json", "href": "/models/v2/"}
    assert answer.json()["versions"][0]["links"] == [self_link]
    assert [link["href"] for link in answer.json()["links"]] == ["/models/api", "/models/swagger.json"]
    assert (await opened.get("/models/")).json() == answer.json()
    for path in ("/", "/v2/", "/swagger.json", "/api"):
        assert (await opened.get(path)).status == 404, path
    assert (await opened.get("/models/v2/models/x/")).json()["links"][0]["href"] == "/models/v2/models/x"
    assert (await opened.get("/models/ui")).headers["Location"] == "/models/api"
    assert "/models/swagger.json" in (await opened.get("/models/api")).text
    answer = await opened.get("/models/v2/models")
    assert (answer.status, answer.headers["Location"]) == (308, "/models/v2/models/")
    assert "/models/v2/models/x/predict/" in (await opened.get("/models/swagger.json")).json()["paths"]
    assert (await opened.predict({"s": "a"})).json()["predictions"] == "a"


async def test_without_doc_endpoint_the_pages_and_their_link_are_gone_and_swagger_stays(house: OpenHouse) -> None:
    opened = await house(ECHO, doc_endpoint=False, dashboard=False)
    for path in ("/ui", "/api", "/static/swagger/swagger-ui.css"):
        assert (await opened.get(path)).status == 404
    assert [link["rel"] for link in (await opened.get("/")).json()["links"]] == ["describedby"]
    assert (await opened.get("/swagger.json")).status == 200


async def test_endpoints_that_are_switched_off_are_402_and_not_described(house: OpenHouse) -> None:
    opened = await house(ECHO, predict_endpoint=False, train_endpoint=False)
    for method, path in (
        ("POST", "predict/"),
        ("POST", "train/"),
        ("GET", "train/"),
        ("GET", "train/0123"),
        ("DELETE", "train/0123"),
    ):
        assert (await opened.ask(method, f"/v2/models/x/{path}")).status == 402
    paths = (await opened.get("/swagger.json")).json()["paths"]
    assert not [path for path in paths if "predict" in path or "train" in path]
    assert (await opened.get("/v2/models/x/")).status == 200


@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded", "text/plain", "multipart"])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_client_max_size_is_413(house: OpenHouse, kind: str, chunked: bool) -> None:
    opened = await house(ECHO, client_max_size=1000)
    for size, status in ((500, 200), (5000, 413)):
        part = b'--b\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\n' + b"x" * size + b"\r\n--b--\r\n"
        body = {
            "application/json": b'{"s": "' + b"x" * size + b'"}',
            "application/x-www-form-urlencoded": b"s=" + b"x" * size,
            "text/plain": b"x" * size,
            "multipart": part,
        }[kind]
        headers = {"Content-Type": "multipart/form-data; boundary=b" if kind == "multipart" else kind}

        async def pieces(body: bytes = body) -> object:
            for start in range(0, len(body), 700):
                yield body[start : start + 700]

        data = pieces() if chunked else body
        answer = await opened.predict(data=data, headers=headers)
        assert answer.status == status, answer.text
        if status == 413:
            assert answer.type.startswith("text/plain")
    await wait_until(lambda: opened.scratch() == [])


async def test_parts_that_are_dropped_count_too(house: OpenHouse) -> None:
    opened = await house(ECHO, client_max_size=1000)
    part = b'--b\r\nContent-Disposition: form-data; name="f"; filename=""\r\nContent-Type: a/b\r\n\r\n' + b"x" * 500_000

    async def pieces() -> object:
        yield part

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    assert (await opened.predict(data=pieces(), headers=headers)).status == 413


async def test_forms_have_a_limit_of_parts(house: OpenHouse) -> None:
    opened = await house(ECHO)
    many = {f"field{number}": "x" for number in range(10_000)}
    assert (await opened.predict(data=many)).status == 413
    multipart = aiohttp.FormData(default_to_multipart=True)
    for name, value in many.items():
        multipart.add_field(name, value)
    assert (await opened.predict(data=multipart)).status == 413
    assert (await opened.predict(json=many)).status == 200


async def test_the_debug_endpoint_tells_what_the_plugin_printed(house: OpenHouse) -> None:
    opened = await house(ECHO, debug_endpoint=True)
    await opened.predict({"s": "apple"})
    answer = await opened.get("/v2/debug/")
    assert (answer.status, answer.type) == (200, "text/plain; charset=utf-8")
    assert "from plugin apple" in answer.text
    assert re.search(r"--- DEBUG MARKER \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ ---\n", answer.text)


async def test_the_debug_output_is_bounded(house: OpenHouse) -> None:
    opened = await house(
        "def predict(**k):\n    print('x' * 200_000)\n", debug_endpoint=True, debug_limit_bytes=100_000
    )
    for _ in range(5):
        await opened.predict()
    assert len((await opened.get("/v2/debug/")).text) < 170_000


async def test_with_debug_a_500_tells_the_traceback_without_it_does_not(house: OpenHouse) -> None:
    for debug in (False, True):
        opened = await house(plugins.FAILING, debug=debug)
        answer = await opened.predict({"mode": "value_error"})
        assert answer.status == 500
        assert ("Traceback" in answer.text and "in value_error" in answer.text) is debug


async def test_without_warm_it_is_not_called(house: OpenHouse) -> None:
    for warm in (True, False):
        opened = await house(plugins.TRAINER, warm=warm)
        assert (await opened.predict()).json()["predictions"] == int(warm)


async def test_a_class_or_an_object_may_be_the_plugin(house: OpenHouse) -> None:
    opened = await house({"object:obj": plugins.OBJECT, "class:Model": plugins.STATIC_CLASS})
    assert [(await opened.predict(name="object")).json()["predictions"] for _ in range(3)] == [101, 102, 103]
    assert (await opened.predict(name="class")).json()["predictions"] == "static"
