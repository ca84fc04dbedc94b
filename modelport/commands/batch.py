"""`modelport batch`: one prediction for each of many files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from modelport.commands.calling import completion, model_command
from modelport.commands.calling import server as servers
from modelport.commands.shell.flags import duration
from modelport.commands.shell.output import say


@servers.options
@click.command(cls=model_command.ModelCommand)
@click.argument("name", metavar="NAME [FILE]...", shell_complete=completion.complete_served)
@click.option("-o", "--output", metavar="FOLDER", help="Where the results go.  [default: NAME-results]")
@click.option("--argument", metavar="NAME", help="The argument that each FILE becomes, even a .json file.")
@click.option(
    "--concurrency", metavar="N", type=click.IntRange(1, 1000), default=8, help="Jobs at a time.  [default: 8]"
)
@click.option("--from", "lists", metavar="LIST", multiple=True, help="Read file names from this file; - is stdin.")
@click.option("--again", is_flag=True, help="Run everything again, including files that have a result.")
@click.option(
    "--give-up",
    "give_up_s",
    metavar="TIME",
    type=duration,
    default="10m",
    help="Stop when the server has been away for this long.  [default: 10m]",
)
@click.pass_context
def command(context: click.Context, /, name: str, **options: Any) -> int:
    """Make a prediction for each FILE, as jobs of a running server.

    FILE is a file, a folder (with everything in it), a quoted pattern, or - for names on stdin. Each file becomes the
    model's only file argument, or its first required one. A .json file with an object contains the arguments of a call.
    The results are <FILE>.json (or the extension of the answer's type) and <FILE>.log, with the output, in FOLDER.

    After Ctrl-C or a crash, the same command continues where it stopped: it skips files that have a result, and tries
    again those that failed.

    \b
    modelport batch digits photos --output results --confidence 0.3
    """
    if context.meta[model_command.HELP]:
        say(context.get_help())
        return 0

    return servers.run(options, lambda server: _batch(server, name, context.meta[model_command.REST], options))


async def _batch(server: servers.AsyncClient, name: str, tokens: list[str], options: dict[str, Any]) -> int:
    from modelport.commands.batching import batch_inputs, batch_requests
    from modelport.commands.batching.batch_report import BatchReport
    from modelport.commands.batching.batch_results import Results
    from modelport.commands.batching.batch_run import BatchRun
    from modelport.commands.model import call_arguments
    from modelport.commands.shell import failures

    card = await server.card(name)
    files: list[str] = []
    arguments = call_arguments.parse(tokens, card.predict_args, files)
    plan = batch_requests.Plan.make(card, options["argument"], arguments)
    folder = options["output"] or f"{name}-results"
    inputs = batch_inputs.expand(files, options["lists"], folder)
    with Results(Path(folder), again=options["again"]) as results, BatchReport(name, len(inputs), folder) as report:
        server.give_up_s, server.waiting = options["give_up_s"], report.waiting
        await BatchRun(server, plan, results, report).run(inputs, options["concurrency"])
    report.sum_up(as_json=options["as_json"])
    return failures.FAILED if report.failed else failures.DONE
