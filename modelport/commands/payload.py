"""`modelport payload`: the JSON body of a call, with files inside."""

from __future__ import annotations

import click

from modelport.commands.calling import model_command
from modelport.commands.shell.output import say


@click.command(cls=model_command.ModelCommand)
@click.option("--file", "files", metavar="KEY=PATH", multiple=True, help="A file for the argument KEY.")
@click.option("--text", "texts", metavar="KEY=TEXT", multiple=True, help="Text for KEY, whatever it looks like.")
@click.option("-o", "--output", metavar="FILE", help="Write the body there.")
@click.pass_context
def command(context: click.Context, files: tuple[str, ...], texts: tuple[str, ...], output: str | None) -> int:
    """Make the JSON body of a call: for POST /run/NAME, and for inputs/ in a bucket.

    A value that is the path of a file becomes an entry of oscar-files, in base64. Numbers, true, false, null, JSON
    lists and objects are sent as such; everything else is text. Repeat an argument for a list. No server is needed.

    \b
    modelport payload --files bear.jpg --confidence 0.3 > input.json
    """
    from modelport.client.calls import Answer
    from modelport.commands.model import answers, payload
    from modelport.commands.shell import event_loop

    arguments, doubts = payload.collect(context.meta[model_command.REST], texts, files)
    for doubt in doubts:
        say(f"note: {doubt}", err=True)
    answer = Answer("application/json", payload.body(arguments))

    async def write() -> int:
        await answers.write(answer, None if output == "-" else output, compact=True)
        return 0

    return event_loop.run(write, debug=False)
