"""Findings as text: a table for people, JSON, annotations of GitHub Actions, and JUnit's XML."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated
from xml.etree import ElementTree

import msgspec
from msgspec import Meta, Struct

from modelport.checks.checking import Result
from modelport.checks.module import shown
from modelport.checks.rule import ERROR, HINT, LEVELS, WARNING, Finding
from modelport.checks.rules import RULES
from modelport.checks.rules.running import MIB
from modelport.describe.documents import one_of


class FindingDocument(Struct):
    """What is wrong, where, and what to do"""

    rule: Annotated[str, Meta(description="By which it was found: see `modelport check --rules`")]
    level: Annotated[str, one_of(*LEVELS)]
    file: str | None
    line: Annotated[int | None, Meta(description="From 1")]
    message: str


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


GITHUB = {"error": "error", "warning": "warning", "hint": "notice"}


def place(finding: Finding) -> str:
    problem = finding.problem
    path = shown(problem.file) if problem.file is not None else ""
    return f"{path}:{problem.line}" if problem.line else path


def summary(result: Result) -> str:
    counts = [(result.count(level), level) for level in LEVELS]
    parts = ", ".join(f"{number} {level}{'' if number == 1 else 's'}" for number, level in counts)
    trial = result.module.trial
    if trial.card is None or trial.failure is not None:
        return f"{result.module.name}: {parts}"
    tried = len(trial.outcomes)
    return (
        f"{result.module.name}: {parts}; ready after {trial.cold_start_s:.1f} s, "
        f"{tried} prediction{'' if tried == 1 else 's'}, {trial.memory_bytes / MIB:.0f} MB"
    )


def rows(result: Result) -> list[tuple[str, str, str, str]]:
    return [
        (finding.rule.level, finding.rule.id, place(finding), finding.problem.message) for finding in result.findings
    ]


def report(result: Result) -> Report:
    trial = result.module.trial
    return Report(
        module=result.module.name,
        folder=None if result.module.folder is None else str(result.module.folder),
        errors=result.count(ERROR),
        warnings=result.count(WARNING),
        hints=result.count(HINT),
        ran=result.ran,
        checked=result.checked.strftime("%Y-%m-%dT%H:%M:%SZ"),
        duration_s=round(result.duration_s, 3),
        cold_start_s=round(trial.cold_start_s, 3),
        memory_bytes=trial.memory_bytes,
        predictions=len(trial.outcomes),
        findings=[_document(finding) for finding in result.findings],
    )


def _document(finding: Finding) -> FindingDocument:
    problem = finding.problem
    file = None if problem.file is None else shown(problem.file)
    return FindingDocument(finding.rule.id, finding.rule.level, file, problem.line or None, problem.message)


def as_json(result: Result) -> str:
    return json.dumps(msgspec.to_builtins(report(result)), ensure_ascii=False)


def as_github(result: Result) -> Iterator[str]:
    for finding in result.findings:
        where = [f"file={_property(shown(finding.problem.file))}"] if finding.problem.file is not None else []
        where += [f"line={finding.problem.line}"] if finding.problem.line else []
        where += [f"title={_property(finding.rule.id)}"]
        yield f"::{GITHUB[finding.rule.level]} {','.join(where)}::{_escaped(finding.problem.message)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")


def as_junit(result: Result, *, strict: bool) -> str:
    """A case for each rule: it fails for what makes the command fail, and is skipped where nothing was run."""
    levels = (ERROR, WARNING) if strict else (ERROR,)
    suite = ElementTree.Element("testsuite", name="modelport check", tests=str(len(RULES)))
    failures = skipped = 0
    for rule in RULES:
        case = ElementTree.SubElement(suite, "testcase", classname=result.module.name, name=f"{rule.id}: {rule.text}")
        lines = [
            f"{place(finding)} {finding.problem.message}".strip() for finding in result.findings if finding.rule is rule
        ]
        if rule.runs and not result.ran:
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
