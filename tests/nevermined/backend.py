"""A backend that keeps to Nevermined's wire format: agents and plans in memory, and what it was sent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.house import PATIENCE_S
from tests.payments.facilitator import Facilitator

KEY = "sandbox:eyJhbGciOiJub25lIn0.eyJzdWIiOiIweDEifQ.c2VjcmV0"
AGENTS = "/api/v1/protocol/agents"


@dataclass
class Marketplace:
    """agents: by id, as they were sent. mode: "" or how to misbehave: down, html, lost."""

    agents: dict[str, Any] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)
    mode: str = ""
    facilitator: Facilitator = field(default_factory=lambda: Facilitator(KEY))

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_post(f"{AGENTS}/plans", self.register_both)
        app.router.add_post(AGENTS, self.register)
        app.router.add_put(f"{AGENTS}/{{id}}", self.update)
        app.router.add_get(f"{AGENTS}/{{id}}", self.agent)
        app.router.add_delete(f"{AGENTS}/{{id}}/plan/{{plan}}", self.unlink)
        self.facilitator.add_routes(app)
        return app

    async def _taken(self, request: web.Request, *members: str) -> Any:
        body = await request.json() if request.can_read_body else None
        self.requests.append((request.method, request.path, dict(request.headers), body))
        if self.mode == "html":
            raise web.HTTPBadGateway(text="<html>Bad gateway</html>", content_type="text/html")
        if request.headers.get("Authorization") != f"Bearer {KEY}" or request.headers["Nevermined-Version"] != "1.1":
            raise self._refusal(401, "BCK.AUTH.0001", f"not a key: {request.headers.get('Authorization')}")
        if body is not None and set(body) != set(members):
            raise self._refusal(400, "BCK.PROTOCOL.0001", f"members must be {members}")
        return body

    @staticmethod
    def _refusal(status: int, code: str, message: str) -> web.HTTPException:
        text = json.dumps({"code": code, "message": message, "httpStatus": status})
        error = web.HTTPUnauthorized if status == 401 else web.HTTPBadRequest if status == 400 else web.HTTPNotFound
        return error(text=text, content_type="application/json")

    async def _registered(self, agent: Any, **more: str) -> web.Response:
        agent_id = f"agent-{len(self.agents) + 1}"
        self.agents[agent_id] = agent
        if self.mode == "lost":
            await asyncio.Event().wait()
        return web.json_response({"data": {"agentId": agent_id, **more}}, status=201)

    async def register_both(self, request: web.Request) -> web.Response:
        body = await self._taken(request, "plan", "agent")
        plan = body["plan"]
        price = plan["priceConfig"]
        if set(plan) != {"metadataAttributes", "priceConfig", "creditsConfig", "accessLimit"}:
            raise self._refusal(400, "BCK.PROTOCOL.0002", "a plan has other members")
        if any(int(amount) < 1_000_000 for amount in price["amounts"]):
            raise self._refusal(400, "BCK.PROTOCOL.0047", "the price is too low")
        # A number of 256 bits.
        return await self._registered(body["agent"], planId=str(2**255))

    async def register(self, request: web.Request) -> web.Response:
        return await self._registered(await self._taken(request, "metadataAttributes", "agentApiAttributes", "plans"))

    async def update(self, request: web.Request) -> web.Response:
        body = await self._taken(request, "metadataAttributes", "agentApiAttributes")
        if request.match_info["id"] not in self.agents:
            raise self._refusal(404, "BCK.AGENT.0001", "no such agent")
        self.agents[request.match_info["id"]] = body
        return web.json_response({"data": {"agentId": request.match_info["id"]}})

    async def unlink(self, request: web.Request) -> web.Response:
        await self._taken(request)
        if request.match_info["id"] not in self.agents:
            raise self._refusal(404, "BCK.AGENT.0001", "no such agent")
        return web.json_response({"success": True})

    async def agent(self, request: web.Request) -> web.Response:
        await self._taken(request)
        if request.match_info["id"] not in self.agents:
            raise self._refusal(404, "BCK.AGENT.0001", "no such agent")
        return web.json_response({"agentId": request.match_info["id"], **self.agents[request.match_info["id"]]})


@contextlib.contextmanager
def running(marketplace: Marketplace | Facilitator) -> Iterator[str]:
    """Its address, while it listens in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def do(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(PATIENCE_S)

    runner = web.AppRunner(marketplace.application(), handler_cancellation=True, shutdown_timeout=0)
    try:
        do(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", 0)
        do(site.start())
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        do(runner.cleanup())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE_S)
        loop.close()
