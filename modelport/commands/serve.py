"""`modelport serve`: the server."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from modelport import settings as table
from modelport.commands.shell import flags, names, pricing
from modelport.contract import naming
from modelport.settings import Settings

if TYPE_CHECKING:
    from modelport.deployments.deployments import DeploymentRow

MODEL_VARIABLE = "DEEPAAS_V2_MODEL"


@flags.options()
@click.command()
@click.argument("modules", metavar="[[NAME=]MODULE]...", nargs=-1, shell_complete=names.complete_module)
@click.option(
    "--model-name",
    metavar="MODULE",
    envvar=MODEL_VARIABLE,
    show_envvar=True,
    help="The module to serve if none is given.",
    shell_complete=names.complete_module,
)
@pricing.options
@click.option("--empty", is_flag=True, help="Serve only services that are deployed here, now or later.")
@click.option("--reload", is_flag=True, help="For development: start again when the module's source changes.")
def command(
    modules: tuple[str, ...], model_name: str | None, empty: bool, reload: bool, config_file: str | None, **options: Any
) -> int:
    """Serve one or more modules over HTTP.

    MODULE is the name of an installed module, package.module[:attribute], a folder or a Python file; NAME is its
    name in URLs. Without a MODULE, serve --model-name, or else every installed module. Deployed services come back by
    themselves.

    Every option can also be set in a file, and as an environment variable: --listen-port is MODELPORT_LISTEN_PORT.
    """
    price = pricing.of(options)
    settings = table.read(config_file, flags=options)
    if empty and modules:
        raise click.UsageError("--empty and modules cannot be combined; give one of them")
    targets = [] if empty else _targets(modules, model_name, settings)
    _check_names(targets)
    if reload:
        from modelport.commands.serving.reload import keep_serving

        return keep_serving(settings, [module for _, module in targets], sys.argv[1:])
    return _serve(settings, targets, price)


def _targets(modules: tuple[str, ...], model_name: str | None, settings: Settings) -> list[tuple[str, str]]:
    """(name, module) of each deployment; none where services have been deployed, and no module is installed."""
    names_of_modules = modules or ((model_name,) if model_name else ())
    if not names_of_modules:
        names_of_modules = tuple(dict.fromkeys(entry.name for entry in naming.installed()))
    from modelport.store.deployments import holds_deployments

    if not names_of_modules and not holds_deployments(settings.home_path / "store.sqlite"):
        raise click.UsageError(
            f"there is nothing to serve: no module is installed here (entry points in the group {naming.GROUP}). "
            "Name a module: modelport serve path/to/model.py; or deploy one later: modelport serve --empty"
        )
    return [names.split(name) for name in names_of_modules]


def _check_names(targets: list[tuple[str, str]]) -> None:
    seen: dict[str, str] = {}
    for name, module in targets:
        if name in seen:
            raise click.UsageError(
                f"{seen[name]} and {module} would both get the name {name}: name one of them, such as {name}-2={module}"
            )
        seen[name] = module


def _serve(settings: Settings, targets: list[tuple[str, str]], price: dict[str, Any] | None) -> int:
    import uvloop

    from modelport.commands.shell import logs

    logs.set_up(debug=settings.debug)
    from modelport.store.deployments import DeploymentRow, Price

    asked = None if price is None else Price(**price)
    specs = [DeploymentRow(name=name, module=module, price=asked) for name, module in targets]
    return int(uvloop.run(_run(settings, specs)))


async def _run(settings: Settings, specs: list[DeploymentRow]) -> int:
    from modelport.commands.serving.announce import Announcer
    from modelport.commands.shell.output import Prefixed
    from modelport.server import Server

    listener = Prefixed(settings.log_rate_bytes_s)
    server = Server(settings, specs, listener)
    announcer = Announcer(server)
    try:
        return await server.run(announcer.listening)
    finally:
        await announcer.stop()
        listener.flush()
