"""Nevermined's verify and settle on this machine, by the captured wire format: balances, spent tokens, and every way
in which a backend misbehaves."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

VERIFY, SETTLE = "/api/v1/x402/verify", "/api/v1/x402/settle"
PLAN = str(2**255)
BUYER = "0x" + "b0" * 20


def token(*, single_use: bool = True, payer: str = BUYER, identifier: str = "", **more: Any) -> str:
    """As a buyer sends it."""
    authorization = {"from": payer} | ({"nonce": "0x" + secrets.token_hex(32)} if single_use else {})
    said: dict[str, Any] = {
        "x402Version": 2,
        "accepted": {"scheme": "nvm:erc4337", "network": "eip155:84532", "planId": PLAN},
        "payload": {"signature": "0x" + secrets.token_hex(8), "authorization": authorization},
        **more,
    }
    if identifier:
        said["extensions"] = {"payment-identifier": {"info": {"id": identifier}}}
    return base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("=")


def decoded(header: str) -> Any:
    return json.loads(base64.b64decode(header, validate=True))


@dataclass
class Facilitator:
    """balances: by payer; whoever is new has `start`. settled: receipts by agentRequestId. asked: (path, body).

    verify, settle: how these misbehave: "" not at all; an HTTP status (of HTML); a code of the backend ("BCK.…");
        "hang"; "after" (done, and then it hangs); "lost" (done, but the connection is cut before the answer); "cut"
        (not done); "garbage".
    """

    key: str
    start: int = 100
    verify: str = ""
    settle: str = ""
    balances: dict[str, int] = field(default_factory=dict)
    spent: set[str] = field(default_factory=set)
    settled: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, Any]] = field(default_factory=list)

    def reset(self) -> None:
        self.start, self.verify, self.settle = 100, "", ""
        for known in (self.balances, self.spent, self.settled, self.asked):
            known.clear()

    def application(self) -> web.Application:
        app = web.Application()
        self.add_routes(app)
        return app

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post(VERIFY, self._verify)
        app.router.add_post(SETTLE, self._settle)

    def count(self, path: str) -> int:
        return sum(asked == path for asked, _ in self.asked)

    @property
    def credits_taken(self) -> int:
        return sum(self.start - balance for balance in self.balances.values())

    async def _body(self, request: web.Request, *more: str) -> Any:
        assert request.headers["Authorization"] == f"Bearer {self.key}"
        assert request.headers["Nevermined-Version"] == "1.1"
        body = await request.json()
        self.asked.append((request.path, body))
        assert set(body) == {"paymentRequired", "x402AccessToken", "maxAmount", *more}, body
        assert isinstance(body["maxAmount"], str)
        return body

    async def _misbehave(self, request: web.Request, how: str) -> web.Response | None:
        if how in ("hang", "after"):
            await asyncio.Event().wait()
        if how in ("cut", "lost"):
            assert request.transport is not None
            request.transport.abort()
            raise asyncio.CancelledError
        if how.isdecimal():
            return web.Response(status=int(how), text="<html>Bad gateway</html>", content_type="text/html")
        if how == "garbage":
            return web.json_response({"data": {"ok": True}})
        if how:
            document = {"code": how, "message": "the token is no good", "httpStatus": 400}
            return web.json_response(document, status=400)
        return None

    async def _verify(self, request: web.Request) -> web.Response:
        body = await self._body(request)
        if (misbehaved := await self._misbehave(request, self.verify)) is not None:
            return misbehaved
        payer, reason = self._payer(body)
        if not reason and self.balances.setdefault(payer, self.start) < int(body["maxAmount"]):
            reason = "insufficient balance"
        if reason:
            return web.json_response({"isValid": False, "invalidReason": reason})
        request_id = f"request-{secrets.token_hex(4)}"
        known = {"isValid": True, "payer": payer, "network": "eip155:84532", "agentRequestId": request_id}
        return web.json_response({**known, "urlMatching": body["paymentRequired"]["resource"]["url"]})

    async def _settle(self, request: web.Request) -> web.Response:
        body = await self._body(request, "agentRequestId")
        early = "" if self.settle in ("after", "lost") else self.settle
        if (misbehaved := await self._misbehave(request, early)) is not None:
            return misbehaved
        request_id, amount = body["agentRequestId"], int(body["maxAmount"])
        if request_id not in self.settled:
            payer, reason = self._payer(body)
            nonce = self._said(body)["payload"]["authorization"].get("nonce")
            if nonce in self.spent:
                document = {"code": "BCK.X402.0059", "message": "the token has been used", "httpStatus": 400}
                return web.json_response(document, status=400)
            if reason or self.balances.setdefault(payer, self.start) < amount:
                document = {"code": "BCK.X402.0001", "message": "insufficient balance", "httpStatus": 400}
                return web.json_response(document, status=400)
            self.spent |= {nonce} if nonce else set()
            self.balances[payer] -= amount
            self.settled[request_id] = {
                "success": True,
                "transaction": "0x" + secrets.token_hex(32),
                "network": "eip155:84532",
                "creditsRedeemed": str(amount),
                "remainingBalance": str(self.balances[payer]),
                "payer": payer,
            }
        if self.settle in ("after", "lost"):
            await self._misbehave(request, self.settle)
        return web.json_response(self.settled[request_id])

    def _said(self, body: Any) -> Any:
        content = body["x402AccessToken"]
        return json.loads(base64.urlsafe_b64decode(content + "=" * (-len(content) % 4)))

    def _payer(self, body: Any) -> tuple[str, str]:
        """(who pays, why not)."""
        said = self._said(body)
        plans = [accepted["planId"] for accepted in body["paymentRequired"]["accepts"]]
        if said.get("accepted", {}).get("planId") not in plans:
            return "", "the plan is not one of those that were asked for"
        return said["payload"]["authorization"]["from"], ""
