"""`modelport export`: files with which another platform serves a model."""

from __future__ import annotations

import importlib
import pkgutil
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modelport.commands.calling import completion
from modelport.commands.calling import server as servers
from modelport.commands.shell.output import say, say_json
from modelport.contract import naming

if TYPE_CHECKING:
    from modelport.commands.exporting.workload import Export, Workload

# Looked for without importing their package, for which `modelport --help` need not wait.
FOLDER = Path(__file__).with_name("exporting") / "targets"
TARGETS = [info.name for info in pkgutil.iter_modules([str(FOLDER)])]
SECRET_MODE = 0o600


def loaded(target: str) -> Any:
    """A target's module."""
    return importlib.import_module(f"modelport.commands.exporting.targets.{target}")


def target_options() -> dict[str, click.Option]:
    """Of all targets, by the name of their values. Some targets share one."""
    return {option.name: option for target in TARGETS for option in loaded(target).OPTIONS}


class ExportCommand(click.Command):
    """With the options of all targets, and a line about each."""

    def get_params(self, context: click.Context) -> list[click.Parameter]:
        own = super().get_params(context)
        return [*own[:-1], *target_options().values(), own[-1]]  # --help stays the last

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Targets"):
            formatter.write_dl([(target, loaded(target).ABOUT) for target in TARGETS])


@servers.options
@click.command(cls=ExportCommand)
@click.argument("name", metavar="NAME", shell_complete=completion.complete_served)
@click.option("--to", "target", required=True, type=click.Choice(TARGETS), help="The platform.")
@click.option("--image", metavar="NAME:TAG", help="The container image.  [default: MODULE:VERSION]")
@click.option("-o", "--output", metavar="DIR", type=click.Path(path_type=Path), help="Write the files there.")
@click.option("--force", is_flag=True, help="Replace files that exist; never a filled-in secrets.env.")
def command(name: str, target: str, output: Path | None, force: bool, as_json: bool, **flags: Any) -> int:
    """Write the files with which another platform serves a model.

    NAME is a deployment of the running server, an installed module, a folder or a Python file. Without -o, the files go
    to stdout. Nothing is contacted but the running server. No file contains
    a secret: secrets.env names those that you fill in.
    """
    from modelport.commands.shell import event_loop

    every = target_options()
    options = {key: value for key in every if (value := flags.pop(key)) not in (None, False)}
    for key in options:
        takers = [other for other in TARGETS if every[key] in loaded(other).OPTIONS]
        if target not in takers:
            raise click.UsageError(f"{every[key].opts[0]} is for {', '.join(takers)}; --to is {target}")
    typed = _typed(name, {"to": target, "image": flags["image"], **options})

    async def work() -> int:
        workload = await _workload(name, typed, **flags)
        export = loaded(target).export(workload, **options)
        kept = [] if output is None else _write(export, output, force=force)
        _tell(export, output, kept, as_json=as_json)
        return 0

    return event_loop.run(work, debug=flags["debug"])


def _typed(name: str, options: dict[str, Any]) -> str:
    """What makes these files again. Where they went, and the server's token, are nobody's business."""
    flags = [
        f"--{key.replace('_', '-')}" + ("" if value is True else f" {shlex.quote(str(value))}")
        for key, value in options.items()
        if value is not None
    ]
    return " ".join(["modelport export", shlex.quote(name), *flags])


async def _workload(name: str, typed: str, *, image: str | None, **where: Any) -> Workload:
    """A deployment of the server, or else what is installed or lies here. Raises NotFound, and what the server says."""
    from modelport.client import AsyncClient
    from modelport.client.where import Unreachable, Where
    from modelport.commands.exporting import source
    from modelport.errors import NotFound

    workload = None
    if not naming.is_path(name):
        try:
            async with AsyncClient(Where.find(where)) as server:
                workload = await source.of_deployment(server, name, typed)
        except (Unreachable, NotFound):
            if where["url"]:
                raise
    workload = workload or await source.of_module(name, typed)
    return workload if image is None else replace(workload, image=image, hub_image="")


def _write(export: Export, folder: Path, *, force: bool) -> list[str]:
    """Names of files that stay as they were: secrets are filled in by hand. Writes all or none. Raises UsageError."""
    from modelport.commands.exporting.workload import SECRETS_FILE
    from modelport.commands.shell.files import replaced

    there = [file for file in export.files if (folder / file).exists()]
    kept = [file for file in there if file == SECRETS_FILE]
    if len(there) > len(kept) and not force:
        names = ", ".join(file for file in there if file not in kept)
        raise click.UsageError(f"{names} in {folder} would be replaced: add --force, or give another folder")
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in export.files.items():
        if file not in kept:
            with replaced(folder / file, mode=SECRET_MODE if file == SECRETS_FILE else 0o666) as opened:
                opened.write(text.encode())
    return kept


def _tell(export: Export, folder: Path | None, kept: list[str], *, as_json: bool) -> None:
    if as_json:
        say_json({"files": dict(export.files), "steps": list(export.steps)})
    elif folder is not None:
        for file in export.files:
            say(f"{folder / file}{' (kept as it was)' if file in kept else ''}")
        say("\n".join(["", f"Next, in {folder}:", *(f"  {step}" for step in export.steps)]), err=True)
    else:
        several = len(export.files) > 1
        for number, (file, text) in enumerate(export.files.items()):
            say(("\n" if number else "") + f"==> {file} <==" if several else "", nl=several)
            say(text, nl=False)
