"""`modelport nevermined`: a deployment is registered in Nevermined's marketplace, and checked from outside."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import click

from modelport.commands.calling import completion
from modelport.commands.calling import server as servers
from modelport.commands.shell import failures
from modelport.commands.shell.durations import duration
from modelport.commands.shell.output import say

if TYPE_CHECKING:
    from decimal import Decimal

    from modelport.commands.publishing.records import Records
    from modelport.commands.publishing.registration import Offer, Service
    from modelport.payments.backend import Backend

# Addresses that change whenever a tunnel starts.
PASSING = (".trycloudflare.com", ".ngrok-free.app")
SMALLEST_PRICE = 1


@click.group()
def command() -> None:
    """Register a deployment in Nevermined, and check that it works from outside.

    Callers pay Nevermined, whose proxy calls the deployment with its token. The key comes from NVM_API_KEY or
    --key-file. It is never printed.
    """


def _shared(work: Callable[..., Any]) -> click.Command:
    """A command about one deployment."""
    made = servers.command(work)
    made.params[:0] = [
        click.Argument(["name"], metavar="NAME", shell_complete=completion.complete_served),
        click.Option(
            ["--public-url", "public"],
            metavar="URL",
            help="The server's public address.  [default: the setting public_url, else the running tunnel's]",
        ),
        click.Option(["--backend"], metavar="URL", help="Nevermined's address.  [default: the key's]"),
        click.Option(["--key-file"], metavar="FILE", help="A file with the key.  [default: NVM_API_KEY]"),
        click.Option(["--allow-list"], is_flag=True, help="Let buyers call the plain endpoint only."),
    ]
    return made


def _offered(made: click.Command) -> click.Command:
    """With the options of a plan."""
    made.params[5:5] = [
        click.Option(["--price"], metavar="N", callback=_price, help="Of the plan, by card.  [default: free]"),
        click.Option(["--currency"], type=click.Choice(["USD", "EUR"]), default="USD", show_default=True),
        click.Option(["--receiver"], metavar="0x…", default="", help="The address of who is paid."),
        click.Option(["--credits"], type=click.IntRange(1), metavar="N", default=100, help="Bought at once.  [100]"),
        click.Option(["--per-call"], type=click.IntRange(1), metavar="N", default=1, help="Credits of a call.  [1]"),
        click.Option(["--duration"], metavar="TIME", type=duration, default="0s", help="Sell time, not credits: 30d."),
        click.Option(["--plan-id", "plan_ids"], metavar="ID", multiple=True, help="A plan that exists already."),
    ]
    return made


def _price(context: click.Context, parameter: click.Parameter, value: str | None) -> Decimal:
    from decimal import Decimal, InvalidOperation

    try:
        price = Decimal(value or "0")
        known = price == 0 or (price >= SMALLEST_PRICE and price == round(price, 2))
    except InvalidOperation:
        known = False
    if not known:
        raise click.BadParameter(f"{value!r} is not a price; give at least {SMALLEST_PRICE}, such as 2.50")
    return price


@_offered
@_shared
async def plan(server: servers.AsyncClient, **options: Any) -> int:
    """Print exactly what `register` would send, and send nothing.

    The key and the token of the deployment are replaced by their names.
    """
    registration = await Registration.of(server, options)
    method, path, body = registration.request(registration.records.read().get("agentId", ""))
    registration.print(method, path, body, as_json=options["as_json"])
    return failures.DONE


@_offered
@_shared
async def register(server: servers.AsyncClient, agent_id: str, again: bool, **options: Any) -> int:
    """Register a deployment; the second time, update what was registered."""
    registration = await Registration.of(server, options)
    if again:
        registration.records.write(None)
    entry = {"agentId": agent_id} if agent_id else registration.records.read()
    answer = await registration.send(entry)
    if options["as_json"]:
        say(json.dumps(answer))
        return failures.DONE
    say(f"agent  {answer['agentId']}")
    for plan_id in answer["planIds"]:
        say(f"plan   {plan_id}")
    say(f"`modelport nevermined check {registration.service.name}` checks it from outside.", err=True)
    return failures.DONE


register.params[5:5] = [
    click.Option(["--agent-id"], metavar="ID", default="", help="Update this agent."),
    click.Option(["--again"], is_flag=True, help="Register anew, whatever was registered before."),
]


@_shared
async def check(server: servers.AsyncClient, **options: Any) -> int:
    """Check from outside that a deployment can be sold and called."""
    from modelport.commands.publishing.outside import Outside

    registration = await Registration.of(server, options)
    backend = registration.backend() if registration.key else None
    record = registration.records.read()
    median_s = (await server.deployment(registration.service.name))["p50_s"]
    try:
        results = [row async for row in Outside(registration.service, backend, record, median_s).run()]
    finally:
        if backend is not None:
            await backend.aclose()
    if options["as_json"]:
        say(json.dumps([{"check": what, "wrong": wrong} for what, wrong in results]))
    else:
        for what, wrong in results:
            say(f"FAILED  {what}: {wrong}" if wrong else f"ok      {what}")
    return failures.FAILED if any(wrong for _, wrong in results) else failures.DONE


for made in (plan, register, check):
    command.add_command(made)


class Registration:
    """One deployment, and where it is registered."""

    def __init__(self, service: Service, offer: Offer, key: str, url: str, records: Records) -> None:
        self.service, self.offer, self.key, self.url, self.records = service, offer, key, url, records

    @classmethod
    async def of(cls, server: servers.AsyncClient, options: dict[str, Any]) -> Registration:
        """Raises NotFound, BadSetting, and UsageError where no public address is known."""
        from modelport import settings
        from modelport.catalogue import about as abouts
        from modelport.commands.exporting import source
        from modelport.commands.publishing.records import Records
        from modelport.commands.publishing.registration import Service
        from modelport.commands.tunnelling import notice
        from modelport.payments import backend

        key = backend.read_key(options["key_file"])
        url = backend.choose(key, options["backend"])
        named = click.get_current_context().params
        found = settings.read(named["config_file"], flags={"home": named["home"]})
        deployment = await server.deployment(options["name"])
        card = await server.card(deployment["name"])
        about, _ = await source.looked_up(deployment["module"], deployment["python"])
        home = found.home_path
        public = options["public"] or found.public_url or notice.read(home)
        if not public:
            raise click.UsageError("no public address is known; run `modelport tunnel`, or give --public-url URL")
        about = about.filled_by(abouts.of_card(card))
        token = deployment["token"] if deployment["kept"] else server.where.token
        service = Service(deployment["name"], token, public.rstrip("/"), about, card, options["allow_list"])
        where = "" if server.where.notice else server.where.url
        return cls(service, _offer(options), key, url, Records(home, where, url, deployment["name"]))

    def request(self, agent_id: str) -> tuple[str, str, dict[str, Any]]:
        from modelport.commands.publishing import registration

        return registration.request(self.service, self.offer, agent_id)

    def backend(self) -> Backend:
        from modelport.payments.backend import Backend

        return Backend(self.url, self.key)

    def print(self, method: str, path: str, body: dict[str, Any], *, as_json: bool) -> None:
        from modelport.payments import backend

        agent = body.get("agent", body)
        agent["agentApiAttributes"]["token"] = f"<the token of {self.service.name}>"
        headers = backend.headers(backend.SHOWN)
        if as_json:
            say(json.dumps({"method": method, "url": self.url + path, "headers": headers, "body": body}))
            return
        say(f"{method} {self.url}{path}")
        for name, value in headers.items():
            say(f"{name}: {value}")
        say("\n" + json.dumps(body, indent=2, ensure_ascii=False))

    async def send(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Register or update; what is remembered of it. Raises BackendFailed."""
        from modelport.payments.backend import BackendFailed

        if not self.service.token:
            raise click.UsageError(f"{self.service.name} can be called without a token; nobody would pay for it")
        if self.service.public.endswith(PASSING):
            say(
                f"warning: {self.service.public} changes when the tunnel is started again; then register again",
                err=True,
            )
        agent_id = entry.get("agentId", "")
        method, path, body = self.request(agent_id)
        if not agent_id:
            self.records.write({"public": self.service.public})
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
        kept = {
            "agentId": agent_id or str(told["agentId"]),
            "planIds": entry.get("planIds") or plan_ids,
            "public": self.service.public,
        }
        self.records.write(kept)
        return kept


def _offer(options: dict[str, Any]) -> Offer:
    """Raises UsageError."""
    from modelport.commands.publishing.registration import Offer, is_address

    if options.get("price") and not options["plan_ids"] and not is_address(options["receiver"]):
        raise click.UsageError(f"--receiver is {options['receiver']!r}; a price needs an address: 0x and 40 hex digits")
    if "price" not in options:
        return Offer()
    return Offer(
        price=options["price"],
        currency=options["currency"],
        receiver=options["receiver"],
        credits=options["credits"],
        per_call=options["per_call"],
        duration_s=int(options["duration"]),
        plan_ids=options["plan_ids"],
    )
