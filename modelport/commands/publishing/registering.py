"""A deployment, and where it is registered: `<home>/nevermined.json` remembers it."""

from __future__ import annotations

import json
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from modelport import settings
from modelport.catalogue import about as abouts
from modelport.client import AsyncClient
from modelport.commands.exporting import source
from modelport.commands.publishing.registration import ADDRESS, AGENTS, Offer, Service, request
from modelport.commands.shell.files import replaced
from modelport.commands.shell.output import say, tell
from modelport.commands.tunnelling import tunnels
from modelport.errors import Conflict, NotFound
from modelport.payments import backend
from modelport.payments.backend import Backend, BackendFailed

# Addresses that change whenever a tunnel starts.
PASSING = (".trycloudflare.com", ".ngrok-free.app")
NAME = "nevermined.json"
# How plans that are bought by card are paid; Nevermined's default provider.
CARD, CARD_NETWORK = "nvm:card-delegation", "stripe"
IN_DOUBT = (
    "an earlier `register` of {name} ended before the answer came, so {name} may be registered already. Look at your "
    "agents in Nevermined's web app; if it is there, give --agent-id ID, else --again"
)


class Records:
    """Registrations by server, backend and deployment.

    A registration is noted before it is sent. If its answer is lost, nothing is registered a second time unasked.
    """

    def __init__(self, home: Path, server: str, backend: str, name: str) -> None:
        self.path = home / NAME
        self._key = f"{server} {backend} {name}".strip()
        self._name = name

    def read(self) -> dict[str, Any]:
        """{"agentId", "planId", "public"}; {} if there is none. Raises Conflict if one is in doubt."""
        entry: dict[str, Any] = self._all().get(self._key, {})
        if entry and not entry.get("agentId"):
            raise Conflict(IN_DOUBT.format(name=self._name))
        return entry

    def write(self, entry: dict[str, Any] | None) -> None:
        """None: remove it."""
        entries = self._all()
        entries.pop(self._key, None)
        if entry is not None:
            entries[self._key] = entry
        with replaced(self.path, mode=0o600) as file:
            file.write(json.dumps(entries, indent=2).encode() + b"\n")

    def _all(self) -> dict[str, Any]:
        try:
            entries: dict[str, Any] = json.loads(self.path.read_text())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise Conflict(f"{self.path} is not valid JSON: {error}. Mend it, or move it away") from error
        return entries


