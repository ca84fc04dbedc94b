"""The Model Context Protocol at `/mcp` and `/mcp/<deployment>`: deployments are tools. See docs/mcp.md.

Nothing is kept between requests, for clients of both eras: there is no session that could be guessed or outlive its
client.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from aiohttp import web
from msgspec import Raw

import modelport
from modelport.extending import (
    Access,
    AllowedHosts,
    Deployment,
    ExampleCall,
    Fetcher,
    Forbidden,
    Frontend,
    FrontendContext,
    GreetingRow,
    ModelportError,
    NotAcceptable,
    Route,
    Snippet,
    Unauthorized,
    Watcher,
    aside,
)
from modelport.frontends.mcp import inputs, messages, progress
from modelport.frontends.mcp.contents import KEY, Result, Results, failed
from modelport.frontends.mcp.messages import (
    HANDSHAKE,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    JSON,
    LATEST_HANDSHAKE,
    META,
    METHOD_NOT_FOUND,
    MODERN,
    Fault,
    Received,
    Refused,
)
from modelport.frontends.mcp.tools import tool

EVENTS = "text/event-stream"
OBJECT = {"type": "object"}
PAGE_TOOLS = 100
SERVER = {"name": "modelport", "version": modelport.__version__}
CAPABILITIES: dict[str, Any] = {"tools": {}}
# Tools differ with the token, and come and go.
UNCACHED = {"ttlMs": 0, "cacheScope": "private"}


class McpFrontend(Frontend):
    """`/mcp`, `/mcp/<deployment>`, and `/mcp/results/…` for large answers."""

    segments = ("mcp",)
    tag, failure = "mcp", OBJECT

    def __init__(self, context: FrontendContext) -> None:
        super().__init__(context)
        self._results = Results(context)
        hosts = AllowedHosts("mcp_fetch_hosts", context.settings.mcp_fetch_hosts)
        settings = context.settings
        self._fetcher = Fetcher(
            hosts, settings.mcp_fetch_timeout_s, settings.mcp_fetch_bytes, redirect_limit=settings.redirect_limit
        )

    def routes(self) -> Iterable[Route]:
        message = "A message of the Model Context Protocol"
        answers = {200: {JSON: OBJECT, EVENTS: {"type": "string"}}, 202: None}
        key = {"name": KEY, "in": "query", "required": True, "schema": {"type": "string"}}
        return [
            *(
                Route(
                    "POST", path, self.answer, Access.CALLER, message, answers, (400, 401, 404, 406, 413), body=OBJECT
                )
                for path in ("/mcp", "/mcp/{name}")
            ),
            Route(
                "GET",
                "/mcp/results/{file}",
                self._results.answer,
                Access.ANYONE,
                "A large answer, by the link that a tool gave",
                {200: "*/*"},
                (404,),
                [key],
            ),
        ]

    def greeting(self) -> Iterable[GreetingRow]:
        return [GreetingRow("/mcp", "the models as tools of agents: Model Context Protocol")]

    def snippets(self, call: ExampleCall) -> Iterable[Snippet]:
        """For the file mcp.json or the like of hosts."""
        server: dict[str, Any] = {"type": "http", "url": f"{call.url}/mcp/{call.name}"}
        if call.token:
            server["headers"] = {"Authorization": f"Bearer {call.token}"}
        return [Snippet("Agents: mcp.json", json.dumps({"mcpServers": {call.name: server}}, indent=2))]

    async def stop(self) -> None:
        await self._results.close()

    def error(self, error: ModelportError, status: int) -> web.Response:
        """Of a request that no method has seen."""
        code = INTERNAL_ERROR if status >= 500 else INVALID_REQUEST
        return messages.response(None, status, error=Fault(code, error.message, {"error": error.kind}))

    # Messages

    async def answer(self, request: web.Request) -> web.StreamResponse:
        streams = _check_accept(request)
        body = await self.context.reader(request, "mcp_limit_bytes").read()
        id: Any = None
        modern = messages.classify(request) is not None
        try:
            message = await aside(len(body), messages.parse, body)
            id = message.id
            received = messages.receive(request, message)
            if received.is_notification:
                return web.Response(status=202)
            if streams and message.method == "tools/call" and "progressToken" in received.meta:
                token = received.meta["progressToken"]
                messages.decoded(token, str | int, "params._meta.progressToken")
                reports = progress.Reports(token, self.context.settings.heartbeat_s)
                return await progress.respond(request, reports, partial(self._respond, request, received))
            return await self._respond(request, received)
        except Refused as refused:
            return _refusal(id, refused, modern)

    async def _respond(self, request: web.Request, received: Received, watcher: Watcher | None = None) -> web.Response:
        """Raises Unauthorized."""
        try:
            result = await self._result(request, received, watcher)
        except Refused as refused:
            return _refusal(received.message.id, refused, received.modern)
        if received.modern:
            result = {**result, "resultType": "complete", "_meta": {f"{META}serverInfo": SERVER}}
        return messages.response(received.message.id, result=result)

    async def _result(self, request: web.Request, received: Received, watcher: Watcher | None) -> Result:
        """Raises Refused, Unauthorized."""
        modern = received.modern
        match received.message.method:
            case "server/discover" if modern:
                return {"supportedVersions": [*HANDSHAKE, MODERN], "capabilities": CAPABILITIES, **UNCACHED}
            case "initialize" if not modern:
                return _initialized(received)
            case "ping" | "logging/setLevel" if not modern:
                return {}
            case "tools/list":
                return await self._list(request, received)
            case "tools/call":
                return await self._call(request, received, watcher)
        raise Refused(METHOD_NOT_FOUND, f"there is no method {received.message.method[: messages.SHOWN_CHARS]!r}")

    # Tools

    def _deployments(self, request: web.Request) -> list[Deployment]:
        """By name. Raises Unauthorized."""
        if (name := request.match_info.get("name")) is not None:
            return [self.context.find(request, name)]
        return sorted(self.context.visible(request), key=lambda deployment: deployment.name)

    async def _list(self, request: web.Request, received: Received) -> Result:
        """On the path of one deployment, that is loaded where it never was; a list loads none."""
        deployments = self._deployments(request) if self.context.settings.predict_endpoint else []
        if "name" in request.match_info and deployments:
            try:
                await deployments[0].wait_card()
            except ModelportError as error:
                raise Refused(INTERNAL_ERROR, error.message) from error
        cursor = messages.decoded(received.params.get("cursor", b'""'), str, "params.cursor")
        rest = [deployment for deployment in deployments if deployment.name > cursor]
        fetches, may_read = bool(self._fetcher.hosts), partial(self.context.may_read_bucket, request)
        page: Result = {"tools": [tool(deployment, may_read(deployment), fetches) for deployment in rest[:PAGE_TOOLS]]}
        if len(rest) > PAGE_TOOLS:
            page["nextCursor"] = rest[PAGE_TOOLS - 1].name
        return {**page, **UNCACHED} if received.modern else page

    async def _call(self, request: web.Request, received: Received, watcher: Watcher | None) -> Result:
        """Raises Refused, Unauthorized. What a language model can mend, and what fails, is a result."""
        params = received.params
        name = messages.decoded(params.get("name", b"null"), str, "params.name")
        raw = bytes(params.get("arguments", b"{}"))
        sent = await aside(len(raw), messages.decoded, raw, dict[str, Raw] | None, "params.arguments")
        deployments = {deployment.name: deployment for deployment in self._deployments(request)}
        deployment = deployments.get(name)
        if deployment is None:
            known = ", ".join(list(deployments)[:PAGE_TOOLS]) or "none"
            raise Refused(INVALID_PARAMS, f"there is no tool {name[: messages.SHOWN_CHARS]!r}; the tools are {known}")
        try:
            return await self._predict(request, deployment, sent or {}, watcher)
        except (Unauthorized, Forbidden):
            raise
        except ModelportError as error:
            return failed(error.message)

    async def _predict(
        self, request: web.Request, deployment: Deployment, sent: messages.Params, watcher: Watcher | None
    ) -> Result:
        """Raises what the call fails with."""
        version = self.context.version(request, deployment)
        self.context.check_room(version)
        async with AsyncExitStack() as folder:
            scratch = await folder.enter_async_context(self.context.scratch())
            card = await version.wait_card()
            reader = inputs.Reader(self.context, request, deployment, self._fetcher, scratch)
            await reader.read(card, sent)
            call = self.context.make_call(card, reader.values, scratch, files=reader.files)
            outcome = await self.context.predict(version, call, watcher)
            return await self._results.of(card, outcome, self.context.base_url(request), folder, scratch)


def _initialized(received: Received) -> Result:
    offered = messages.decoded(received.params.get("protocolVersion", b'""'), str, "params.protocolVersion")
    version = offered if offered in HANDSHAKE else LATEST_HANDSHAKE
    return {"protocolVersion": version, "capabilities": CAPABILITIES, "serverInfo": SERVER}


def _check_accept(request: web.Request) -> bool:
    """Whether the client takes a stream. Raises NotAcceptable."""
    accepted = ",".join(request.headers.getall("Accept", []))
    kinds = [part.partition(";")[0].strip().lower() for part in accepted.split(",")]
    if accepted and not {JSON, "application/*", "*/*"} & set(kinds):
        raise NotAcceptable(f"answers are {JSON} or {EVENTS}; the header Accept must name both, or at least {JSON}")
    return EVENTS in kinds


def _refusal(id: Any, refused: Refused, modern: bool) -> web.Response:
    return messages.response(id, messages.status_of(refused.fault, modern), error=refused.fault)
