"""The official SDK's clients, of both lines and in each of their modes, against a server; and the conformance suite."""

from __future__ import annotations

import pytest

from modelport.testing.frontends import FrontendConformance
from tests.conftest import OpenHouse
from tests.environments import environment
from tests.kserve.test_clients import run
from tests.mcp import plugins


class TestConformance(FrontendConformance):
    name = "mcp"
    open_routes = ("GET /mcp/results/{file}",)


NEW, OLD = ("mcp==2.3.0",), ("mcp==1.30.0",)
CALLS = """
async def calls(client, plain, failure):
    tools = {tool["name"]: tool for tool in map(plain, (await client.list_tools()).tools)}
    said["tools"] = sorted(tools)
    said["required"] = tools["record"]["inputSchema"]["required"]
    said["record"] = plain(await client.call_tool("record", {"label": "dog"}))
    said["loose"] = plain(await client.call_tool("record", {"label": "text"}))["structuredContent"]
    said["wrong"] = plain(await client.call_tool("x", {"count": 10}))
    said["image"] = plain(await client.call_tool("x", {"accept": "image/png"}))["content"]
    said["large"] = plain(await client.call_tool("x", {"accept": "image/png", "many": 5_000_000}))["content"][0]["size"]
    png = "data:image/png;base64,iVBORw=="
    said["file"] = plain(await client.call_tool("x", {"file": png}))["structuredContent"]["result"]["file"]
    try:
        await client.call_tool("nobody", {})
    except failure as error:
        said["unknown"] = error.error.message
    said["again"] = plain(await client.call_tool("record", {"label": "cat"}))["isError"]
    print(json.dumps(said))
"""
NEW_CLIENT = f"""
import asyncio, json, sys
import httpx2
from mcp import MCPError
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

said = {{}}
{CALLS}

async def main(url, mode, token):
    headers = {{"Authorization": f"Bearer {{token}}"}}
    async with httpx2.AsyncClient(headers=headers) as http:
        async with Client(streamable_http_client(url, http_client=http), mode=mode) as client:
            said["version"] = client.protocol_version
            await calls(client, lambda one: one.model_dump(by_alias=True, mode="json", exclude_none=True), MCPError)


asyncio.run(main(*sys.argv[1:]))
"""
OLD_CLIENT = f"""
import asyncio, json, sys
import httpx
from mcp import ClientSession, McpError
from mcp.client.streamable_http import streamable_http_client

said = {{}}
{CALLS}

async def main(url, mode, token):
    headers = {{"Authorization": f"Bearer {{token}}"}}
    async with httpx.AsyncClient(headers=headers) as http:
        async with streamable_http_client(url, http_client=http) as (read, write, _):
            async with ClientSession(read, write) as client:
                said["version"] = (await client.initialize()).protocolVersion
                await calls(client, lambda one: one.model_dump(by_alias=True, mode="json", exclude_none=True), McpError)
                await client.send_ping()


asyncio.run(main(*sys.argv[1:]))
"""
MODES = [
    (NEW, NEW_CLIENT, "auto", "2026-07-28"),
    pytest.param(NEW, NEW_CLIENT, "2026-07-28", "2026-07-28", marks=pytest.mark.thorough),
    pytest.param(NEW, NEW_CLIENT, "legacy", "2025-11-25", marks=pytest.mark.thorough),
    (OLD, OLD_CLIENT, "", "2025-11-25"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("packages", "script", "mode", "version"), MODES)
async def test_the_official_clients(
    house: OpenHouse, packages: tuple[str, ...], script: str, mode: str, version: str
) -> None:
    server = await house(plugins.ALL, token="secret")
    said = await run(environment("3.11", packages), script, f"{server.url}/mcp", mode, "secret")
    assert said["version"] == version
    assert said["tools"] == ["record", "x"]
    assert said["required"] == ["label"]
    record = {"label": "dog", "score": 0.5, "box": [1, 2]}
    assert said["record"]["structuredContent"] == {"result": record}
    assert said["loose"]["result"]["score"] == "0.5"
    assert said["wrong"]["isError"] and "count" in said["wrong"]["content"][0]["text"]
    assert said["image"] == [{"type": "image", "data": "iVBORw==", "mimeType": "image/png"}]
    assert said["large"] == 5_000_004
    assert said["file"] == ["image/png", "\x89PNG"]
    assert said["unknown"] == "there is no tool 'nobody'; the tools are record, x"
    assert said["again"] is False