@dataclass
class Registration:
    """url: of the backend. price: of the deployment's calls, as the server has it; kept: the server keeps it."""

    server: AsyncClient
    price: dict[str, Any] | None
    kept: bool
    service: Service
    offer: Offer
    key: str
    url: str
    records: Records

    @classmethod
    async def of(cls, server: AsyncClient, options: dict[str, Any]) -> Registration:
        """Raises NotFound, BadSetting, and UsageError where no public address is known."""
        key = backend.read_key(options["key_file"])
        url = backend.choose(key, options["backend"])
        named = click.get_current_context().params
        own = settings.read(named["config_file"], flags={"home": named["home"]})
        deployment = await server.deployment(options["name"])
        card = await server.card(deployment["name"])
        about, _ = await source.looked_up(deployment["module"], deployment["python"])
        home = own.home_path
        public = options["public"] or own.public_url or tunnels.running(home)
        if not public:
            raise click.UsageError("no public address is known; run `modelport tunnel`, or give --public-url URL")
        about = about.filled_by(abouts.of_card(card))
        token = deployment["token"] if deployment["kept"] else server.where.token
        price, name = deployment["price"], deployment["name"]
        service = Service(name, token, public.rstrip("/"), about, card, options["allow_list"], price is not None)
        where = "" if server.where.notice else server.where.url
        offer, records = _offer(options, price), Records(home, where, url, name)
        return cls(server, price, deployment["kept"], service, offer, key, url, records)

    def backend(self) -> Backend:
        return Backend(self.url, self.key)

    def print(self, agent_id: str, *, as_json: bool) -> None:
        method, path, body = request(self.service, self.offer, agent_id)
        interface = body.get("agent", body)["agentApiAttributes"]
        interface |= {"token": f"<the token of {self.service.name}>"} if "token" in interface else {}
        headers = backend.headers(backend.SHOWN)
        lines = [f"{method} {self.url}{path}", *(f"{name}: {value}" for name, value in headers.items())]
        text = "\n".join([*lines, "", json.dumps(body, indent=2, ensure_ascii=False)])
        tell({"method": method, "url": self.url + path, "headers": headers, "body": body}, text, as_json=as_json)

    async def send(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Register or update; what is remembered of it. Raises BackendFailed."""
        if not (self.service.token or self.service.sold):
            raise click.UsageError(f"{self.service.name} can be called without a token; nobody would pay for it")
        if (public := self.service.public).endswith(PASSING):
            say(f"warning: {public} changes when the tunnel is started again; then register again", err=True)
        agent_id = entry.get("agentId", "")
        method, path, body = request(self.service, self.offer, agent_id)
        if not agent_id:
            self.records.write({"public": public})
        try:
            async with aclosing(self.backend()) as backend:
                answer = await backend.send(method, path, body)
        except BackendFailed as error:
            if not agent_id and not error.sent:
                self.records.write(None)
            raise
        told = answer.get("data", answer)
        if not agent_id and not told.get("agentId"):
            raise BackendFailed(f"{method} {path}: the answer has no agentId", sent=True)
        plan_ids = [str(told["planId"])] if told.get("planId") else list(self.offer.plan_ids)
        agent_id = agent_id or str(told["agentId"])
        plan_ids = entry.get("planIds") or plan_ids
        kept = {"agentId": agent_id, "planIds": plan_ids, "public": public}
        self.records.write(kept)
        await self._put_on_sale(agent_id, plan_ids)
        return kept

    async def withdraw(self) -> list[str]:
        """Unlink the plans, forget the registration, and sell no more; the plans. Raises BackendFailed, NotFound."""
        entry = self.records.read()
        if not entry:
            raise NotFound(f"{self.service.name} is not registered from here")
        async with aclosing(self.backend()) as backend:
            for plan_id in entry["planIds"]:
                path = f"{AGENTS}/{quote(entry['agentId'], safe='')}/plan/{quote(plan_id, safe='')}"
                try:
                    await backend.send("DELETE", path)
                except BackendFailed as error:
                    if error.answered != 404:  # it is not linked any more
                        raise
        self.records.write(None)
        await self._put_on_sale("", [])
        return list(entry["planIds"])

    async def _put_on_sale(self, agent_id: str, plan_ids: list[str]) -> None:
        """The server learns by which plans the calls are paid."""
        if self.price is None:
            return
        price = {**self.price, "agent_id": agent_id, "plan_ids": plan_ids}
        if self.offer.price and not self.offer.plan_ids:
            price |= {"scheme": CARD, "network": CARD_NETWORK}
        if self.kept:
            await self.server.json_of("PATCH", f"/deployments/{quote(self.service.name)}", json={"price": price})
        elif plan_ids:
            plans = " ".join(f"--plan-id {plan_id}" for plan_id in plan_ids)
            options = f"--price {price['credits']} --agent-id {agent_id} {plans}"
            say(f"{self.service.name} is on sale once the server is started with {options}", err=True)


def _offer(options: dict[str, Any], price: dict[str, Any] | None) -> Offer:
    """Raises UsageError."""
    if options.get("price") and not options["plan_ids"] and not ADDRESS.fullmatch(options["receiver"]):
        raise click.UsageError(f"--receiver is {options['receiver']!r}; a price needs an address: 0x and 40 hex digits")
    names = ("price", "currency", "receiver", "credits", "per_call", "plan_ids")
    if "price" not in options:
        return Offer()
    chosen = {name: options[name] for name in names}
    if price is not None:
        chosen["per_call"] = price["credits"]  # what the server will ask
    return Offer(**chosen, duration_s=int(options["duration"]))
