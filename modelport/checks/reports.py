"""What a check reports: a table for people, JSON, annotations of GitHub Actions, and JUnit's XML."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated
from xml.etree import ElementTree

import msgspec
from msgspec import Meta, Struct

from modelport.checks.rule import ERROR, HINT, LEVELS, WARNING, FindingDocument
from modelport.checks.rules import RULES
from modelport.checks.rules.running import MIB


class Report(Struct, kw_only=True):
    """What `modelport check --json` says of a module"""

    module: str
    folder: str | None
    errors: int
    warnings: int
    hints: int
    ran: Annotated[bool, Meta(description="Whether the module was run")]
    checked: Annotated[str, Meta(description="When the check began")]
    duration_s: float
    cold_start_s: Annotated[float, Meta(description="Until the module was ready")]
    memory_bytes: Annotated[int, Meta(description="After its predictions")]
    predictions: int
    findings: list[FindingDocument]

    def failed(self, *, strict: bool) -> bool:
        """strict: warnings count, too."""
        return bool(self.errors or (strict and self.warnings))


GITHUB = {ERROR: "error", WARNING: "warning", HINT: "notice"}


def place(finding: FindingDocument) -> str:
    return f"{finding.file or ''}:{finding.line}" if finding.line else finding.file or ""


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def summary(report: Report) -> str:
    counts = zip((report.errors, report.warnings, report.hints), LEVELS, strict=True)
    text = f"{report.module}: {', '.join(_counted(number, level) for number, level in counts)}"
    if not report.memory_bytes:  # measured last, of a module that could be run
        return text
    tried, used = _counted(report.predictions, "prediction"), report.memory_bytes / MIB
    return f"{text}; ready after {report.cold_start_s:.1f} s, {tried}, {used:.0f} MB"


def rows(report: Report) -> list[tuple[str, str, str, str]]:
    return [(finding.level, finding.rule, place(finding), finding.message) for finding in report.findings]


def as_json(report: Report) -> str:
    return json.dumps(msgspec.to_builtins(report), ensure_ascii=False)


def as_github(report: Report) -> Iterator[str]:
    for finding in report.findings:
        facts = {"file": finding.file, "line": finding.line, "title": finding.rule}
        where = ",".join(f"{name}={_property(str(fact))}" for name, fact in facts.items() if fact is not None)
        yield f"::{GITHUB[finding.level]} {where}::{_escaped(finding.message)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")


def as_junit(report: Report, *, strict: bool) -> str:
    """A case for each rule: it fails for what makes the command fail, and is skipped where nothing was run."""
    levels = (ERROR, WARNING) if strict else (ERROR,)
    suite = ElementTree.Element("testsuite", name="modelport check", tests=str(len(RULES)))
    failures = skipped = 0
    for rule in RULES:
        case = ElementTree.SubElement(suite, "testcase", classname=report.module, name=f"{rule.id}: {rule.text}")
        lines = [
            f"{place(finding)} {finding.message}".strip() for finding in report.findings if finding.rule == rule.id
        ]
        if rule.runs and not report.ran:
            skipped += 1
            ElementTree.SubElement(case, "skipped")
        elif lines and rule.level in levels:
            failures += 1
            ElementTree.SubElement(case, "failure", message=lines[0]).text = "\n".join(lines)
        elif lines:
            ElementTree.SubElement(case, "system-out").text = "\n".join(f"{rule.level}: {line}" for line in lines)
    suite.set("failures", str(failures))
    suite.set("skipped", str(skipped))
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True)
