"""A command of the group whose arguments another parser reads."""

from __future__ import annotations

from collections.abc import Callable

import click


def verbatim(name: str, main: Callable[[list[str]], int], help: str) -> click.Command:
    """A click command that hands everything behind its name to `main`, --help included."""

    class Verbatim(click.Command):
        def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
            context.args = list(arguments)
            return context.args

    @click.pass_context
    def run(context: click.Context) -> int:
        return main(list(context.args))

    return Verbatim(name, callback=run, help=help, add_help_option=False)
