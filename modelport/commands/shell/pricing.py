"""`--price`: what strangers pay for a call, at `deploy` and `serve`."""

from __future__ import annotations

from typing import Any

import click

OPTIONS = (
    click.option("--price", metavar="N", type=click.IntRange(1), help="Credits that a call costs strangers."),
    click.option("--plan-id", "plan_ids", metavar="ID", multiple=True, help="With --price: a plan that pays."),
    click.option("--agent-id", metavar="ID", help="With --price: the agent in Nevermined."),
)


def options(command: Any) -> Any:
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def of(options: dict[str, Any]) -> dict[str, Any] | None:
    """The price as /deployments takes it; None: there is none. Its own are taken out of `options`.

    Raises UsageError.
    """
    credits, plan_ids, agent_id = (options.pop(name) for name in ("price", "plan_ids", "agent_id"))
    if credits is None and (plan_ids or agent_id):
        raise click.UsageError("--plan-id and --agent-id belong to a price; give --price N, the credits of a call")
    return None if credits is None else {"credits": credits, "plan_ids": list(plan_ids), "agent_id": agent_id or ""}
