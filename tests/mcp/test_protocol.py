"""What is answered at /mcp, byte by byte: both eras, errors, schemas, files, links."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import pytest_asyncio

from modelport.extending import ExampleCall
from modelport.store.deployments import DeploymentRow
from tests.house import Answer, House, open_house, wait_until
from tests.mcp import plugins

pytestmark = pytest.mark.asyncio(loop_scope="module")

VERSION, META = "2026-07-28", "io.modelcontextprotocol/"
OLD = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
SMALL = {"mcp_text_bytes": 1000, "mcp_inline_bytes": 1000, "json_small_bytes": 2048, "mcp_limit_bytes": 100_000}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with open_house(tmp_path_factory.mktemp("mcp"), plugins.ALL, start_method="fork", **SMALL) as house:
        yield house


async def old(server: House, method: str, path: str = "/mcp", **params: Any) -> Answer:
    """From a client of the first era."""
    return await server.post(path, json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params})


async def new(
    server: House, method: str, params: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """From one of 2026-07-28. params, headers: instead of those that are right."""
    meta = {f"{META}protocolVersion": VERSION, f"{META}clientCapabilities": {}}
    params = {"_meta": meta, **(params or {})}
    usual = {"MCP-Protocol-Version": VERSION, "Mcp-Method": method}
    if isinstance(params.get("name"), str):
        usual["Mcp-Name"] = params["name"]
    sent = {name: value for name, value in {**usual, **(headers or {})}.items() if value}
    body = {"jsonrpc": "2.0", "id": "a", "method": method, "params": params}
    return await server.post("/mcp", json=body, headers=sent)


async def call(server: House, name: str, arguments: Any, path: str = "/mcp") -> dict[str, Any]:
    answer = await old(server, "tools/call", path, name=name, arguments=arguments)
    assert answer.status == 200, answer.text
    result: dict[str, Any] = answer.json()["result"]
    return result


async def tools(server: House, path: str = "/mcp") -> dict[str, Any]:
    return {tool["name"]: tool for tool in (await old(server, "tools/list", path)).json()["result"]["tools"]}


# Eras


@pytest.mark.parametrize("offered", [*OLD, "1999-01-01", "2026-07-28"])
async def test_the_first_era_begins_with_a_handshake(server: House, offered: str) -> None:
    answer = await old(server, "initialize", protocolVersion=offered, capabilities={}, clientInfo={})
    result = answer.json()["result"]
    assert result["protocolVersion"] == (offered if offered in OLD else OLD[-1])
    assert result["capabilities"] == {"tools": {}} and result["serverInfo"]["name"] == "modelport"
    assert "Mcp-Session-Id" not in answer.headers and "resultType" not in result
    assert (await old(server, "ping")).json() == {"jsonrpc": "2.0", "id": 1, "result": {}}
    assert (await old(server, "server/discover")).json()["error"]["code"] == -32601


async def test_the_newer_era_discovers(server: House) -> None:
    answer = await new(server, "server/discover")
    result = answer.json()["result"]
    assert (answer.status, answer.json()["id"]) == (200, "a")
    assert result["supportedVersions"] == [*OLD, VERSION]
    assert (result["ttlMs"], result["cacheScope"], result["resultType"]) == (0, "private", "complete")
    assert result["_meta"][f"{META}serverInfo"]["name"] == "modelport"
    listed = (await new(server, "tools/list")).json()["result"]
    assert (listed["ttlMs"], listed["cacheScope"], len(listed["tools"])) == (0, "private", 2)


@pytest.mark.parametrize(
    ("params", "headers", "code"),
    [
        ({}, {"MCP-Protocol-Version": "2031-01-01"}, -32020),
        ({}, {"Mcp-Method": "tools/list"}, -32020),
        ({}, {"Mcp-Method": ""}, -32020),
        ({"name": "x"}, {"Mcp-Name": "record"}, -32020),
        ({"name": "x"}, {"Mcp-Name": ""}, -32020),
        ({"name": "x"}, {"Mcp-Name": "=?base64?e?="}, -32020),
        ({"_meta": {}}, {}, -32602),
        ({"_meta": {f"{META}protocolVersion": VERSION}}, {}, -32602),
        ({"_meta": {f"{META}protocolVersion": 7, f"{META}clientCapabilities": {}}}, {}, -32602),
        ({"_meta": 7}, {}, -32602),
        ({"name": "nobody"}, {}, -32602),
        ({"name": 7}, {"Mcp-Name": "7"}, -32602),
        ({"name": "x", "arguments": 7}, {}, -32602),
        ({}, {}, -32602),
    ],
)
async def test_what_is_wrong_with_a_request_of_the_newer_era_is_400(
    server: House, params: dict[str, Any], headers: dict[str, str], code: int
) -> None:
    answer = await new(server, "tools/call", params, headers)
    assert (answer.status, answer.json()["error"]["code"], answer.json()["id"]) == (400, code, "a")


async def test_an_unknown_version_is_told_which_there_are(server: House) -> None:
    meta = {f"{META}protocolVersion": "2031-01-01", f"{META}clientCapabilities": {}}
    answer = await new(server, "tools/list", {"_meta": meta}, {"MCP-Protocol-Version": "2031-01-01"})
    error = answer.json()["error"]
    assert (answer.status, error["code"]) == (400, -32022)
    assert error["data"] == {"supported": [*OLD, VERSION], "requested": "2031-01-01"}
    for version, status in (("2031-01-01", 400), (VERSION, 202), (OLD[0], 202)):
        note = {"jsonrpc": "2.0", "method": "notifications/whatever"}
        assert (await server.post("/mcp", json=note, headers={"MCP-Protocol-Version": version})).status == status


async def test_a_name_may_come_in_base64(server: House) -> None:
    encoded = f"=?base64?{base64.b64encode(b'record').decode()}?="
    params = {"name": "record", "arguments": {"label": "a"}}
    assert (await new(server, "tools/call", params, {"Mcp-Name": encoded})).status == 200


@pytest.mark.parametrize(
    ("method", "code", "old_status", "new_status"), [("nothing", -32601, 200, 404), ("tools/call", -32602, 200, 400)]
)
async def test_an_error_does_not_end_a_session_of_the_first_era(
    server: House, method: str, code: int, old_status: int, new_status: int
) -> None:
    answers = [(old_status, await old(server, method)), (new_status, await new(server, method))]
    for status, answer in answers:
        assert (answer.status, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", -32700),
        (b"\xff", -32700),
        (b'{"jsonrpc": "2.0", "method": "ping", "params": {"a": ' + b"[" * 90_000, -32700),
        (b'{"jsonrpc": "2.0", "method": "ping", "id": "\\ud800"}', -32700),
        (b"[]", -32600),
        (b'[{"jsonrpc": "2.0", "id": 1, "method": "ping"}]', -32600),
        (b'{"jsonrpc": "1.0", "id": 1, "method": "ping"}', -32600),
        (b'{"jsonrpc": "2.0", "id": null, "method": "ping"}', -32600),
        (b'{"jsonrpc": "2.0", "id": 1.5, "method": "ping"}', -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []}', -32600),
        (b'{"jsonrpc": "2.0", "id": 1}', -32600),
    ],
)
async def test_what_is_no_request_is_refused(server: House, body: bytes, code: int) -> None:
    answer = await server.post("/mcp", data=body, headers={"Content-Type": "application/json"})
    error = answer.json()
    assert (answer.status, error["error"]["code"], error["id"]) == (400, code, None)


async def test_an_id_comes_back_as_it_was(server: House) -> None:
    for id in (1, "1", 0, "", -(2**63), 2**63):
        body = {"jsonrpc": "2.0", "id": id, "method": "ping"}
        assert (await server.post("/mcp", json=body)).json()["id"] == id


async def test_other_methods_and_types_are_refused(server: House) -> None:
    for method in ("GET", "DELETE", "PUT"):
        answer = await server.ask(method, "/mcp")
        assert (answer.status, "POST" in answer.headers["Allow"]) == (405, True)
    body = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    assert (await server.post("/mcp", json=body, headers={"Accept": "text/event-stream"})).status == 406
    assert (
        await server.post("/mcp", json=body, headers={"Accept": "text/event-stream, application/json"})
    ).status == 200
    large = {"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"a": "x" * 100_000}}
    answer = await server.post("/mcp", json=large)
    assert (answer.status, answer.json()["error"]["data"]) == (413, {"error": "too_large"})


# Tools


async def test_a_tool_is_made_from_the_card(server: House) -> None:
    tool = (await tools(server))["x"]
    assert tool["description"].startswith(
        "Answers with whatever it was given Files: file, files. Answers with image/png,"
    )
    assert tool["annotations"] == {"readOnlyHint": True, "openWorldHint": False}
    schema = tool["inputSchema"]
    assert schema["additionalProperties"] is False and "required" not in schema
    properties = schema["properties"]
    assert properties["the-text"] == {"type": "string", "default": "", "description": "Any text"}
    assert properties["count"] == {"type": "integer", "default": 1, "minimum": 1, "maximum": 9}
    assert "secret" not in properties
    place = {"type": "string", "format": "uri-reference"}
    assert properties["file"] == {**place, "description": "A data: URI with base64."}
    assert properties["files"]["items"] == place
    assert properties["accept"]["default"] == "application/json"
    assert "outputSchema" not in tool
    record = (await tools(server))["record"]
    assert record["inputSchema"]["required"] == ["label"]
    fields = record["outputSchema"]["properties"]["result"]["properties"]
    assert fields["score"] == {"type": ["number", "string", "null"]}


async def test_a_path_of_one_deployment_has_that_tool_only(server: House) -> None:
    assert list(await tools(server, "/mcp/record")) == ["record"]
    assert "isError" not in await call(server, "record", {"label": "a"}, "/mcp/record")
    answer = await old(server, "tools/call", "/mcp/record", name="x", arguments={})
    assert answer.json()["error"] == {"code": -32602, "message": "there is no tool 'x'; the tools are record"}
    answer = await old(server, "tools/list", "/mcp/nobody")
    assert (answer.status, answer.json()["error"]["data"]) == (404, {"error": "not_found"})


async def test_a_list_has_pages(server: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelport.frontends.mcp.PAGE_TOOLS", 1)
    first = (await old(server, "tools/list")).json()["result"]
    assert ([tool["name"] for tool in first["tools"]], first["nextCursor"]) == (["record"], "record")
    second = (await old(server, "tools/list", cursor="record")).json()["result"]
    assert ([tool["name"] for tool in second["tools"]], "nextCursor" in second) == (["x"], False)


async def test_arguments_are_the_models(server: House) -> None:
    result = await call(server, "x", {"the-text": "süß", "count": 3, "numbers": [1, 2.5], "fail": None})
    value = {"text": "süß", "count": 3, "numbers": [1.0, 2.5]}
    assert result["structuredContent"] == {"result": value}
    assert [content["type"] for content in result["content"]] == ["text"]
    assert json.loads(result["content"][0]["text"]) == value
    large = await call(server, "x", {"numbers": [1.0] * 3000, "accept": "text/csv"})
    assert large["content"] == [{"type": "text", "text": "a,b\n"}]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"count": 10}, "count: "),
        ({"fail": True}, "the model is ill"),
        ({"colour": 1}, "colour: there is no such argument; the arguments are the-text, count, "),
        ({"secret": "s"}, "secret: there is no such argument"),
        ({"file": 7}, "file: "),
        ({"file": "a.png"}, "file: 'a.png' is not a data: URI"),
        ({"file": "data:;base64,!"}, "file: the data: URI cannot be read"),
        ({"file": ["data:,a"]}, "file: one file is taken, not a list"),
        ({"accept": "video/mp4"}, "accept: "),
    ],
)
async def test_what_is_wrong_with_a_call_is_a_result(server: House, arguments: dict[str, Any], text: str) -> None:
    result = await call(server, "x", arguments)
    assert result["isError"] is True
    assert text in result["content"][0]["text"]


async def test_files_come_as_data_uris(server: House) -> None:
    uri = "data:image/png;base64," + base64.b64encode(b"\x89PNG").decode()
    result = await call(server, "x", {"file": uri, "files": [uri, "data:text/plain,a%20b"]})
    value = result["structuredContent"]["result"]
    assert value["file"] == ["image/png", "\x89PNG"]
    assert value["files"] == [["image/png", "\x89PNG"], ["text/plain", "a b"]]


# Answers


@pytest.mark.parametrize(
    ("accept", "kind", "inside"),
    [("image/png", "image", "data"), ("audio/wav", "audio", "data"), ("application/pdf", "resource", "blob")],
)
async def test_small_files_are_in_the_answer(server: House, accept: str, kind: str, inside: str) -> None:
    (content,) = (await call(server, "x", {"accept": accept}))["content"]
    assert content["type"] == kind
    told = content.get("resource", content)
    assert told["mimeType"] == accept and base64.b64decode(told[inside])


@pytest.mark.parametrize("many", [2000, 3_000_000])
async def test_large_answers_are_links(server: House, many: int) -> None:
    (link,) = (await call(server, "x", {"accept": "image/png", "many": many}))["content"]
    assert (link["type"], link["mimeType"], link["name"]) == ("resource_link", "image/png", "result.png")
    path = link["uri"].removeprefix(server.url)
    answer = await server.get(path)
    assert (answer.status, answer.type, answer.body) == (200, "image/png", b"\x89PNG" + b"x" * many)
    assert len(answer.body) == link["size"]
    for wrong in (path[:-1], path.partition("?")[0], path.partition("=")[0] + "="):
        assert (await server.get(wrong)).status == 404
    assert "/mcp/results/result.png?key=" in path


async def test_what_a_link_leads_to_is_not_held_in_memory(server: House) -> None:
    await call(server, "x", {"accept": "image/png", "many": 2000})
    kept = server.gateway.frontends["mcp"]._results._kept.values()
    assert kept and all(one.outcome.path and not one.outcome.body for one in kept)


async def test_the_dashboard_shows_the_configuration_of_hosts(server: House) -> None:
    card = await server.gateway.deployments.get("x").wait_card()
    example = ExampleCall("x", server.url, "secret", card, {}, {})
    (snippet,) = server.gateway.frontends["mcp"].snippets(example)
    told = json.loads(snippet.text)["mcpServers"]["x"]
    assert told == {"type": "http", "url": f"{server.url}/mcp/x", "headers": {"Authorization": "Bearer secret"}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    assert (await server.post(told["url"], json=body, headers=told["headers"])).status == 200


@pytest.mark.parametrize("many", [900, 2_000_000])
async def test_long_text_is_cut_and_linked(server: House, many: int) -> None:
    result = await call(server, "x", {"many": many})
    begin, note, link = result["content"]
    assert len(begin["text"].encode()) <= 1000 + 2 and "structuredContent" not in result
    assert link["uri"] in note["text"]
    answer = await server.get(link["uri"].removeprefix(server.url))
    assert len(answer.json()["many"]) == many


async def test_links_go_when_they_have_expired(tmp_path: Any) -> None:
    async with open_house(
        tmp_path, plugins.EVERYTHING, mcp_inline_bytes=10, mcp_link_s=1, mcp_links_bytes=2500
    ) as house:
        paths = []
        for _ in range(3):
            (link,) = (await call(house, "x", {"accept": "image/png", "many": 1000}))["content"]
            paths.append(link["uri"].removeprefix(house.url))
        links = house.gateway.frontends["mcp"]._results
        await wait_until(lambda: not links._kept)
        assert [(await house.get(path)).status for path in paths] == [404] * 3
        await wait_until(lambda: not house.scratch())


async def test_the_oldest_links_make_room(tmp_path: Any) -> None:
    async with open_house(tmp_path, plugins.EVERYTHING, mcp_inline_bytes=10, mcp_links_bytes=2500) as house:
        paths = []
        for _ in range(3):
            (link,) = (await call(house, "x", {"accept": "image/png", "many": 1000}))["content"]
            paths.append(link["uri"].removeprefix(house.url))
        assert [(await house.get(path)).status for path in paths] == [404, 200, 200]


# Who may


async def test_a_services_token_opens_its_own_tool(server: House) -> None:
    module = str(server.folder / "plugins" / "plugin_1.py")
    rows = [await server.gateway.services.deploy(DeploymentRow(name, module)) for name in ("one", "two")]
    open_ones = ["record", "x"]
    for row in rows:
        headers = {"Authorization": f"Bearer {row.token}"}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        listed = (await server.post("/mcp", json=body, headers=headers)).json()["result"]["tools"]
        assert [tool["name"] for tool in listed] == sorted([row.name, *open_ones])
        body = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": "one", "arguments": {"label": "a"}},
        }
        told = (await server.post("/mcp", json=body, headers=headers)).json()
        assert ("result" in told) is (row.name == "one")
        assert (await server.post("/mcp/one", json=body, headers=headers)).status == (200 if row.name == "one" else 401)
    answer = await server.post("/mcp/one", json=body)
    assert (answer.status, answer.json()["error"]["data"]) == (401, {"error": "unauthorized"})
    assert answer.headers["WWW-Authenticate"].startswith("Bearer") and "resource_metadata" not in answer.text
    for row in rows:
        await server.gateway.services.undeploy(row.name)


async def test_the_path_of_a_service_loads_it(server: House) -> None:
    module = str(server.folder / "plugins" / "plugin_1.py")
    row = await server.gateway.services.deploy(DeploymentRow("asleep", module, min_workers=0))
    headers = {"Authorization": f"Bearer {row.token}"}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    told = (await server.post("/mcp/asleep", json=body, headers=headers)).json()["result"]["tools"]
    assert told[0]["inputSchema"]["required"] == ["label"]
    await server.gateway.services.undeploy(row.name)


async def test_a_model_without_a_card_is_listed_and_its_error_is_a_result(server: House) -> None:
    module = server.folder / "broken.py"
    module.write_text("raise RuntimeError('no such weights')")
    row = await server.gateway.services.deploy(DeploymentRow("broken", str(module)))
    headers = {"Authorization": f"Bearer {row.token}"}
    body: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    listed = (await server.post("/mcp", json=body, headers=headers)).json()["result"]["tools"]
    tool = next(tool for tool in listed if tool["name"] == "broken")
    assert tool["inputSchema"] == {"type": "object"} and "has not been loaded" in tool["description"]
    told = (await server.post("/mcp/broken", json=body, headers=headers)).json()["error"]
    assert told["code"] == -32603 and "no such weights" in told["message"]
    body |= {"method": "tools/call", "params": {"name": "broken", "arguments": {}}}
    result = (await server.post("/mcp", json=body, headers=headers)).json()["result"]
    assert result["isError"] and "no such weights" in result["content"][0]["text"]
    await server.gateway.services.undeploy("broken")
