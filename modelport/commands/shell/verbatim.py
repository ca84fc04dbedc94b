"""A command of the group whose arguments another parser reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def command_of(name: str, help: str, main: Callable[[list[str]], int]) -> Callable[[str], Any]:
    """A module's `__getattr__` for `command`: a click command that hands everything behind its name to `main`, --help
    included. Made when the group asks for it: the script does without click."""

    def made(attribute: str) -> Any:
        if attribute != "command":
            raise AttributeError(attribute)
        import click

        class Verbatim(click.Command):
            def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
                context.args = list(arguments)
                return context.args

        run = click.pass_context(lambda context: main(list(context.args)))
        return Verbatim(name, callback=run, help=help, add_help_option=False)

    return made
