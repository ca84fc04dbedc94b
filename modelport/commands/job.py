"""`modelport job`: one job: how it is, what it printed and gave, and its end."""

from __future__ import annotations

from typing import Any

import click

from modelport.commands.calling import completion
from modelport.commands.calling import server as servers
from modelport.commands.shell.output import print_log, say_json, tell

# Of these, one.
ACTIONS = ("cancel", "delete", "again")
SHOWN = ("log", "result", "stream")


@servers.options
@click.command()
@click.argument("job_id", metavar="ID", shell_complete=completion.complete_job)
@click.option("--wait", is_flag=True, help="Wait for its end; a failed job is an error.")
@click.option("--result", is_flag=True, help="Print its result.")
@click.option("--output", "-o", metavar="FILE", help="Write the result to FILE.")
@click.option("--log", is_flag=True, help="Print its log.")
@click.option("--follow", "-f", is_flag=True, help="Follow its log until it ends.")
@click.option("--stream", is_flag=True, help="Print each value of its generator as it comes, until it ends.")
@click.option("--cancel", is_flag=True, help="Cancel it, even while it runs.")
@click.option("--delete", is_flag=True, help="Remove it with its result and log, once it has ended.")
@click.option("--again", is_flag=True, help="Run it again as a new job.")
def command(job_id: str, as_json: bool, **options: Any) -> int:
    """Show a job. ID may be the beginning of its id, if it is unambiguous.

    \b
    modelport job 0000010000002a --wait --result
    """

    chosen = [action for action in ACTIONS if options[action]]
    if len(chosen) > 1:
        raise click.UsageError(f"--{chosen[0]} and --{chosen[1]} cannot be combined; give one of them")
    options["result"] = options["result"] or options["output"] is not None
    options["log"] = options["log"] or options["follow"]
    if sum(options[option] for option in SHOWN) + options["delete"] > 1:
        raise click.UsageError("--result (or --output), --log, --stream and --delete cannot be combined")
    return servers.run(options, lambda server: _job(server, job_id, as_json, options))


async def _job(server: servers.AsyncClient, job_id: str, as_json: bool, options: dict[str, Any]) -> int:
    from modelport.commands.following import job_text, job_waiting

    job = await server.job(job_id)
    if options["again"]:
        job = await server.again(job)
    elif options["cancel"]:
        job = await job_waiting.cancelled(server, job)
    elif options["delete"]:
        await job_waiting.remove(server, job)
        tell({"id": job["id"], "status": "removed"}, f"{job['id']} is removed", as_json=as_json)
        return 0
    if options["stream"]:
        await job_waiting.write_values(server, job)
        return 0
    if options["log"]:
        log = server.job_log(job, follow=options["follow"] or options["wait"])
        await print_log(log, {"id": job["id"]} if as_json else None)
    elif options["wait"]:
        job = await job_waiting.ended(server, job)
    if options["result"]:
        await job_waiting.write_result(server, job, options["output"], compact=as_json)
    elif not options["log"]:
        say_json(job) if as_json else job_text.facts(job)
    if options["wait"] and not options["result"]:
        job_waiting.check(await server.job(job))
    return 0
