"""`modelport new`: a module to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from modelport.commands import scaffolding
from modelport.commands.shell.output import say


@scaffolding.options
@click.command()
@click.argument("name")
@click.option("--folder", metavar="DIR", help="Where to make it.  [default: a folder named NAME]")
def command(name: str, folder: str | None, **options: Any) -> int:
    """Make a new module called NAME that can be served, tested and checked at once.

    On a terminal the command asks for what the options leave open.
    """
    from modelport import scaffold

    answers = scaffolding.answers(name, **options)
    target = Path(folder or answers.repository)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise click.UsageError(
            f"{target} is there already; `modelport init` adds what is missing to a folder with code"
        )
    files = scaffold.render(answers)
    scaffold.write(target, files)
    say(f"made {target} with {len(files)} files. Next:\n")
    for line in (
        f"cd {target}",
        "pip install -e '.[test]' && pytest",
        "modelport check",
        f"modelport serve {answers.package}",
    ):
        say(f"    {line}")
    return 0
