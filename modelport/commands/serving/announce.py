"""What `modelport serve` prints: where it listens, which models are ready, and a line to try each."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from modelport.commands.shell.output import close_stdout, say
from modelport.describe.examples import samples_of
from modelport.describe.snippets import curl_line, predict_url
from modelport.errors import ModelportError
from modelport.tasks import Tasks

if TYPE_CHECKING:
    from modelport.deployments.deployments import Deployment
    from modelport.server import Server


class Announcer:
    """Prints to stdout while the server starts. Lines that programs read stand alone: `Listening on <url>`."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._started = time.monotonic()
        self._tasks = Tasks("announcing")

    def listening(self, server: Server) -> None:
        """The server's `started`."""
        url, settings = server.url, server.settings
        _say(f"Listening on {url}", bold=url)
        pages = [("API", "/api"), ("OpenAPI", "/docs")] if settings.doc_endpoint else []
        pages += [("health", "/health"), ("metrics", "/metrics")]
        for name, path in pages:
            _say(f"  {name:<8} {url}{path}")
        bucket_jobs = server.gateway.bucket_jobs if server.gateway is not None else None
        if bucket_jobs is not None:
            _say(f"  {'buckets':<8} {bucket_jobs.bucket_keys.endpoint}")
        named = [deployment for deployment in server.deployments if deployment.row is None]
        if settings.dashboard and server.gateway is not None:
            link = {"code": server.gateway.sessions.new_code(), **_way_to(named)}
            _say(f"  {'open':<8} {url}/ui/login?{urlencode(link, safe='/')}")
        for deployment in named:
            if settings.predict_endpoint:
                _say(f"  {'predict':<8} {predict_url(url, deployment.name)}")
        if services := len(server.deployments) - len(named):
            _say(f"  {'services':<8} {services}, loaded when they are called")
        for deployment in named:
            _say(f"{deployment.name}: loading {deployment.spec.module}")
            self._tasks.spawn(self._ready(deployment), cancel=True)

    async def _ready(self, deployment: Deployment) -> None:
        try:
            card = await deployment.wait_card()
            await deployment.wait_ready()
        except ModelportError:
            return  # the server says why
        settings = self._server.settings
        seconds = time.monotonic() - self._started
        name = deployment.name
        workers = "1 worker" if deployment.workers == 1 else f"{deployment.workers} workers"
        _say(f"{name}: ready after {seconds:.1f} s, {workers}", bold=name)
        if settings.predict_endpoint and "predict" in card.capabilities:
            url = predict_url(self._server.url, deployment.name)
            _say(curl_line(card, url, token=bool(settings.token), samples=samples_of(deployment.spec.module)))

    async def stop(self) -> None:
        await self._tasks.end()


def _way_to(named: list[Deployment]) -> dict[str, str]:
    """Of one model that was asked for, its form; of several, the list in which they stand first."""
    return {"next": f"inference/{quote(named[0].name, safe='')}/invoke?example"} if len(named) == 1 else {}


def _say(line: str, bold: str = "") -> None:
    try:
        say(line, bold=bold)
    except OSError:
        close_stdout()  # the server goes on
