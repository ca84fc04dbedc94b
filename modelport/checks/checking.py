"""A module is found, run and checked."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

from modelport.checks import module as modules
from modelport.checks import trial
from modelport.checks.module import Module
from modelport.checks.reports import Report
from modelport.checks.rule import ERROR, HINT, LEVELS, WARNING, FindingDocument
from modelport.checks.rules import RULES
from modelport.deployments.deployments import DeploymentRow, Listener
from modelport.settings import Settings


async def check(name: str, settings: Settings, *, run: bool, output: Listener) -> Report:
    """Raises NotFound, NoSuchPlugin. output: gets what the module prints."""
    checked, started = datetime.now(UTC), time.monotonic()
    module = await modules.find(name, settings)
    if run:
        row = DeploymentRow(module.name, module.spec, settings.python or None)
        module = replace(module, trial=await trial.run(row, settings, module.folder, output))
    findings = await asyncio.to_thread(_findings, module, run)
    counts = Counter(finding.level for finding in findings)
    return Report(
        module=module.name,
        folder=None if module.folder is None else str(module.folder),
        errors=counts[ERROR],
        warnings=counts[WARNING],
        hints=counts[HINT],
        ran=run,
        checked=checked.strftime("%Y-%m-%dT%H:%M:%SZ"),
        duration_s=round(time.monotonic() - started, 3),
        cold_start_s=round(module.trial.cold_start_s, 3),
        memory_bytes=module.trial.memory_bytes,
        predictions=len(module.trial.outcomes),
        findings=findings,
    )


def _findings(module: Module, ran: bool) -> list[FindingDocument]:
    findings = [finding for rule in RULES if ran or not rule.runs for finding in rule.findings(module)]
    return sorted(findings, key=lambda finding: LEVELS.index(finding.level))
