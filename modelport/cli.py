"""The command `modelport`: a group whose commands are the files in `modelport/commands/`.

A command is one file there, named as the command is (`deepaas_run.py` is `deepaas-run`), that holds a click command
called `command`. The file of the command that runs is imported, and no other: what it needs beyond click it imports
when it is called. `main` turns every error into one message and an exit status.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Sequence
from typing import Any

import click

from modelport import __version__, commands
from modelport.commands.shell import failures, output


class Commands(click.Group):
    """A group that looks its commands up as files."""

    def list_commands(self, context: click.Context) -> list[str]:
        modules = pkgutil.iter_modules(commands.__path__)
        return sorted(module.name.replace("_", "-") for module in modules if not module.ispkg)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(context):
            return None
        module = importlib.import_module(f"modelport.commands.{name.replace('-', '_')}")
        command: click.Command = module.command
        return command


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="MODULE is the name of an installed module, package.module[:attribute], a folder or a Python file.",
)
@click.version_option(__version__, message="%(version)s", help="Print the version.")
def group() -> None:
    """Serve a machine-learning model that is written as a plugin, or use it from here."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status (docs/cli.md lists them)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    output.prepare()
    try:
        result: Any = group.main(words, prog_name="modelport", standalone_mode=False)
        sys.stdout.flush()
    except BaseException as error:
        status = failures.status_of(error, words)
        output.settle()
        return status
    return result if isinstance(result, int) else 0
