"""`modelport check`: what is wrong with a module, before it is published."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from modelport.commands.shell import names
from modelport.commands.shell.flags import options
from modelport.commands.shell.output import say

if TYPE_CHECKING:
    from modelport.checks.reports import Report

SETTINGS = ("home", "python", "load_timeout_s", "predict_timeout_s", "debug")


@options(SETTINGS)
@click.command()
@click.argument("module", metavar="[MODULE]", default=".", shell_complete=names.complete_module)
@click.option("--no-run", is_flag=True, help="Look at the files only; do not import the module.")
@click.option("--strict", is_flag=True, help="Fail for warnings as well.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--format", "form", type=click.Choice(("table", "json", "github", "junit")), default="table", help="How to print."
)
@click.option("--rules", "list_rules", is_flag=True, help="List the rules and exit.")
def command(
    module: str,
    no_run: bool,
    strict: bool,
    as_json: bool,
    form: str,
    list_rules: bool,
    config_file: str | None,
    **flags: str | bool | None,
) -> int:
    """Check a module before you publish it.

    MODULE is the name of an installed module, a folder or a Python file; by default the folder that you are in. The
    command reads its files, loads it in a process of its own, and makes a prediction with each of its examples. It
    changes nothing. The exit status is 1 if there are errors.
    """
    from modelport import settings
    from modelport.checks import checking
    from modelport.checks.rules import RULES
    from modelport.commands.shell import event_loop, failures, tables
    from modelport.commands.shell.output import WithoutTracebacks

    if list_rules:
        tables.table([("RULE", "LEVEL", "WHAT MUST HOLD"), *((rule.id, rule.level, rule.text) for rule in RULES)])
        return failures.DONE
    read = settings.read(config_file, flags=flags)

    async def check() -> int:
        with WithoutTracebacks(show_all=read.debug) as output:
            report = await checking.check(module, read, run=not no_run, output=output)
        _print(report, "json" if as_json else form, strict=strict)
        return failures.FAILED if report.failed(strict=strict) else failures.DONE

    return event_loop.run(check, debug=read.debug)


def _print(report: Report, form: str, *, strict: bool) -> None:
    from modelport.checks import reports
    from modelport.commands.shell import tables
    from modelport.contract.visible import visible_json

    if form == "json":
        say(visible_json(reports.as_json(report)))
    elif form == "junit":
        say(reports.as_junit(report, strict=strict))
    elif form == "github":
        for line in reports.as_github(report):
            say(line)
        say(reports.summary(report), err=True)
    else:
        if report.findings:
            tables.table([("LEVEL", "RULE", "WHERE", "WHAT"), *reports.rows(report)])
        say(reports.summary(report))
