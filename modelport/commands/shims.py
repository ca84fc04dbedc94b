"""`modelport shims`: the commands `deepaas-run` and `deepaas-cli` for an environment that has no deepaas."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

import click

from modelport.commands.shell.files import replaced
from modelport.commands.shell.output import say

NAMES = ("deepaas-run", "deepaas-cli")
# Known by this line, which nothing else writes.
MARK = "# Written by `modelport shims`; `modelport shims --remove` removes it."

SCRIPT = """\
{shebang}
{mark}
import sys

from modelport.commands.{module} import main

sys.exit(main(sys.argv[1:]))
"""

# The kernel cuts a longer first line off (BINPRM_BUF_SIZE was 128 until Linux 5.1).
SHEBANG_BYTES = 127


@click.command()
@click.option(
    "--dir",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Their folder.  [default: that of this Python]",
)
@click.option("--force", is_flag=True, help="Write them even beside the original deepaas, or over other files.")
@click.option("--remove", is_flag=True, help="Remove the two commands, if modelport wrote them.")
def command(folder: Path | None, force: bool, remove: bool) -> int:
    """Write the commands deepaas-run and deepaas-cli, which run modelport.

    Scripts that use DEEPaaS' commands then work without DEEPaaS. `modelport deepaas-run` and `modelport deepaas-cli` do
    the same without them.
    """
    folder = folder or Path(sysconfig.get_path("scripts"))
    paths = [folder / name for name in NAMES]
    if remove:
        return _remove(paths)
    if not force:
        _check(paths)
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        _write(path)
        say(path)
    return 0


def _check(paths: list[Path]) -> None:
    from importlib import metadata

    others = [str(path) for path in paths if os.path.lexists(path) and not _is_ours(path)]
    try:
        known = metadata.version("deepaas")
    except metadata.PackageNotFoundError:
        known = ""
    if known:
        raise click.ClickException(
            f"deepaas {known} is installed here, with its own commands: run pip uninstall deepaas first, or add --force"
        )
    if others:
        raise click.ClickException(f"modelport did not write {' and '.join(others)}; add --force to overwrite")


def _remove(paths: list[Path]) -> int:
    """Raises OSError."""
    for path in paths:
        if _is_ours(path):
            path.unlink()
            say(f"removed {path}")
        elif os.path.lexists(path):
            say(f"{path} was not written by modelport and stays", err=True)
    return 0


def _is_ours(path: Path) -> bool:
    try:
        return MARK in path.read_text("utf-8", "replace").splitlines()[:5]
    except OSError:
        return False


def _write(path: Path) -> None:
    """As pip's: readable and executable for all whom the umask lets. Raises OSError."""
    path.unlink(missing_ok=True)  # a link is replaced, not what it points to, and old modes are not kept
    with replaced(path, mode=0o777) as file:
        file.write(SCRIPT.format(shebang=_shebang(), mark=MARK, module=path.name.replace("-", "_")).encode())


def _shebang() -> str:
    """This Python; by way of the shell where its path is too long for a first line, or has a blank in it."""
    python = sys.executable
    line = f"#!{python}"
    if len(os.fsencode(line)) <= SHEBANG_BYTES and not any(character.isspace() for character in python):
        return line
    # For Python the second and third lines are a string; for the shell the second replaces it by Python.
    return f"#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''"
