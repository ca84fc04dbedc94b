"""`modelport job`: one job: how it is, what it printed and gave, and its end."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from modelport.commands.calling import completion
from modelport.commands.client import management

if TYPE_CHECKING:
    from modelport.commands.client.remote_jobs import Document, RemoteJobs

# Of these, one.
ACTIONS = ("cancel", "delete", "again")
SHOWN = ("log", "result")


@management.options
@click.command()
@click.argument("job_id", metavar="ID", shell_complete=completion.complete_job)
@click.option("--wait", is_flag=True, help="Until it has ended; a job that failed is an error.")
@click.option("--result", is_flag=True, help="Print what it gave.")
@click.option("--output", "-o", metavar="FILE", help="Write that to FILE.")
@click.option("--log", is_flag=True, help="Print what it has printed.")
@click.option("--follow", "-f", is_flag=True, help="The log, and what it will print, until it ends.")
@click.option("--cancel", is_flag=True, help="Stop it, also while it runs.")
@click.option("--delete", is_flag=True, help="Remove it, with its result and log, when it has ended.")
@click.option("--again", is_flag=True, help="Run it once more, as a new job.")
def command(job_id: str, as_json: bool, **options: Any) -> int:
    """Show a job; ID may be the beginning of its id, as long as it fits no other.

    \b
    modelport job 0000010000002a --wait --result
    """
    from modelport.commands.client.remote_jobs import RemoteJobs

    chosen = [each for each in ACTIONS if options[each]]
    if len(chosen) > 1:
        raise click.UsageError(f"--{chosen[0]} and --{chosen[1]} are two things to do; say one")
    options["result"] = options["result"] or options["output"] is not None
    options["log"] = options["log"] or options["follow"]
    if sum(options[each] for each in SHOWN) + options["delete"] > 1:
        raise click.UsageError("--result (or --output), --log and --delete go one at a time")
    return management.run_at(RemoteJobs, options, lambda jobs: _job(jobs, job_id, as_json, options))


async def _job(jobs: RemoteJobs, job_id: str, as_json: bool, options: dict[str, Any]) -> int:
    from modelport.commands.following import job_text, job_waiting
    from modelport.commands.shell import shown

    job = await jobs.find(job_id)
    if options["again"]:
        job = await jobs.again(job["id"])
    elif options["cancel"]:
        job = await job_waiting.cancelled(jobs, job)
    elif options["delete"]:
        await job_waiting.remove(jobs, job)
        shown.as_json({"id": job["id"], "status": "removed"}) if as_json else click.echo(f"{job['id']} is removed")
        return 0
    if options["log"]:
        await _print_log(jobs, job, as_json, options["follow"] or options["wait"])
    elif options["wait"]:
        job = await job_waiting.ended(jobs, job)
    if options["result"]:
        await job_waiting.write_result(jobs, job, options["output"], compact=as_json)
    elif not options["log"]:
        shown.as_json(job) if as_json else job_text.facts(job)
    if options["wait"] and not options["result"]:
        job_waiting.check(await jobs.get(job["id"]))
    return 0


async def _print_log(jobs: RemoteJobs, job: Document, as_json: bool, follow: bool) -> None:
    from modelport.commands.shell import shown

    if as_json:
        log = b"".join([chunk async for chunk in jobs.log(job["id"], follow=follow)])
        shown.as_json({"id": job["id"], "log": log.decode(errors="replace")})
        return
    async for chunk in jobs.log(job["id"], follow=follow):
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
