"""Whether what was registered works, asked from outside as a marketplace asks."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from modelport.client.connection import proxy_of
from modelport.client.where import bearer
from modelport.commands.publishing.registration import AGENTS, Service, agent
from modelport.payments import x402
from modelport.payments.backend import Backend, BackendFailed

ASK_S = 60.0
# A call through the marketplace may take so long.
SLOW_S = 60.0


class Wrong(Exception):
    """What is wrong, and what to do."""


class Outside:
    """The checks, in order; each raises Wrong."""

    def __init__(
        self, service: Service, backend: Backend | None, record: dict[str, Any], median_s: float | None
    ) -> None:
        self._service, self._backend, self._record, self._median_s = service, backend, record, median_s

    async def run(self) -> AsyncIterator[tuple[str, str]]:
        """(what was checked, what is wrong with it or "")."""
        timeout = aiohttp.ClientTimeout(total=ASK_S)
        async with aiohttp.ClientSession(timeout=timeout) as self._session:
            for what, check in self._checks():
                try:
                    await check()
                except Wrong as wrong:
                    yield what, str(wrong)
                except (aiohttp.ClientError, TimeoutError, BackendFailed) as error:
                    yield what, f"no answer: {error or type(error).__name__}"
                else:
                    yield what, ""

    def _checks(self) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
        checks: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            ("the public address is https, and not of this machine", self._public),
            ("/openapi.json can be imported without a token", self._document),
            ("the endpoint is described there", self._described),
            *self._access(),
            ("web pages may ask (CORS)", self._preflight),
            ("the answer comes in time", self._quick),
        ]
        if self._record:
            checks.append(("the registered address is the public one", self._same_address))
        if self._record and self._backend is not None:
            checks.append(("the agent is registered as it is now", self._registered))
        return checks

    def _access(self) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
        liar = ("with a made-up token: 401", partial(self._answers, 401, bearer(secrets.token_hex(16))))
        if self._service.sold:
            forger = ("with a made-up payment: 402", self._forger)
            return [("without a payment: 402, and what to pay", self._unpaid), forger, liar]
        friend = partial(self._answers, 200, bearer(self._service.token))
        return [("without a token: 401", partial(self._answers, 401, {})), liar, ("with the token: 200", friend)]

    async def _ask(self, method: str, url: str, **headers: str) -> tuple[int, Any, bytes]:
        options: dict[str, Any] = {"headers": headers, "allow_redirects": False, "proxy": proxy_of(url)}
        async with self._session.request(method, url, **options) as response:
            return response.status, response.headers, await response.read()

    async def _public(self) -> None:
        parts = urlsplit(self._service.public)
        host = parts.hostname or ""
        if parts.scheme != "https":
            raise Wrong(f"{self._service.public} is not https; use `modelport tunnel`, or a proxy with a certificate")
        addresses = {str(row[4][0]) for row in await asyncio.get_running_loop().getaddrinfo(host, 443)}
        private = sorted(address for address in addresses if not ipaddress.ip_address(address.split("%")[0]).is_global)
        if private:
            raise Wrong(f"{host} is {', '.join(private)}, which others cannot reach; use `modelport tunnel`")

    async def _openapi(self) -> dict[str, Any]:
        status, _, body = await self._ask("GET", self._service.document)
        try:
            document = json.loads(body)
        except ValueError:
            document = None
        if status != 200 or not isinstance(document, dict):
            raise Wrong(f"{self._service.document} answers {status} and no JSON; does the address lead to this server?")
        return document

    async def _document(self) -> None:
        document = await self._openapi()
        if not str(document.get("openapi", "")).startswith("3."):
            raise Wrong(f"{self._service.document} is not an OpenAPI 3 document")
        servers = [str(row.get("url")) for row in document.get("servers", [])]
        public = self._service.public
        if not servers or not public.startswith(servers[0]) or not urlsplit(servers[0]).netloc:
            named = servers[0] if servers else "no server"
            raise Wrong(f"it names {named}; start the server with --public-url {public}")

    async def _described(self) -> None:
        path = urlsplit(self._service.endpoint).path
        paths = (await self._openapi()).get("paths", {})
        operations: Any = next((value for name, value in paths.items() if path.endswith(name) and name.strip("/")), {})
        if not {"get", "post"} & set(operations):
            raise Wrong("it is not; start the server with --public-documents, which shows arguments to everybody")

    async def _answers(self, expected: int, headers: dict[str, str]) -> None:
        status, _, _ = await self._ask("HEAD", self._service.endpoint, **headers)
        if status != expected:
            raise Wrong(f"HEAD {self._service.endpoint} answers {status}; {expected} was expected")

    async def _unpaid(self) -> None:
        status, headers, _ = await self._ask("HEAD", self._service.endpoint)
        if status != 402:
            raise Wrong(f"it answers {status}; is it on sale? `modelport info {self._service.name}` says")
        try:
            demand = json.loads(base64.b64decode(headers[x402.DEMAND]))
            address, plans = demand["resource"]["url"], [plan["planId"] for plan in demand["accepts"]]
        except (KeyError, ValueError, TypeError):
            raise Wrong(f"the header {x402.DEMAND} is missing, or cannot be read: does a proxy remove it?") from None
        if address != self._service.endpoint:
            raise Wrong(f"a payment would be for {address}; start the server with --public-url {self._service.public}")
        if self._record and plans != self._record["planIds"]:
            raise Wrong(f"it asks for the plans {', '.join(plans)}; run `modelport nevermined register` again")

    async def _forger(self) -> None:
        made_up = base64.b64encode(json.dumps({"x402Version": 2, "payload": secrets.token_hex(16)}).encode()).decode()
        status, _, _ = await self._ask("POST", self._service.endpoint, **{x402.TOKEN: made_up})
        if status != 402:
            raise Wrong(f"it answers {status}; the server's log says why")

    async def _preflight(self) -> None:
        asked = {"Origin": "https://nevermined.app", "Access-Control-Request-Method": "POST"}
        asked["Access-Control-Request-Headers"] = "authorization,content-type"
        status, headers, _ = await self._ask("OPTIONS", self._service.endpoint, **asked)
        if status >= 300 or "Access-Control-Allow-Origin" not in headers:
            raise Wrong(f"a preflight is answered {status} without leave; start the server with --cors")

    async def _quick(self) -> None:
        if self._median_s is not None and self._median_s > SLOW_S:
            raise Wrong(f"a call takes {self._median_s:.0f} s; sell {self._service.endpoint}/async instead")

    async def _same_address(self) -> None:
        if self._record["public"] != self._service.public:
            raise Wrong(f"{self._record['public']} is registered; run `modelport nevermined register` again")

    async def _registered(self) -> None:
        assert self._backend is not None
        answer = await self._backend.send("GET", f"{AGENTS}/{self._record['agentId']}")
        kept = answer.get("data", answer)
        for part, told in agent(self._service).items():
            # Of what the backend tells: the token is not among it.
            there = kept.get(part, {})
            changed = sorted(name for name, value in told.items() if name in there and there[name] != value)
            if changed:
                raise Wrong(f"its {', '.join(changed)} changed; run `modelport nevermined register` again")
