"""A server with the OSCAR door, and services on it."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.house import Answer, House, open_house, wait_until

ROOT = Path(__file__).parents[2]
DATA = ROOT / "data"
DEMO_APP = str(ROOT / "examples/demo_app")
PASSWORD = "a password"
OWNER = "Basic " + base64.b64encode(f"oscar:{PASSWORD}".encode()).decode()

# One argument of each kind that matters here, and ways to end.
PLUGIN = """
import os, sys, time
from marshmallow import fields, validate
def get_metadata():
    return {"name": "plugin"}
def get_predict_args():
    return {
        "text": fields.Str(load_default=None, allow_none=True),
        "number": fields.Int(load_default=1, validate=validate.Range(0, 10)),
        "floats": fields.List(fields.Float(), load_default=[0.5]),
        "options": fields.Dict(load_default={}),
        "flag": fields.Bool(load_default=False),
        "image": fields.Field(load_default=None, metadata={"type": "file", "location": "form"}),
        "pages": fields.List(fields.Field(metadata={"type": "file", "location": "form"}), load_default=[]),
        "mode": fields.Str(load_default="echo"),
        "seconds": fields.Float(load_default=0),
    }
def facts(file):
    with open(file.filename, "rb") as opened:
        content = opened.read()
    return [file.original_filename, file.content_type, os.path.splitext(file.filename)[1], content.decode("latin-1")]
def predict(mode, seconds, image, pages, **arguments):
    if mode == "print":
        print("on stdout"); print("\\x1b[31mon stderr\\x1b[0m", file=sys.stderr)
    if mode == "raise":
        print("return: before the end"); raise RuntimeError("the weights are gone")
    if mode == "die":
        os._exit(9)
    time.sleep(seconds)
    if mode == "size":
        return os.path.getsize(image.filename)
    if mode == "environment":
        return os.environ.get(arguments["text"])
    files = {"image": facts(image)} if image else {}
    if pages:
        files["pages"] = [facts(each) for each in pages]
    return {**arguments, **files}
"""


def definition(name: str, **more: Any) -> dict[str, Any]:
    """As PAPI sends it."""
    return {
        "name": name,
        "image": "ai4oshub/plugin",
        "script": "#!/bin/sh\ndeepaas-cli predict\n",
        "cluster_id": "cluster",
        "cpu": "1",
        "memory": "1024Mi",
        "log_level": "CRITICAL",
        "alpine": False,
        **more,
    }


@dataclass
class Oscar:
    """The server, its owner, and calls to it."""

    house: House

    @property
    def owner(self) -> str:
        """The header Authorization of the server's owner."""
        return OWNER

    async def system(self, method: str, path: str, *, auth: str | None = OWNER, **options: Any) -> Answer:
        """auth: the header Authorization."""
        headers = {**({"Authorization": auth} if auth is not None else {}), **options.pop("headers", {})}
        return await self.house.ask(method, f"/system{path}", headers=headers, **options)

    async def create(self, name: str, **more: Any) -> Answer:
        return await self.system("POST", "/services", json=definition(name, **more))

    async def deployed(self, name: str, **more: Any) -> str:
        """The token of a new service."""
        answer = await self.create(name, **more)
        assert answer.status == 201, answer.text
        return await self.token(name)

    async def token(self, name: str) -> str:
        return str((await self.system("GET", f"/services/{name}")).json()["token"])

    async def run(
        self, name: str, body: Any, *, token: str | None = None, headers: dict[str, str] | None = None, query: str = ""
    ) -> Answer:
        """body: bytes and forms as they are; anything else as JSON."""
        return await self._call(f"/run/{name}{query}", name, body, token, headers)

    async def job(
        self, name: str, body: Any, *, token: str | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """The same, to /job."""
        return await self._call(f"/job/{name}", name, body, token, headers)

    async def _call(self, path: str, name: str, body: Any, token: str | None, headers: dict[str, str] | None) -> Answer:
        token = await self.token(name) if token is None else token
        options: dict[str, Any] = {"headers": {"Authorization": f"Bearer {token}", **(headers or {})}}
        if isinstance(body, bytes):
            options["data"] = body
            options["skip_auto_headers"] = ["Content-Type"]
        elif isinstance(body, aiohttp.FormData):
            options["data"] = body
        else:
            options["data"] = io.BytesIO(json.dumps(body).encode())
            options["headers"].setdefault("Content-Type", "application/json")
        return await self.house.post(path, **options)

    async def wait_state(self, name: str, *states: str) -> None:
        deployment = self.house.server.deployments.get(name)
        await wait_until(lambda: deployment.state in states)


def returned(answer: Answer) -> str:
    """What stands behind `return: `."""
    lines = [line for line in answer.text.splitlines() if line.startswith("return: ")]
    assert len(lines) == 1, answer.text
    return lines[0].removeprefix("return: ")


OpenOscar = Callable[..., Awaitable[Oscar]]


@pytest_asyncio.fixture(loop_scope="package")
async def oscar_with(tmp_path: Path) -> AsyncIterator[OpenOscar]:
    """`await oscar_with(setting=…)`: a server of this test's own that serves `plugin`."""
    async with AsyncExitStack() as stack:

        async def open_one(source: str = PLUGIN, **settings: Any) -> Oscar:
            settings.setdefault("password", PASSWORD)
            folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
            return Oscar(await stack.enter_async_context(open_house(folder, {"plugin": source}, **settings)))

        yield open_one


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def oscar(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Oscar]:
    """One server for the whole folder, with the services `svc` (PLUGIN), `digits` (my_model) and `demo` (demo_app)."""
    folder = tmp_path_factory.mktemp("oscar")
    async with open_house(folder, {"plugin": PLUGIN}, password=PASSWORD, start_method="fork", max_workers=2) as house:
        opened = Oscar(house)
        await opened.deployed("svc")
        await opened.deployed("digits", image="ai4oshub/my-model:latest")
        await opened.deployed("demo", module=DEMO_APP)
        yield opened
