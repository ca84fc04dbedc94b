"""The real deepaas-run and our server, asked the same: where deepaas is right, the answers are equal, byte for byte."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.house import PATIENCE_S, House, open_house
from tests.plugins import DEEPAAS_RUN, environment, installed_plugin

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

SOURCE = """
import io
from aiohttp import web
from webargs import fields, validate

TYPES = ["application/json", "text/plain", "application/zip"]

def get_metadata():
    return {"name": "conformance", "author": ["A", "B"], "license": None, "version": "1.0", "nested": {"a": [1, 2.5]}}

def get_predict_args():
    return {
        "accept": fields.Str(missing="application/json", location="headers", validate=validate.OneOf(TYPES)),
        "mode": fields.Str(missing="show"),
        "s": fields.Str(),
        "i": fields.Int(validate=validate.Range(min=1, max=9), description="a number"),
        "f": fields.Float(load_default=0.5),
        "b": fields.Bool(),
        "l": fields.List(fields.Int()),
        "d": fields.Dict(),
        "choice": fields.Str(enum=["a", "b"]),
        "one": fields.Str(validate=validate.OneOf(["red", "green"])),
        "none": fields.Str(missing=None),
        "date": fields.Date(),
        "form": fields.Str(location="form"),
        "js": fields.Int(location="json"),
        "X-Head": fields.Str(location="headers"),
        "cookie": fields.Str(location="cookies"),
        "wrong": fields.Str(missing=0.8),
        "dl": fields.DelimitedList(fields.Int()),
        "hidden": fields.Str(dump_only=True),
        "file": fields.Field(type="file", location="form"),
    }

def get_train_args():
    return {"epochs": fields.Int(missing=3), "file": fields.Field(type="file", location="form")}

def predict(accept, mode, **kwargs):
    if mode == "bytes":
        return b"raw \\\\0 bytes"
    if mode == "text":
        return "text \\u00e9"
    if mode == "null":
        return None
    if mode == "list":
        return [1, 2.5, "x", None, True, {"a": []}]
    if mode == "buffer":
        return io.BytesIO(b"from the start")
    if mode == "fail":
        raise ValueError("no")
    if mode == "upload":
        upload = kwargs["file"]
        return [upload.name, upload.content_type, upload.original_filename, open(upload.filename).read()]
    kwargs.pop("file", None)
    return {"accept": accept, **{name: repr(value) for name, value in kwargs.items()}}

def train(**kwargs):
    if kwargs["epochs"] == 9:
        raise ValueError("diverged")
    return {"epochs": kwargs["epochs"]}
