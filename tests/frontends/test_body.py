"""Bodies taken apart, and arguments picked from where the card says. More of it in tests/contract."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import random
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from modelport.contract.card import Argument
from modelport.errors import InvalidJson, ModelportError, StorageFull
from modelport.http.arguments import Body, gather
from modelport.http.body import BodyReader, BrokenBody
from modelport.intake.received import Upload
from modelport.intake.scratch import Writer
from modelport.settings import Settings
from tests.conftest import OpenHouse
from tests.house import PATIENCE_S, wait_until

JSON = {"Content-Type": "application/json"}
SOURCE = """
import hashlib
from webargs import fields
def get_predict_args():
    return {"files": fields.List(fields.Field(), type="file", location="form"), "s": fields.Str()}
def predict(files=(), s=None):
    return [[each.original_filename, digest(each.filename)] for each in files] or s
def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()
"""


async def test_files_of_every_size_arrive_as_they_were(house: OpenHouse) -> None:
    """Sizes around the pieces in which parts are read and written, contents full of what looks like boundaries."""
    import hashlib

    opened = await house(SOURCE)
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    sizes = [0, 1, 2, 255, *(base + off for base in (1 << 16, 1 << 18, 1 << 20) for off in (-3, -1, 0, 1, 70))]
    contents = []
    for size in sizes:
        content = bytearray(draw.randbytes(size))
        for _ in range(size // 1000):
            at = draw.randrange(size)
            content[at : at + 5] = draw.choice([b"\r\n--b", b"\r\n--\n", b"--b--", b"\r\r\n\n\r"])
        contents.append(bytes(content[:size]))
    form = aiohttp.FormData()
    for number, each in enumerate(contents):
        form.add_field("files", io.BytesIO(each), filename=f"{number}")
    predictions = (await opened.predict(data=form)).json()["predictions"]
    assert predictions == [[str(number), hashlib.sha256(each).hexdigest()] for number, each in enumerate(contents)]


@pytest.mark.parametrize("size", [1, 7, 100, 4096])
async def test_a_body_in_small_pieces_is_the_same_body(house: OpenHouse, size: int) -> None:
    opened = await house(SOURCE)
    body = b'--b\r\nContent-Disposition: form-data; name="s"\r\n\r\n' + "é".encode() * 500 + b"\r\n--b--\r\n"

    async def pieces() -> object:
        for start in range(0, len(body), size):
            yield body[start : start + size]
            await asyncio.sleep(0)

    answer = await opened.predict(data=pieces(), headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert answer.json()["predictions"] == "é" * 500


async def test_a_body_whose_client_has_gone_before_it_is_read_is_broken(tmp_path: Path) -> None:
    """No fault of ours: an error that a door knows, and no traceback."""
    requests: asyncio.Queue[web.BaseRequest] = asyncio.Queue()
    read: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def handle(request: web.BaseRequest) -> web.Response:
        await requests.put(request)
        await wait_until(lambda: request.transport is None)
        try:
            read.set_result(await BodyReader(request, Settings(home=str(tmp_path))).read())
        except ModelportError as error:
            read.set_exception(error)
        return web.Response()

    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        _, writer = await asyncio.open_connection(*runner.addresses[0])
        writer.write(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
        await requests.get()
        writer.transport.abort()
        with pytest.raises(BrokenBody):
            await asyncio.wait_for(read, PATIENCE_S)
    finally:
        await runner.cleanup()


async def test_a_json_body_has_a_limit_of_its_own(house: OpenHouse) -> None:
    opened = await house(SOURCE, json_limit_bytes=1000, form_limit_bytes=1000)
    assert (await opened.predict(json={"s": "x" * 900})).status == 200
    answer = await opened.predict(json={"s": "x" * 2000})
    assert (answer.status, "json_limit_bytes" in answer.text) == (413, True)

    async def pieces() -> object:
        yield b'{"s": "' + b"x" * 2000 + b'"}'

    assert (await opened.predict(data=pieces(), headers={"Content-Type": "application/json"})).status == 413
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("s", "x" * 2000)
    assert (await opened.predict(data=form)).status == 413
    form = aiohttp.FormData()
    form.add_field("files", io.BytesIO(b"x" * 100_000), filename="a")
    assert (await opened.predict(data=form)).status == 200


async def test_a_compressed_body_is_refused_unless_a_setting_takes_it(house: OpenHouse) -> None:
    opened = await house(SOURCE)
    answer = await opened.predict(data=gzip.compress(b"{}"), headers={**JSON, "Content-Encoding": "gzip"})
    assert (answer.status, "takes only identity" in answer.text) == (415, True)
    assert (await opened.predict(data=b'{"s": "a"}', headers={**JSON, "Content-Encoding": "identity"})).status == 200


async def test_a_compressed_body_counts_by_what_it_holds(house: OpenHouse) -> None:
    opened = await house(SOURCE, json_limit_bytes=100_000, gzip_bodies=True)
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    small = gzip.compress(json.dumps({"s": "x" * 1000}).encode())
    assert (await opened.predict(data=small, headers=headers)).json()["predictions"] == "x" * 1000
    bomb = gzip.compress(b'{"s": "' + b"x" * 50_000_000 + b'"}')
    assert (await opened.predict(data=bomb, headers=headers)).status == 413
    answer = await opened.predict(data=small + b"x", headers=headers)
    assert (answer.status, "behind the end" in answer.text) == (400, True)
    answer = await opened.predict(data=small[:-9], headers=headers)
    assert (answer.status, "too early" in answer.text) == (400, True)
    assert (await opened.predict(data=b"{}", headers=headers)).status == 400


async def test_a_gzip_bomb_ends_at_the_ratio(house: OpenHouse) -> None:
    opened = await house(SOURCE, gzip_bodies=True)
    bomb = gzip.compress(b" " * 50_000_000)
    answer = await opened.predict(data=bomb, headers={**JSON, "Content-Encoding": "gzip"})
    assert (answer.status, "gzip_ratio_limit" in answer.text) == (413, True)


# The writer


async def test_a_writer_writes_everything_in_order(tmp_path: Path) -> None:
    async with Writer(tmp_path / "file") as writer:
        for number in range(3000):
            await writer.write(b"%d," % number * 100)
    assert (tmp_path / "file").read_bytes() == b"".join(b"%d," % number * 100 for number in range(3000))
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


async def test_a_writer_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageFull):
        async with Writer(tmp_path / "file"):
            pass
    assert (tmp_path / "file").read_text() == "x"


async def test_a_writer_on_a_full_disk_says_so() -> None:
    writer = Writer(Path("/dev/full"))
    import os

    writer._descriptor = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(StorageFull):
        try:
            await writer.write(b"x" * (2 << 20))
        finally:
            await writer.__aexit__(None, None)


# Picking


def pick(
    argument: Argument, target: str = "/", headers: dict[str, str] | None = None, body: Body | None = None
) -> object:
    values, _ = gather([argument], make_mocked_request("POST", target, headers=headers or {}), body or Body())
    return values.get(argument.name)


ALL = Body(form={"a": ["form", "more"]}, json={"a": "json"})


def test_without_a_location_query_goes_before_form_before_json() -> None:
    assert pick(Argument("a", "any"), "/?a=query&a=2", body=ALL) == "query"
    assert pick(Argument("a", "any"), body=ALL) == "form"
    assert pick(Argument("a", "any"), body=Body(json={"a": "json"})) == "json"
    assert pick(Argument("a", "any")) is None


@pytest.mark.parametrize(
    ("location", "value"),
    [("query", "query"), ("form", "form"), ("json", "json"), ("headers", "header"), ("cookies", "cookie")],
)
def test_with_a_location_only_there(location: str, value: str) -> None:
    headers = {"A": "header", "Cookie": "a=cookie"}
    assert pick(Argument("a", "any", location=location), "/?a=query", headers, ALL) == value


@pytest.mark.parametrize("location", ["query", "form", "headers", "cookies", "files"])
def test_json_holds_every_argument_that_is_no_file(location: str) -> None:
    assert pick(Argument("a", "any", location=location), body=Body(json={"a": 1})) == 1
    assert pick(Argument("a", "any", location=location), body=Body(json={"b": 1})) is None
    assert pick(Argument("a", "file", location="form"), body=Body(json={"a": 1})) is None


def test_lists_take_all_values() -> None:
    many = Argument("a", "array", item=Argument("a", "string"), multiple=True)
    assert pick(many, "/?a=1&a=2") == ["1", "2"]
    assert pick(many, body=ALL) == ["form", "more"]
    for sent, found in ((5, [5]), ([5], [5]), ({"b": 1}, [{"b": 1}])):
        assert pick(many, body=Body(json={"a": sent})) == found


def test_broken_json_counts_only_where_somebody_looks_for_something() -> None:
    broken = Body(json_error=InvalidJson("broken"))
    assert pick(Argument("a", "any"), "/?a=1", body=broken) == "1"
    assert pick(Argument("a", "any", location="query"), body=broken) is None
    for argument in (Argument("a", "any"), Argument("a", "any", location="json")):
        with pytest.raises(InvalidJson):
            pick(argument, body=broken)


def test_files_come_under_their_wire_name() -> None:
    part = Upload("data", "/tmp/x", "image/png", "a.png")
    argument = Argument("files", "file", wire_name="data", location="form")
    values, files = gather([argument], make_mocked_request("POST", "/"), Body(files={"data": [part]}))
    assert values == {}
    assert [(file.argument, file.name, file.path, file.content_type, file.filename) for file in files] == [
        ("files", "data", "/tmp/x", "image/png", "a.png")
    ]
