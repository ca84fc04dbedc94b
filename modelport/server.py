"""The server: built from settings and modules, opened, and closed so that nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import signal
from collections.abc import Callable, Collection, Iterable, Iterator

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from modelport import extensions, payments
from modelport.bucketjobs import BucketJobs, open_store
from modelport.catalogue import Catalogue
from modelport.catalogue.sources import Sources
from modelport.checks.apart import Checks
from modelport.deployments.deployments import DeploymentRow, Deployments, Listener
from modelport.deployments.predictions import Predictions
from modelport.deployments.services import Services
from modelport.errors import BucketUnavailable, ModelportError
from modelport.http import access_log, paying
from modelport.http.body import SETTINGS, Request, receiving
from modelport.http.forwarded import Proxies
from modelport.http.gateway import Gateway
from modelport.http.job_documents import JobDocuments
from modelport.http.json_answers import error_answer
from modelport.http.mount import FrontendClass, claimed, mount
from modelport.http.protocol import Connections, local_url, options
from modelport.http.routing import Routes, Slashes, answer_heads
from modelport.identity.links import Links
from modelport.identity.owner import Owner
from modelport.identity.server_file import ServerFile
from modelport.identity.sessions import Sessions
from modelport.intake.scratch import RunFolder
from modelport.jobs import Jobs, webhooks
from modelport.jobs.deliveries import Deliveries
from modelport.jobs.trainings import Trainings
from modelport.jobs.webhooks import Webhooks
from modelport.observe.metrics import Metrics
from modelport.payments import Payments
from modelport.settings import BadSetting, Settings
from modelport.store import Store

logger = logging.getLogger(__name__)


# How long the sockets may take to say goodbye after the last answer.
CLOSE_S = 1.0


def check_exposure(settings: Settings) -> None:
    """Nobody listens to the world without a token. Raises BadSetting."""
    if settings.token or settings.is_local:
        return
    if settings.open:
        logger.warning("listening on %s without a token (setting open): anybody may call", settings.listen_ip)
        return
    raise BadSetting(
        f"listening on {settings.listen_ip} is open to others, so callers must send a token: set one with --token, "
        "MODELPORT_TOKEN or BEARER_TOKEN (for instance: export BEARER_TOKEN=$(openssl rand -hex 32)), "
        "or listen on 127.0.0.1. If a proxy in front of this server checks the callers, set MODELPORT_OPEN=yes instead"
    )


class Server:
    """One server. `start`, then `wait`, then `stop`; or `run`, which does all three and minds signals."""

    def __init__(
        self,
        settings: Settings,
        modules: Iterable[DeploymentRow],
        listener: Listener | None = None,
        *,
        lasting: bool = True,
        frontends: Collection[str] | None = None,
        access: tuple[logging.Logger, type[AbstractAccessLogger]] | None = None,
    ) -> None:
        """listener: gets what the models print. frontends: only these; None: all. Raises BadSetting.

        access: writes a line for each request; None: ours, with the setting debug.

        lasting: with the store of the home folder, which is one server's; else with none but for this run.
        """
        check_exposure(settings)
        self.settings = settings
        self._proxies = Proxies(settings)
        self._access = access or (
            access_log.logger if settings.debug else None,
            access_log.access_logger(self._proxies),
        )
        self._run_folder = RunFolder(settings.home_path)
        self.metrics = Metrics()
        self.deployments = Deployments(settings, self._run_folder.folder("deployments"), listener)
        for module in modules:
            self.deployments.add(module)
        self.predictions = Predictions(settings, self._run_folder, self.metrics)
        self.store: Store | None = None
        self.deliveries: Deliveries | None = None
        self.webhooks = Webhooks(settings)
        self.payments: Payments | None = None
        self.gateway: Gateway | None = None
        self.app: web.Application | None = None
        self._lasting = lasting
        self._chosen = frontends
        self._notice = ServerFile(settings.home_path)
        self.port = settings.listen_port
        self._runner: web.AppRunner | None = None
        self._loading: list[asyncio.Task[None]] = []
        self._connections = Connections(settings, error_answer)

    @property
    def url(self) -> str:
        host = f"[{self.settings.listen_ip}]" if ":" in self.settings.listen_ip else self.settings.listen_ip
        return f"http://{host}:{self.port}{self.settings.base_path}"

    # Start

    async def start(self, *, warm_first: bool = False) -> None:
        """Listen, and load the models meanwhile; with `warm_first`, listen when all are warm.

        Raises LoadFailed (only with warm_first; else `wait_loaded` does) and OSError if the port is taken.
        """
        self._loading = [
            asyncio.create_task(self._load(deployment.name))
            for deployment in self.deployments
            if deployment.row is None
        ]
        # In a thread, so that the models' processes start meanwhile.
        await asyncio.to_thread(self._frontends)
        self._reserve()
        self.gateway = await self._open()
        self._report_hidden()
        assert self.deliveries is not None
        self.deliveries.start()
        self.gateway.jobs.start()
        if self.gateway.bucket_jobs is not None:
            self.gateway.bucket_jobs.start()
        if warm_first:
            await self.wait_loaded()
        self.app = self._app(self.gateway)
        runner = web.AppRunner(
            self.app,
            handle_signals=False,
            access_log=self._access[0],
            access_log_class=self._access[1],
            handler_cancellation=True,
            shutdown_timeout=CLOSE_S,
            **options(self.settings),
        )
        self._runner = runner
        await runner.setup()
        assert runner.server is not None
        runner.server.request_factory = functools.partial(self.app._make_request, _cls=Request)
        handle = self.gateway.gate.wrap(Routes(self.app, runner.server.request_handler).handle)
        slashes = Slashes(self.app, handle, self._proxies, self.gateway.gate.unknown)
        runner.server.request_handler = receiving(handle, slashes.answer)
        self.port = await self._connections.listen(runner.server, self.settings.listen_ip, self.settings.listen_port)
        if self._lasting:
            await self._give_notice(self.gateway.owner.token)

    async def _give_notice(self, token: str) -> None:
        url = f"{local_url(self.settings.listen_ip, self.port)}{self.settings.base_path}"
        try:
            await asyncio.to_thread(self._notice.write, url, token)
        except OSError as error:
            logger.warning("commands on this machine will not find the server: %s", error)

    async def _open(self) -> Gateway:
        """The store and what is in it. Raises StoreInUse and other StoreFailed, Conflict."""
        folder = self.settings.home_path if self._lasting else self._run_folder.path
        self.store = await Store.open(folder / "store.sqlite", least_room_bytes=self.settings.least_room_bytes)
        owner = Owner(self.settings, self.store)
        await owner.restore()
        jobs = Jobs(self.settings, self.store, self.deployments, self.predictions, folder / "jobs")
        await jobs.restore()
        self.deliveries = Deliveries(self.store, jobs)
        await self.webhooks.open(self.store, JobDocuments(self.settings, self.deployments, jobs).report)
        self.deliveries.deliverers[webhooks.KIND] = self.webhooks.deliver
        self.deliveries.attempts_limit[webhooks.KIND] = self.settings.webhook_attempts
        services = Services(self.settings, self.store, self.deployments)
        services.on_undeployed.append(self._forget)
        await services.restore()
        sessions = Sessions(self.settings, self.store)
        await sessions.restore()
        links = Links(self.settings, self.store)
        await links.restore(self.deployments.by_name)
        services.on_undeployed.append(links.forget)
        sources = Sources(self.settings, self.store, folder / "modules")
        await sources.restore()
        described = self._run_folder.folder("catalogue")
        catalogue = Catalogue(self.settings, self.store, self.deployments, described, sources)
        bucket_jobs = await self._open_buckets(services, jobs)
        sells = payments.facilitator(self.settings) if self._lasting and self._chosen is None else None
        if sells is not None:
            self.payments = Payments(self.settings, self.store, jobs, self.deliveries, sells)
            await self.payments.restore()
            services.on_undeployed.append(self.payments.forget)
        return Gateway(
            settings=self.settings,
            deployments=self.deployments,
            predictions=self.predictions,
            trainings=Trainings(self.settings, jobs),
            metrics=self.metrics,
            services=services,
            owner=owner,
            sessions=sessions,
            links=links,
            catalogue=catalogue,
            checks=Checks(self.settings),
            jobs=jobs,
            webhooks=self.webhooks,
            store=self.store,
            proxies=self._proxies,
            bucket_jobs=bucket_jobs,
            payments=self.payments,
        )

    async def _open_buckets(self, services: Services, jobs: Jobs) -> BucketJobs | None:
        """None where there are none. Raises what the store raises."""
        has_buckets = self.settings.buckets and self.settings.predict_endpoint and self._lasting
        if not has_buckets or (self._chosen is not None and "s3" not in self._chosen):
            return None
        assert self.store is not None and self.deliveries is not None
        try:
            objects = await open_store(self.settings)
        except (BucketUnavailable, OSError) as error:
            logger.warning("buckets are not available: %s", error)
            return None
        bucket_jobs = BucketJobs(self.settings, self.store, self.deployments, services, jobs, self.deliveries, objects)
        await bucket_jobs.restore()
        return bucket_jobs

    async def _forget(self, name: str) -> None:
        """A service has been undeployed."""
        assert self.gateway is not None
        await self.gateway.jobs.forget(name)
        self.metrics.forget(name)

    def _app(self, gateway: Gateway) -> web.Application:
        app = web.Application(
            # Bodies are read, and limited, by http/body.py.
            client_max_size=0,
        )
        app[SETTINGS] = self.settings
        mount(app, gateway, self._frontends())
        answer_heads(app, gateway.get_only)
        if gateway.payments is not None:
            app.on_response_prepare.append(paying.add_headers)
            gateway.gate.exposed |= set(paying.EXPOSED)
        gateway.gate.watch(app)
        return app

    def _frontends(self) -> dict[str, FrontendClass]:
        """By name. Raises LoadFailed."""
        names = [
            name for name in extensions.registered(extensions.FRONTENDS) if self._chosen is None or name in self._chosen
        ]
        return {name: extensions.load(extensions.FRONTENDS, name) for name in names}

    def _reserve(self) -> None:
        """What front ends have claimed is no name for a service. Raises LoadFailed."""
        for segment, name in claimed(self._frontends()).items():
            if "{" not in segment:
                self.deployments.reserved.setdefault(segment, f"the front end {name}")

    def _report_hidden(self) -> None:
        """What was deployed before a front end came that has its path."""
        for deployment in self.deployments:
            if deployment.name in self.deployments.reserved:
                logger.warning(
                    "the service %s cannot be reached at /%s, because %s answers there; deploy it under another name",
                    deployment.name,
                    deployment.name,
                    self.deployments.reserved[deployment.name],
                )

    async def _load(self, name: str) -> None:
        deployment = self.deployments.get(name)
        await deployment.start()
        await deployment.wait_ready()

    async def wait_loaded(self) -> None:
        """Until every model is warm. Raises the first LoadFailed."""
        await asyncio.gather(*self._loading)

    # End

    async def stop(self, grace_s: float | None = None) -> None:
        """Admit nothing more, let what runs end within the grace, then end every process and remove every file."""
        await asyncio.to_thread(self._notice.remove)
        self._connections.stop()
        if self.gateway is not None:
            self.gateway.jobs.close()
        await self.predictions.drain(self.settings.grace_s if grace_s is None else grace_s)
        for task in self._loading:
            task.cancel()
        await asyncio.gather(*self._loading, return_exceptions=True)
        if self.gateway is not None:
            await self.gateway.services.stop()
            await self.gateway.links.stop()
            await self.gateway.checks.stop()
            await self.gateway.catalogue.stop()
            await self.gateway.jobs.stop()
        if self.deliveries is not None:
            await self.deliveries.stop()
        if self.gateway is not None and self.gateway.bucket_jobs is not None:
            await self.gateway.bucket_jobs.stop()
        if self.payments is not None:
            await self.payments.stop()
        await self.deployments.stop()
        if self._runner is not None:
            await self._runner.cleanup()
        await self._connections.close()
        if self.gateway is not None:
            self.gateway.guesses.close()
            await self.gateway.accounts.close()
        if self.gateway is not None and self.gateway.bucket_jobs is not None:
            await self.gateway.bucket_jobs.objects.close()
        if self.store is not None:
            await self.store.close()
        await asyncio.to_thread(self._run_folder.close)

    async def run(self, started: Callable[[Server], None], *, warm_first: bool = False) -> int:
        """Serve until SIGTERM, SIGINT or SIGHUP. A second signal ends at once. Returns the exit status.

        started: called when the server listens.
        """
        stop = asyncio.Event()
        with self._on_signals(stop):
            try:
                await self._until(stop, started, warm_first)
                failed = False
            except OSError as error:
                logger.error("cannot listen on %s:%d: %s", self.settings.listen_ip, self.settings.listen_port, error)
                failed = True
            except ModelportError as error:
                _report(error)
                failed = True
            except BaseException:
                await self.stop(0)
                raise
            await self.stop(0 if failed else None)
        return 1 if failed else 0

    async def _until(self, stop: asyncio.Event, started: Callable[[Server], None], warm_first: bool) -> None:
        """Start, and wait for the end. Raises LoadFailed for a model that cannot be loaded at the start."""
        stopping = asyncio.create_task(stop.wait())
        starting = asyncio.create_task(self._start_and_load(started, warm_first))
        try:
            await asyncio.wait({stopping, starting}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await stopping
        finally:
            for task in (stopping, starting):
                task.cancel()
            await asyncio.gather(stopping, starting, return_exceptions=True)

    async def _start_and_load(self, started: Callable[[Server], None], warm_first: bool) -> None:
        await self.start(warm_first=warm_first)
        started(self)
        await self.wait_loaded()
        with contextlib.suppress(OSError):
            await asyncio.to_thread(self._run_folder.reserve, self.settings.least_room_bytes)

    @contextlib.contextmanager
    def _on_signals(self, stop: asyncio.Event) -> Iterator[None]:
        loop = asyncio.get_running_loop()

        def end(number: signal.Signals) -> None:
            # Of a terminal that is closed, SIGHUP comes from the shell and from the kernel.
            if stop.is_set() and number != signal.SIGHUP:
                # The templates see that we are gone and end their workers.
                logger.warning("a second signal: ending at once")
                os._exit(1)
            stop.set()

        numbers = [signal.SIGTERM, signal.SIGINT]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as under nohup
            numbers.append(signal.SIGHUP)
        for number in numbers:
            loop.add_signal_handler(number, end, number)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)


def _report(error: ModelportError) -> None:
    logger.error("%s", error.message)
    if error.detail:
        logger.error("%s", error.detail.rstrip())