"""

PREDICT = "/v2/models/x/predict/"
TRAIN = "/v2/models/x/train/"
JSON = {"Content-Type": "application/json"}
MULTIPART = {"Content-Type": "multipart/form-data; boundary=b"}


def part(disposition: str, content: str, more: str = "") -> bytes:
    return f"--b\r\nContent-Disposition: form-data; {disposition}\r\n{more}\r\n{content}\r\n--b--\r\n".encode()


@dataclass
class Request:
    path: str = PREDICT
    method: str = "POST"
    query: Any = None
    data: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bool = True  # compare the body, too
    loose: bool = False  # compare it as JSON: ours is UTF-8 where deepaas escapes

    def __str__(self) -> str:
        shown = [self.method, self.path, str(self.query or ""), repr(self.data or b"")[:50], str(self.headers or "")]
        return " ".join(each for each in shown if each not in ("", "b''"))


REQUESTS = [
    # Documents
    Request("/", "GET"),
    Request("/v2/", "GET"),
    Request("/v2/models/", "GET"),
    Request("/v2/models/x/", "GET"),
    Request("/v2/models/x/train/", "GET"),
    Request("/v2/debug/", "GET"),
    Request("/ui", "GET", body=False),
    # Routes
    Request("/v2", "GET"),
    Request("/v2/models", "GET"),
    Request("/v2/models/x/predict"),
    Request("//v2//models/", "GET"),
    Request("/v2/models/x/predict/", "GET"),
    Request("/v2/models/x/predict", "GET"),
    Request("/v2/models/x/train/", "PUT"),
    Request("/", "HEAD"),
    Request("/v2/models/x/predict/", "OPTIONS"),
    Request("/no-such", "GET", body=False),  # ours has more doors, with errors of their own shape
    Request("/v2/no-such/", "GET"),
    Request("/static/swagger/", "GET", body=False),
    # Arguments
    Request(),
    Request(
        query={"s": "é &", "i": "7", "f": "1e3", "b": "yes", "choice": "never listed", "date": "2026-01-31"}, loose=True
    ),
    Request(query=[("l", "1"), ("l", "2"), ("i", "1"), ("i", "2")]),
    Request(query={"s": "", "unknown": "1", "dl": "1,2,3"}),
    Request(query={"i": "x", "f": "nan", "b": "maybe", "one": "blue", "date": "1.1.", "d": "text"}),
    Request(query={"i": "10"}),
    Request(query={"hidden": "1"}),
    Request(query=[("l", "1"), ("l", "x")]),
    Request(query={"l": "1,2"}),
    Request(query={"form": "1", "js": "1", "X-Head": "1", "cookie": "1"}),
    Request(data=b"s=form&l=1&l=2", headers={"Content-Type": "application/x-www-form-urlencoded"}),
    Request(query={"s": "q"}, data=b'{"s": "j", "i": 3.9, "l": 5, "js": 4}', headers=JSON),
    Request(data=b'{"d": {"a": [1]}, "none": null, "l": [], "b": true}', headers=JSON),
    Request(data=b'{"s": 5, "i": null, "l": null, "f": "x"}', headers=JSON),
    Request(data=b'{"l": [1, "x", null]}', headers=JSON),
    Request(data=b"[1, 2]", headers=JSON),
    Request(data=b"null", headers=JSON),
    Request(data=b"", headers=JSON),
    Request(data=b"{", headers=JSON),
    Request(data=b"\xff", headers=JSON),
    Request(data=b'{"s": "x"}', headers={"Content-Type": "text/json"}),
    Request(data=b'{"s": "x"}', headers={"Content-Type": "application/vnd.api+json"}),
    Request(headers={"X-HEAD": "h", "Cookie": "cookie=c"}),
    # Files
    Request(
        query={"mode": "upload"},
        data=part('name="file"; filename="a b.txt"', "content", "Content-Type: text/plain\r\n"),
        headers=MULTIPART,
    ),
    Request(query={"mode": "upload"}, data=part('name="file"; filename="a.txt"', "content"), headers=MULTIPART),
    Request(data=part('name="s"', "from a part"), headers=MULTIPART),
    # Answers
    Request(query={"mode": "text"}, loose=True),
    Request(query={"mode": "null"}),
    Request(query={"mode": "list"}),
    Request(query={"mode": "text"}, headers={"Accept": "text/plain"}),
    Request(query={"mode": "null"}, headers={"Accept": "text/plain"}),
    Request(query={"mode": "bytes"}, headers={"Accept": "application/zip"}),
    Request(query={"mode": "buffer"}, headers={"Accept": "application/zip"}),
    Request(headers={"Accept": "application/json"}),
    Request(headers={"Accept": "image/png"}, body=False),  # deepaas' message lists the wildcard that it has added
    Request(query={"mode": "fail"}, body=False),  # D-18
    # Trainings
    Request("/v2/models/x/train/", query={"epochs": "x"}),
    Request("/v2/models/x/train/" + "0" * 32, "GET", body=False),  # ours says what is not there
    Request("/v2/models/x/train/" + "0" * 32, "DELETE", body=False),  # ours says what is not there
    Request("/v2/models/x/train/" + "0" * 32 + "/", "GET", body=False),  # the same
]


@dataclass
class Both:
    deepaas: str
    ours: House

    async def ask(self, request: Request) -> list[tuple[Any, ...]]:
        return [await self._ask(base, request) for base in (self.deepaas, f"http://127.0.0.1:{self.ours.server.port}")]

    async def _ask(self, base: str, request: Request) -> tuple[Any, ...]:
        async with self.ours.session.request(
            request.method,
            base + request.path,
            params=request.query,
            data=request.data,
            headers=request.headers,
            allow_redirects=False,
            skip_auto_headers=["Accept", "Content-Type"],
        ) as response:
            body = await response.read()
            # Text that we have encoded says how; deepaas says so of its own, not of a model's.
            kind = response.headers.get("Content-Type", "").removesuffix("; charset=utf-8")
            more = [response.headers.get(each) for each in ("Location", "Allow")]
            shown = json.loads(body) if request.loose else body
            return response.status, shown if request.body else None, kind if request.body else None, *more


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Both]:
    folder = tmp_path_factory.mktemp("conformance")
    installed_plugin(folder / "installed", "x", SOURCE)
    port = free_port()
    log = open(folder / "deepaas.log", "wb")  # noqa: SIM115 (the process has it)
    process = subprocess.Popen(
        [str(DEEPAAS_RUN), "--model-name", "x", "--listen-port", str(port)],
        env=environment(folder / "installed", "x"),
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    log.close()
    try:
        async with open_house(folder / "ours", SOURCE, start_method="fork") as ours:
            await wait_for_port(port, process, folder / "deepaas.log")
            yield Both(f"http://127.0.0.1:{port}", ours)
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, PATIENCE_S)


async def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return
    raise TimeoutError(log.read_text())


@pytest.mark.parametrize("request_", REQUESTS, ids=[str(number) for number in range(len(REQUESTS))])
async def test_both_answer_the_same(both: Both, request_: Request) -> None:
    theirs, ours = await both.ask(request_)
    assert ours == theirs, str(request_)


async def test_trainings_have_the_same_records(both: Both) -> None:
    for epochs, status in (("3", "done"), ("9", "error")):
        theirs, ours = [json.loads(each[1]) for each in await both.ask(Request(TRAIN, query={"epochs": epochs}))]
        assert list(ours) == list(theirs)
        assert (ours["args"], ours["status"]) == (theirs["args"], theirs["status"])
        rows = [
            await ended(base + TRAIN + row["uuid"], both.ours.session)
            for base, row in ((both.deepaas, theirs), (f"http://127.0.0.1:{both.ours.server.port}", ours))
        ]
        assert [each["status"] for each in rows] == [status, status]
        # The class of what a training raised stands in a field of its own: deepaas has the text alone.
        assert sorted(rows[0]) == sorted(set(rows[1]) - {"error"})
        if status == "done":
            assert sorted(rows[0]["result"]) == sorted(rows[1]["result"])
            assert rows[0]["result"]["output"] == rows[1]["result"]["output"]
            for name in ("finish_date", "duration"):
                assert shape(rows[0]["result"][name]) == shape(rows[1]["result"][name])
        assert shape(rows[0]["date"]) == shape(rows[1]["date"])


def shape(text: str) -> str:
    return re.sub(r"\.\d+$", ".N", re.sub(r"\d(?=.*\.)", "9", text))


async def ended(url: str, session: aiohttp.ClientSession) -> Any:
    while True:
        async with session.get(url) as response:
            row = await response.json()
        if row["status"] != "running":
            return row
        await asyncio.sleep(0.05)


async def test_clients_find_the_same_parameters_in_swagger_json(both: Both) -> None:
    theirs, ours = [json.loads(each[1]) for each in await both.ask(Request("/swagger.json", "GET"))]
    known = {
        "in",
        "name",
        "required",
        "type",
        "format",
        "default",
        "enum",
        "minimum",
        "maximum",
        "description",
        "items",
    }

    def parameters(document: Any, path: str) -> list[dict[str, Any]]:
        found = [
            parameter
            for parameter in document["paths"][path]["post"]["parameters"]
            if parameter["in"] not in ("body", "cookie")
        ]
        return [{key: value for key, value in each.items() if key in known} for each in found]

    for path in (PREDICT, TRAIN):
        assert parameters(ours, path) == parameters(theirs, path)
        assert ours["paths"][path]["post"]["produces"] == theirs["paths"][path]["post"]["produces"]
