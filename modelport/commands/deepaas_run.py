"""`modelport deepaas-run`: the server, called and talking as DEEPaaS' own command.

Also what the script `deepaas-run` runs that `modelport shims` writes. Banner, log lines and access lines go to stdout,
as platforms expect; what cannot be started is told on stderr.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import tempfile
from pathlib import Path
from time import strftime
from typing import TYPE_CHECKING

from modelport import __version__, settings
from modelport.commands.deepaas import deepaas_logs, deepaas_options
from modelport.commands.deepaas.deepaas_options import DEEPAAS_VERSION, Options, end
from modelport.commands.shell import names
from modelport.commands.shell.verbatim import command_of
from modelport.contract import naming
from modelport.settings import BadSetting, Settings

if TYPE_CHECKING:
    from aiohttp import web
    from aiohttp.abc import AbstractAccessLogger

    from modelport.deployments.deployments import DeploymentRow
    from modelport.server import Server

PROG = "deepaas-run"
ABOUT = "Serve a model as DEEPaaS' own deepaas-run does: its options, files, log lines."

# As long as the original waits for running requests when it is told to stop.
GRACE_S = 60.0
ACCESS_TIME = "%d/%b/%Y:%H:%M:%S %z"

BANNER = """
Welcome to modelport, which speaks the DEEPaaS V2 API. You can directly browse to
the API documentation endpoint to check the API using the builtin Swagger UI
or you can use any of our endpoints.

    API documentation: {url}/api
    API specification: {url}/swagger.json
          V2 endpoint: {url}/v2

-------------------------------------------------------------------------
"""

logger = logging.getLogger("deepaas")


__getattr__ = command_of(PROG, ABOUT, lambda words: main(words))


def main(argv: list[str]) -> int:
    """Serve until SIGTERM, SIGINT or SIGHUP; returns the exit status."""
    options = deepaas_options.read(PROG, deepaas_options.RUN, argv, os.environ)
    deepaas_logs.set_up(options, PROG)
    with contextlib.ExitStack() as stack:
        try:
            return _serve(_settings(options, stack), _modules(options))
        except BadSetting as error:
            end(PROG, error.message)


def _settings(options: Options, stack: contextlib.ExitStack) -> Settings:
    """Raises BadSetting. Settings that deepaas does not know come from MODELPORT_… in the environment."""
    rows = {row.name for row in settings.table()}
    flags = {key: options[key] for key in options.named & rows}
    if "MODELPORT_GRACE_S" not in os.environ:
        flags["grace_s"] = GRACE_S
    if "MODELPORT_HOME" not in os.environ and not _is_usable(Settings().home_path):
        # As in containers that run under any user's number. What is kept there lasts only as long as we do.
        flags["home"] = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="modelport-", ignore_cleanup_errors=True)
        )
        logger.info("%s cannot be written to; using %s", Settings().home, flags["home"])
    table = settings.read(flags=flags)
    if "MODELPORT_HOSTS" not in os.environ and not table.is_local:
        # Platforms put it behind proxies, by names that nobody tells it.
        table = dataclasses.replace(table, hosts="*")
    return table


def _is_usable(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def _modules(options: Options) -> list[DeploymentRow]:
    """The model asked for, else every one that is installed."""
    from modelport.deployments.deployments import DeploymentRow

    if options["model_name"]:
        name, module = names.split(options["model_name"])
        return [DeploymentRow(name, module)]
    installed = list(dict.fromkeys(entry.name for entry in naming.installed()))
    if not installed:
        end(PROG, f"there is no model to serve: no module is installed (entry points in the group {naming.GROUP})")
    if len(installed) > 1:
        logger.warning("Serving several models (%s); choose one with --model-name", ", ".join(installed))
    return [DeploymentRow(name, name) for name in installed]


def _serve(table: Settings, modules: list[DeploymentRow]) -> int:
    import uvloop

    from modelport.server import Server

    if table.listen_port:
        _welcome(_url(table, table.listen_port))
    logger.info("Starting modelport %s in place of DEEPaaS %s", __version__, DEEPAAS_VERSION)
    try:
        # Several run side by side with one home folder, as the original's can: none of them has its store.
        server = Server(
            table,
            modules,
            lambda name, pid, chunk: deepaas_logs.pass_on(chunk),
            lasting=False,
            frontends=("deepaas", "health"),
            access=(logging.getLogger("aiohttp.access"), _access_lines()),
        )
    except OSError as error:
        end(PROG, f"the state folder {table.home} cannot be used ({error.strerror}); name another in MODELPORT_HOME")
    return int(uvloop.run(server.run(_started, warm_first=True)))


def _started(server: Server) -> None:
    if not server.settings.listen_port:
        _welcome(server.url)
    loaded = [deployment.name for deployment in server.deployments]
    logging.getLogger("deepaas.api").info("Serving loaded V2 models: %s", loaded)
    print(f"======== Running on {_url(server.settings, server.port, '')} ========")
    print("(Press CTRL+C to quit)", flush=True)


def _url(table: Settings, port: int, base: str | None = None) -> str:
    host = f"[{table.listen_ip}]" if ":" in table.listen_ip else table.listen_ip
    return f"http://{host}:{port}{table.base_path if base is None else base}"


def _welcome(url: str) -> None:
    print(BANNER.format(url=url), flush=True)


def _access_lines() -> type[AbstractAccessLogger]:
    """A line for each request, as aiohttp writes it, but for queries."""
    from aiohttp.abc import AbstractAccessLogger

    from modelport.http.access_log import request_line

    class AccessLines(AbstractAccessLogger):
        def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
            agent = request.headers.get("User-Agent", "-")
            referer = request.headers.get("Referer", "-").partition("?")[0]
            facts = request_line(request), response.status, response.body_length, referer, agent
            self.logger.info('%s [%s] "%s" %d %d "%s" "%s"', request.remote, strftime(ACCESS_TIME), *facts)

    return AccessLines
