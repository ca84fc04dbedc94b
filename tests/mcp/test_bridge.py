"""`modelport mcp`: the official clients start it, and lines are answered by lines."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import MODELPORT
from tests.conftest import OpenHouse
from tests.environments import environment
from tests.house import PATIENCE_S, House
from tests.kserve.test_clients import run
from tests.mcp import plugins
from tests.mcp.test_clients import NEW, OLD

NEW_CLIENT = """
import asyncio, json, sys
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client


async def main(command, url, token, folder):
    arguments = ["mcp", "x", "--url", url, "--files", folder]
    program = StdioServerParameters(command=command, args=arguments, env={"BEARER_TOKEN": token})
    told = []

    async def progress(done, total, message):
        told.append(done)

    async with Client(stdio_client(program)) as client:
        said = [client.protocol_version, [tool.name for tool in (await client.list_tools()).tools]]
        result = await client.call_tool("x", {"file": "a.png", "steps": 2, "sleep": 0.3}, progress_callback=progress)
        print(json.dumps([*said, result.structured_content["result"]["file"], told[-1]]))


asyncio.run(main(*sys.argv[1:]))
"""
OLD_CLIENT = """
import asyncio, json, sys
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client


async def main(command, url, token, folder):
    arguments = ["mcp", "x", "--url", url, "--files", folder]
    program = StdioServerParameters(command=command, args=arguments, env={"BEARER_TOKEN": token})
    told = []

    async def progress(done, total, message):
        told.append(done)

    async with stdio_client(program) as streams:
        async with ClientSession(*streams) as client:
            said = [(await client.initialize()).protocolVersion]
            said.append([tool.name for tool in (await client.list_tools()).tools])
            arguments = {"file": "a.png", "steps": 2, "sleep": 0.3}
            result = await client.call_tool("x", arguments, progress_callback=progress)
            print(json.dumps([*said, result.structuredContent["result"]["file"], told[-1]]))


asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("packages", "script", "version"), [(NEW, NEW_CLIENT, "2026-07-28"), (OLD, OLD_CLIENT, "2025-11-25")]
)
async def test_the_official_clients_start_it(
    house: OpenHouse, tmp_path: Path, packages: tuple[str, ...], script: str, version: str
) -> None:
    server = await house(plugins.EVERYTHING, token="secret")
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    said = await run(environment("3.11", packages), script, MODELPORT, server.url, "secret", str(tmp_path))
    assert said == [version, ["x"], ["image/png", "\x89PNG"], 1.0]


@asynccontextmanager
async def started(url: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(MODELPORT, "mcp", "--url", url, *arguments),
        env={"PATH": str(Path(sys.executable).parent)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def ask(process: asyncio.subprocess.Process, message: Any) -> Any:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write((message if isinstance(message, bytes) else json.dumps(message).encode()) + b"\n")
    async with asyncio.timeout(PATIENCE_S):
        return json.loads(await process.stdout.readline())


def call(id: Any, **arguments: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "x", "arguments": arguments}}


LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}


@pytest.mark.slow
async def test_files_are_read_from_the_given_folders_only(house: OpenHouse, tmp_path: Path) -> None:
    server = await house(plugins.EVERYTHING)
    folder = tmp_path / "files"
    folder.mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "a.png").write_bytes(b"\x89PNG")
    async with started(server.url, "x", "--files", str(folder)) as process:
        listed = await ask(process, LIST)
        properties = listed["result"]["tools"][0]["inputSchema"]["properties"]
        assert str(folder) in properties["file"]["description"] and str(folder) not in properties["the-text"]
        for place in ("a.png", str(folder / "a.png")):
            answer = await ask(process, call(2, files=[place]))
            assert answer["result"]["structuredContent"]["result"]["files"] == [["image/png", "\x89PNG"]]
        for place in ("../secret.txt", "link.txt", str(tmp_path / "secret.txt")):
            answer = await ask(process, call(3, file=place))
            assert answer["result"]["isError"] and "--files" in answer["result"]["content"][0]["text"]
    async with started(server.url, "x") as process:
        await ask(process, LIST)
        answer = await ask(process, call(2, file=str(folder / "a.png")))
        assert "is not a data: URI" in answer["result"]["content"][0]["text"]


async def gone(server: House) -> None:
    await server.wait_running(0)
    await server.wait_workers(1)


@pytest.mark.slow
async def test_what_is_cancelled_or_left_stops(house: OpenHouse) -> None:
    server = await house(plugins.EVERYTHING)
    async with started(server.url) as process:
        assert process.stdin is not None
        for id in (7, "a"):
            process.stdin.write(json.dumps(call(id, sleep=600)).encode() + b"\n")
            await server.wait_running(1)
            note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}}
            process.stdin.write(json.dumps(note).encode() + b"\n")
            await gone(server)
        process.stdin.write(json.dumps(call(8, sleep=600)).encode() + b"\n")
        await server.wait_running(1)
        process.stdin.close()
        await gone(server)
        async with asyncio.timeout(PATIENCE_S):
            assert await process.wait() == 0


@pytest.mark.slow
async def test_whatever_is_wrong_is_answered(house: OpenHouse) -> None:
    server = await house(plugins.EVERYTHING, token="secret")
    async with started(server.url, "x", "--token", "wrong") as process:
        answer = await ask(process, LIST)
        assert answer["id"] == 1 and "token" in answer["error"]["message"]
        assert (await ask(process, b"{"))["error"]["code"] == -32700
        assert (await ask(process, b"[]"))["error"]["code"] == -32600
    async with started("http://127.0.0.1:1") as process:
        answer = await ask(process, LIST)
        assert answer["id"] == 1 and "cannot be reached" in answer["error"]["message"]


async def test_it_ends_with_a_stdin_that_is_no_pipe(house: OpenHouse, tmp_path: Path) -> None:
    server = await house({"x": "def predict(): return 1"})
    (tmp_path / "lines").write_text("\n")
    for stdin in ("/dev/null", tmp_path / "lines"):
        with open(stdin, "rb") as lines:
            process = await asyncio.create_subprocess_exec(MODELPORT, "mcp", "--url", server.url, stdin=lines)
            async with asyncio.timeout(PATIENCE_S):
                assert await process.wait() == 0
