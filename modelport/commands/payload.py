"""`modelport payload`: the JSON body of a call, with files inside."""

from __future__ import annotations

from typing import Any

import click

from modelport.commands.shell.output import say


class PayloadCommand(click.Command):
    """Everything that is no option of ours belongs to the model, also what begins with a dash."""

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        own, rest = self._split(arguments)
        context.obj = rest
        return super().parse_args(context, own)

    def _split(self, arguments: list[str]) -> tuple[list[str], list[str]]:
        takes_value = {
            name: not each.is_flag for each in self.params if isinstance(each, click.Option) for name in each.opts
        }
        own: list[str] = []
        rest: list[str] = []
        tokens = list(arguments)
        while tokens:
            word = tokens.pop(0)
            if word == "--":
                return own, rest + tokens
            name = word.partition("=")[0]
            if word in ("--help", "-h"):
                own.append(word)
            elif name not in takes_value:
                rest.append(word)
            else:
                own.append(word)
                if takes_value[name] and "=" not in word:
                    own += tokens[:1]
                    del tokens[:1]
        return own, rest

    def format_usage(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(context.command_path, "[OPTIONS] [--ARGUMENT VALUE]...")


@click.command(cls=PayloadCommand)
@click.option("--file", "files", metavar="KEY=PATH", multiple=True, help="A file for the argument KEY.")
@click.option("--text", "texts", metavar="KEY=TEXT", multiple=True, help="Text for KEY, whatever it looks like.")
@click.option("-o", "--output", metavar="FILE", help="Write the body there.")
@click.pass_context
def command(context: click.Context, files: tuple[str, ...], texts: tuple[str, ...], output: str | None) -> int:
    """Make the JSON body of a call: for POST /run/NAME, and for inputs/ in a bucket.

    A value that is the path of a file becomes an entry of oscar-files, in base64. Numbers, true, false, null, JSON
    lists and objects are what they are; everything else is text. Repeat an argument for a list. No server is asked.

    \b
    modelport payload --files bear.jpg --confidence 0.3 > input.json
    """
    import asyncio

    from modelport.commands.model import payload

    collected = payload.collect(context.obj, texts, files)
    for each in collected.doubts:
        say(f"note: {each}", err=True)
    asyncio.run(_write(collected, None if output == "-" else output))
    return 0


async def _write(collected: Any, output: str | None) -> None:
    from modelport.client.calls import Answer
    from modelport.commands.model import answers, payload

    await answers.write(Answer("application/json", payload.body(collected)), output, compact=True)
