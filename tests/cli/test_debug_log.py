"""--debug logs no code for signing in, no token and no argument, whatever comes to whatever door."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from modelport.objectstore import sigv4
from tests.cli.conftest import Cli, Running
from tests.house import PATIENCE_S
from tests.plugins import installed_plugin

pytestmark = pytest.mark.slow

# It takes anything from anywhere, prints nothing, and fails with nothing of what it got.
SOURCE = """
from marshmallow import fields, validate
def get_predict_args():
    return {
        "word": fields.Str(load_default=""),
        "choice": fields.Str(load_default="a", validate=validate.OneOf(["a", "b"])),
        "count": fields.Int(load_default=1),
        "mark": fields.Str(load_default="", metadata={"location": "headers"}),
        "crumb": fields.Str(load_default="", metadata={"location": "cookies"}),
        "file": fields.Raw(load_default=None, metadata={"type": "file", "location": "form"}),
        "fail": fields.Bool(load_default=False),
    }
get_train_args = get_predict_args
def predict(fail, **given):
    if fail: raise ValueError("it failed")
    return 1
train = predict
"""

DOORS = (
    *("/v2/models/model/predict/", "/v2/models/model/train/", "/run/model", "/job/model", "/model", "/model/async"),
    *("/deployments", "/deployments/model", "/jobs", "/events", "/files/model", "/files/model/inputs/a", "/modules"),
    *("/system/services", "/system/services/model", "/system/logs/model", "/system/buckets", "/system/info"),
    *("/openapi.json", "/docs", "/", "/metrics", "/health", "/ready", "/status/0", "/results/0", "/webhooks/secret"),
    *("/deployments/model/links", "/deployments/model/shift", "/ui/shared/model"),
    *("/ui/", "/ui/login", "/ui/logout", "/ui/code", "/ui/jobs", "/ui/nowhere", "/nowhere", "//nowhere", "/jobs/"),
)


class Marks:
    """Texts that are nowhere else. Each is what must not be found, with what it was."""

    def __init__(self) -> None:
        self.made: dict[str, str] = {}

    def __call__(self, what: str) -> str:
        text = f"mark-{secrets.token_hex(8)}"
        self.made[text] = what
        return text

    def found_in(self, log: str) -> set[str]:
        return {what for text, what in self.made.items() if text in log}


def cases(mark: Marks, token: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(method, options for a request): each way in which something can be said."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    for method in ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"):
        yield method, {"headers": headers, "params": {"word": mark("query"), "token": mark("token in the query")}}
    for query in ({"choice": mark("query, refused")}, {"count": mark("query, no number")}, {mark("name"): "1"}):
        yield "GET", {"headers": headers, "params": query}
    more = {"Referer": f"http://h/?code={mark('referer')}", "Mark": mark("header"), "Accept": mark("accept")}
    yield "POST", {"headers": {**headers, **more, "Cookie": f"crumb={mark('cookie')}; modelport={mark('session')}"}}
    yield "POST", {"headers": headers, "json": {"word": mark("json"), "fail": True}}
    yield "POST", {"headers": headers, "json": {"choice": mark("json, refused"), "count": mark("no number")}}
    yield "POST", {"headers": {**headers, "Prefer": "respond-async"}, "json": {"word": mark("job")}}
    yield "POST", {"headers": headers, "data": {"word": mark("form"), "code": mark("code")}}
    yield "POST", {"headers": {**headers, "Content-Type": "application/json"}, "data": mark("broken json").encode()}
    form = aiohttp.FormData()
    form.add_field("file", mark("file").encode(), filename=f"{mark('file name')}.txt")
    form.add_field("word", mark("part"))
    yield "POST", {"headers": headers, "data": form}
    yield "PUT", {"headers": {**headers, "Content-Type": mark("type")}, "data": mark("raw").encode()}


def wrong_secrets(mark: Marks) -> Iterator[dict[str, Any]]:
    """Few, since they are held back."""
    password = base64.b64encode(f"oscar:{mark('password')}".encode()).decode()
    mark.made[password] = "password, encoded"
    for authorization in (f"Bearer {mark('wrong bearer')}", f"Basic {password}", mark("no scheme")):
        yield {"headers": {"Authorization": authorization}}
    yield {"data": {"user": "oscar", "password": mark("password in a form")}}


async def ask_everything(url: str, marks: Marks, token: str) -> None:
    # Without a cookie jar, so that every request is as it is here.
    timeout = aiohttp.ClientTimeout(PATIENCE_S)
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), timeout=timeout) as session:
        for door in DOORS:
            for method, options in [*cases(marks, token), *cases(marks, "")]:
                async with session.request(method, url + door, allow_redirects=False, **options) as response:
                    if response.content_type != "text/event-stream":
                        await response.read()
        for door in ("/run/model", "/system/services", "/ui/login", "/ui/shared/model"):
            for options in wrong_secrets(marks):
                await (await session.post(url + door, **options)).read()
    for head in (f"GET /{marks('head')} NONSENSE", f"GET / HTTP/1.1\r\nA: {marks('line')}\r\n{marks('no colon')}"):
        await send(url, head.encode() + b"\r\n\r\n")


async def sign_in(url: str, marks: Marks, token: str) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{url}/ui/code", headers={"Authorization": f"Bearer {token}"}) as answer:
            link = (await answer.json())["url"]
        code = link.rpartition("code=")[2]
        marks.made[code] = "code for signing in"
        await (await session.get(link)).read()
        async with session.post(f"{url}/ui/login", data={"code": code}, allow_redirects=False) as answer:
            assert answer.status == 303
            marks.made[answer.cookies.output().partition("=")[2].partition(";")[0]] = "session"


async def ask_store(store: str, marks: Marks, keys: tuple[str, str]) -> None:
    async with aiohttp.ClientSession() as session:
        for key in (f"/?prefix={marks('prefix')}", f"/model-bucket/inputs/{marks('key')}"):
            for signed in (keys, (keys[0], marks("wrong secret"))):
                headers = sigv4.sign("GET", store + key, {}, *signed, "us-east-1")
                await (await session.get(store + key, headers=headers)).read()
        presigned = sigv4.presign("GET", f"{store}/model-bucket/inputs/a", *keys, "us-east-1", 60)
        marks.made[presigned.rpartition("X-Amz-Signature=")[2]] = "signature"
        await (await session.get(presigned)).read()


async def send(url: str, data: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.write(data)
    await reader.read()
    writer.close()
    await writer.wait_closed()


def test_serve(cli: Cli) -> None:
    marks = Marks()
    token = marks("token")
    with cli.serving(cli.write("model.py", SOURCE), "--debug", MODELPORT_S3_PORT="0", BEARER_TOKEN=token) as server:
        bucket = asyncio.run(_bucket(server.url, token))
        marks.made[bucket["secret_key"]] = "secret key"
        asyncio.run(ask_store(bucket["endpoint"], marks, (bucket["access_key"], bucket["secret_key"])))
        asyncio.run(sign_in(server.url, marks, token))
        asyncio.run(ask_everything(server.url, marks, token))
        check(server, marks)


def test_deepaas_run(cli: Cli) -> None:
    """It writes a line for each request without --debug, too."""
    marks = Marks()
    token = marks("token")
    installed_plugin(cli.folder / "site", "model", SOURCE, entry="model")
    environ = {"BEARER_TOKEN": token, "MODELPORT_S3_PORT": "0", "PYTHONPATH": str(cli.folder / "site")}
    arguments = ("--debug", "--listen-port", "0", "--model-name", "model")
    with cli.running("deepaas-run", *arguments, **environ) as server:
        url = server.wait_line("Running on").split()[3]
        asyncio.run(ask_everything(url, marks, token))
        check(server, marks)


async def _bucket(url: str, token: str) -> dict[str, str]:
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession() as session, session.get(f"{url}/deployments/model", headers=headers) as answer:
        bucket: dict[str, str] = (await answer.json())["bucket"]
        return bucket


def check(server: Running, marks: Marks) -> None:
    assert server.end() == 0
    log = "".join(server.out + server.err)
    assert log.count("/v2/models/model/predict/") > 30, log  # it is the log of these requests
    assert marks.found_in(log) == set()
