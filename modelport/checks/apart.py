"""The catalogue's modules checked for the dashboard: by `modelport check`, in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import OrderedDict

import msgspec

from modelport.catalogue import Module
from modelport.catalogue.processes import said_by
from modelport.checks.reports import Report
from modelport.errors import Cancelled, DeadlineExceeded, LoadFailed, ModelportError
from modelport.settings import Settings
from modelport.tasks import Tasks

# As `python -m modelport`, but that the process ends with the server, whatever that dies of.
PROGRAM = """
import sys
from modelport.contract import descent
descent.die_with_parent(parent=int(sys.argv.pop(1)))
from modelport.cli import main
sys.exit(main())
"""
# A report has some hundred findings at the most, and secrets in a folder may be many.
REPORT_LIMIT_BYTES = 4 << 20


class Checks:
    """One module at a time is checked, because each is loaded for it. The last report of each is kept in memory."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tasks = Tasks("checks")
        self._turn = asyncio.Lock()
        self._running: dict[str, asyncio.Task[Report]] = {}
        self._kept: OrderedDict[str, Report | ModelportError] = OrderedDict()

    def last(self, module: Module) -> Report | ModelportError | None:
        """The last report, or why there is none."""
        return self._kept.get(module.id)

    def is_running(self, module: Module) -> bool:
        return module.id in self._running

    async def check(self, module: Module) -> Report:
        """Goes on when the caller leaves; who asks meanwhile gets the same one. Raises DeadlineExceeded, LoadFailed,
        Cancelled."""
        if self._tasks.closed:
            raise Cancelled("the server is stopping")
        if module.id not in self._running:
            self._running[module.id] = self._tasks.spawn(self._check(module), cancel=True, awaited=True)
        return await asyncio.shield(self._running[module.id])

    async def stop(self) -> None:
        await self._tasks.end()

    async def _check(self, module: Module) -> Report:
        try:
            async with self._turn:
                report = await self._report(module)
            self._keep(module, report)
            return report
        except ModelportError as error:
            self._keep(module, error)
            raise
        finally:
            del self._running[module.id]

    def _keep(self, module: Module, said: Report | ModelportError) -> None:
        self._kept.pop(module.id, None)
        self._kept[module.id] = said
        if len(self._kept) > self._settings.kept_checks:
            self._kept.popitem(last=False)

    async def _report(self, module: Module) -> Report:
        limit_s = self._settings.check_timeout_s
        try:
            said = await said_by(self._command(module), limit_s, REPORT_LIMIT_BYTES)
        except TimeoutError:
            raise DeadlineExceeded(f"the check did not end within check_timeout_s, {limit_s:g} s") from None
        except OSError as error:
            raise LoadFailed(f"the check cannot be started: {error.strerror or error}") from error
        try:
            return msgspec.json.decode(said.out, type=Report)
        except msgspec.DecodeError:
            raise LoadFailed(_reason(said.complaint) or f"the check ended with status {said.status}") from None

    def _command(self, module: Module) -> list[str]:
        settings = self._settings
        options = {
            "--home": str(settings.home_path),
            "--python": module.python or settings.python,
            "--load-timeout-s": f"{settings.load_timeout_s:g}",
            "--predict-timeout-s": f"{settings.predict_timeout_s:g}",
        }
        flags = [part for name, value in options.items() if value for part in (name, value)]
        return [sys.executable, "-P", "-c", PROGRAM, str(os.getpid()), "check", "--json", *flags, "--", module.module]


def _reason(complaint: str) -> str:
    """What the command says at its end, of an error in JSON; the module may have printed before."""
    line = complaint.rpartition("\n")[2]
    try:
        return str(json.loads(line)["message"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return line
