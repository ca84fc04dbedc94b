"""A module is found, run and checked."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from modelport.checks import module as modules
from modelport.checks import trial
from modelport.checks.module import Module
from modelport.checks.rule import ERROR, LEVELS, WARNING, Finding
from modelport.checks.rules import RULES
from modelport.deployments.deployments import DeploymentRow, Listener
from modelport.settings import Settings


@dataclass(frozen=True)
class Result:
    """ran: the module was run, so the rules about that count. checked: when it began. duration_s: of all of it."""

    module: Module
    findings: tuple[Finding, ...]
    ran: bool
    checked: datetime
    duration_s: float

    def count(self, level: str) -> int:
        return sum(finding.rule.level == level for finding in self.findings)

    def failed(self, *, strict: bool) -> bool:
        """strict: warnings count, too."""
        return any(self.count(level) for level in ((ERROR, WARNING) if strict else (ERROR,)))


async def check(name: str, settings: Settings, *, run: bool, output: Listener) -> Result:
    """Raises NotFound, NoSuchPlugin. output: gets what the module prints."""
    checked, started = datetime.now(UTC), time.monotonic()
    module = await modules.find(name, settings)
    if run:
        row = DeploymentRow(module.name, module.spec, settings.python or None)
        module = replace(module, trial=await trial.run(row, settings, module.folder, output))
    findings = tuple(await asyncio.to_thread(_findings, module, run))
    return Result(module, findings, run, checked, time.monotonic() - started)


def _findings(module: Module, ran: bool) -> list[Finding]:
    findings = [Finding(rule, problem) for rule in RULES if ran or not rule.runs for problem in rule.problems(module)]
    return sorted(findings, key=lambda finding: LEVELS.index(finding.rule.level))
