"""`modelport describe`: a model's card."""

from __future__ import annotations

from typing import Any

import click

from modelport.commands.calling import model_command
from modelport.commands.shell.output import say
from modelport.contract.visible import visible_json


@model_command.model_options
@click.command(cls=model_command.ModelCommand)
@click.pass_context
def command(context: click.Context, /, **options: Any) -> int:
    """Describe a model: its metadata, arguments and answers. With --json, print the whole card."""
    request = model_command.Request(context, options)
    if request.help_wanted:
        say(context.get_help())
        return 0
    if request.rest:
        raise click.UsageError(f"unexpected {request.rest[0]!r}")
    from modelport.commands.shell import event_loop

    return event_loop.run(lambda: _describe(request), debug=options["debug"])


async def _describe(request: model_command.Request) -> int:
    from modelport.commands.model.card_text import print_card

    async with request.open() as model:
        if request.as_json:
            import msgspec

            say(visible_json(msgspec.json.encode(model.card.to_plain()).decode()))
        else:
            print_card(model.card, request.module or model.card.name)
    return 0
