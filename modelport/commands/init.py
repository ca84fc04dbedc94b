"""`modelport init`: what a folder with code lacks to be a module."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from modelport.commands import scaffolding
from modelport.commands.shell.output import say


@scaffolding.options
@click.command()
@click.argument("folder", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--name", metavar="NAME", help="The module's name.  [default: that of the project or folder]")
def command(folder: Path, name: str | None, **options: Any) -> int:
    """Add what a folder with code lacks to be a module. It changes no existing file.

    FOLDER is by default the folder that you are in.
    """
    from modelport import scaffold
    from modelport.contract import naming, packaging

    folder = folder.resolve()
    project = packaging.read(folder, naming.GROUP)
    layout = scaffold.layout_of(folder)
    said = {"summary": "summary", "author": "author", "licence": "license", "version": "version"}
    for option, key in said.items():
        value = project.core.get(key)
        if not options[option] and isinstance(value, str) and (option != "licence" or value in scaffold.LICENCES):
            options[option] = value
    answers = scaffolding.answers(name or project.name or folder.name, **options)
    files = scaffold.missing(folder, scaffold.render(answers, layout))
    scaffold.write(folder, files)
    for path in sorted(files):
        say(f"added {path}")
    if not files:
        say("nothing is missing")
    if layout is not None and project.name and not project.points:
        say(f"\nAdd this entry point to your packaging, in the group {naming.GROUP}:\n")
        say(f"    {answers.package} = {layout.entry}")
    say("\nNext: modelport check")
    return 0
