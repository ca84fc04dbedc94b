"""`modelport nevermined`: a deployment is registered in Nevermined's marketplace, and checked from outside."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import click

from modelport.commands.calling import completion
from modelport.commands.calling import server as servers
from modelport.commands.shell import failures
from modelport.commands.shell.flags import duration
from modelport.commands.shell.output import say, tell

if TYPE_CHECKING:
    from decimal import Decimal

    from modelport.commands.publishing.registering import Registration

SMALLEST_PRICE = 1


@click.group()
def command() -> None:
    """Register a deployment in Nevermined, and check that it works from outside.

    Callers pay Nevermined, whose proxy calls the deployment with its token. The key comes from NVM_API_KEY or
    --key-file. It is never printed.
    """


def _shared(work: Callable[..., Coroutine[Any, Any, int]]) -> click.Command:
    """A command about one deployment: `async work(registration, as_json, …)`."""

    @functools.wraps(work)
    async def registering(server: servers.AsyncClient, **options: Any) -> int:
        from modelport.commands.publishing.registering import Registration

        return await work(await Registration.of(server, options), **options)

    made = servers.command(registering)
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
async def plan(registration: Registration, as_json: bool, **options: Any) -> int:
    """Print exactly what `register` would send, and send nothing.

    The key and the token of the deployment are replaced by their names.
    """
    registration.print(registration.records.read().get("agentId", ""), as_json=as_json)
    return failures.DONE


@_offered
@_shared
async def register(registration: Registration, agent_id: str, again: bool, as_json: bool, **options: Any) -> int:
    """Register a deployment; the second time, update what was registered."""
    if again:
        registration.records.write(None)
    entry = {"agentId": agent_id} if agent_id else registration.records.read()
    answer = await registration.send(entry)
    text = "\n".join([f"agent  {answer['agentId']}", *(f"plan   {plan_id}" for plan_id in answer["planIds"])])
    tell(answer, text, as_json=as_json)
    if not as_json:
        say(f"`modelport nevermined check {registration.service.name}` checks it from outside.", err=True)
    return failures.DONE


register.params[5:5] = [
    click.Option(["--agent-id"], metavar="ID", default="", help="Update this agent."),
    click.Option(["--again"], is_flag=True, help="Register anew, whatever was registered before."),
]


@_shared
async def check(registration: Registration, as_json: bool, **options: Any) -> int:
    """Check from outside that a deployment can be sold and called."""
    from modelport.commands.publishing.outside import Outside

    backend = registration.backend() if registration.key else None
    record = registration.records.read()
    median_s = (await registration.server.deployment(registration.service.name))["p50_s"]
    try:
        results = [row async for row in Outside(registration.service, backend, record, median_s).run()]
    finally:
        if backend is not None:
            await backend.aclose()
    lines = [f"FAILED  {what}: {wrong}" if wrong else f"ok      {what}" for what, wrong in results]
    tell([{"check": what, "wrong": wrong} for what, wrong in results], "\n".join(lines), as_json=as_json)
    return failures.FAILED if any(wrong for _, wrong in results) else failures.DONE


@_shared
async def unregister(registration: Registration, as_json: bool, **options: Any) -> int:
    """Unlink the plans of a deployment, so that nobody buys it any more.

    The agent itself stays in Nevermined, which has no way to delete one.
    """
    plan_ids = await registration.withdraw()
    tell({"planIds": plan_ids}, "\n".join(f"unlinked {plan_id}" for plan_id in plan_ids), as_json=as_json)
    return failures.DONE


for made in (plan, register, check, unregister):
    command.add_command(made)
