"""Files that a tool is given by the key of a bucket or by URL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from modelport.store.deployments import DeploymentRow
from tests.house import House, open_house
from tests.mcp import plugins


@pytest.fixture
async def elsewhere() -> AsyncIterator[TestServer]:
    """Another server: a file, and redirects."""

    async def file(request: web.Request) -> web.Response:
        return web.Response(body=b"\x89PNG", content_type="image/png")

    async def large(request: web.Request) -> web.Response:
        return web.Response(body=b"x" * 2000)

    async def away(request: web.Request) -> web.Response:
        raise web.HTTPFound(request.query["to"])

    app = web.Application()
    app.router.add_get("/a.png", file)
    app.router.add_get("/large", large)
    app.router.add_get("/away", away)
    server = TestServer(app)
    await server.start_server()
    yield server
    await server.close()


async def call(house: House, file: Any, token: str = "secret", name: str = "x") -> Any:
    """The file as the model has read it, or the sentence of the error."""
    params = {"name": name, "arguments": {"file": file}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    answer = await house.post("/mcp", json=body, headers={"Authorization": f"Bearer {token}"})
    result = answer.json()["result"]
    return result["content"][0]["text"] if "isError" in result else result["structuredContent"]["result"]["file"]


async def test_urls_are_not_fetched_unless_a_setting_allows_it(tmp_path: Path, elsewhere: TestServer) -> None:
    async with open_house(tmp_path, plugins.EVERYTHING, token="secret") as house:
        told = await call(house, str(elsewhere.make_url("/a.png")))
    assert told == "file: this server fetches no files by URL (mcp_fetch_hosts); send a data: URI"


async def test_only_allowed_hosts_are_asked(tmp_path: Path, elsewhere: TestServer) -> None:
    hosts = f"127.0.0.1:{elsewhere.port}, *"
    settings = {"mcp_fetch_hosts": hosts, "mcp_fetch_bytes": 1000, "token": "secret"}
    async with open_house(tmp_path, plugins.EVERYTHING, **settings) as house:
        here = str(elsewhere.make_url("/"))
        assert await call(house, f"{here}a.png") == ["image/png", "\x89PNG"]
        assert await call(house, f"{here}away?to=/a.png") == ["image/png", "\x89PNG"]
        for url, told in (
            (f"{here}nothing", "file: 127.0.0.1 answered 404"),
            (f"{here}large", "file: the file has more than 1000 bytes"),
            (f"{here}away?to=file:///etc/passwd", "file: give an address of http or https"),
            (f"{here}away?to=http://169.254.169.254/latest", "file: 169.254.169.254 is the address"),
            (f"{here}away?to=http://localhost/", "file: the file could not be fetched from localhost"),
            ("http://10.0.0.1/", "file: 10.0.0.1 is the address 10.0.0.1, which is not public"),
            ("http://[::1]/", "file: ::1 is the address"),
            ("http://2130706433/", "file: 2130706433 is the address 127.0.0.1, which is not public"),
            ("http://localhost/", "file: the file could not be fetched from localhost"),
            (f"{here.replace('//', '//user@')}a.png", "file: an address without user"),
        ):
            assert told in await call(house, url), url
        assert not house.scratch()


async def test_the_owner_names_files_in_the_bucket(tmp_path: Path) -> None:
    async with open_house(tmp_path, plugins.ALL, token="secret") as house:
        module = str(house.folder / "plugins" / "plugin_0.py")
        row = await house.gateway.services.deploy(DeploymentRow("own", module))
        owner = {"Authorization": "Bearer secret"}
        put = await house.ask("PUT", "/files/own/other/a.png", data=b"\x89PNG", headers=owner)
        assert put.status == 201, put.text
        for key in ("other/a.png", "bucket:other/a.png"):
            assert await call(house, key, name="own") == ["image/png", "\x89PNG"]
        assert await call(house, "other/b.png", name="own") == "file: 'b.png' is not in the bucket"
        # As at /files: a service's token calls the service, and opens no bucket.
        assert "is not a data: URI" in await call(house, "other/a.png", row.token, "own")
        for token, told in (("secret", True), (row.token, False)):
            body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
            listed = await house.post("/mcp/own", json=body, headers={"Authorization": f"Bearer {token}"})
            file = listed.json()["result"]["tools"][0]["inputSchema"]["properties"]["file"]
            assert ("key of a file" in file["description"]) is told
