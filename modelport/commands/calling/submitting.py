"""A prediction or training that is a job of a server: sent, told of, and waited for if that is wanted."""

from __future__ import annotations

import click

from modelport.commands.calling.asking import Request
from modelport.commands.client.remote import RemoteModel
from modelport.commands.client.remote_jobs import Document, RemoteJobs
from modelport.commands.client.where import Where
from modelport.commands.following import job_text, job_waiting
from modelport.commands.model import answers, given
from modelport.commands.shell import shown


async def submit(request: Request, output: str | None, *, wait: bool) -> int:
    """output: where the answer goes, which only who waits has. Returns the exit status."""
    request = request.at_server()
    assert request.url is not None
    async with RemoteModel(request.url, request.module, request.settings.token, request.timeout_s) as model:
        if request.help_wanted:
            request.print_help(model.card)
            return 0
        arguments = request.given(model.card)
        if request.method == "predict":
            given.choose_accept(model.card, arguments, output)
        if wait:
            answers.check_terminal(arguments.values.get("accept"), output)
        job = await model.submit(request.method, arguments)
    where = Where(model.base, request.settings.token)
    if not wait:
        _tell(request, where, job)
        return 0
    click.echo(f"accepted as job {job['id']}", err=True)
    async with RemoteJobs(where) as jobs:
        job = await job_waiting.ended(jobs, job, request.timeout_s)
        await job_waiting.write_result(jobs, job, output, compact=request.as_json)
    return 0


def _tell(request: Request, where: Where, job: Document) -> None:
    """The id on stdout, or with --json the document; how to go on, on stderr."""
    if request.as_json:
        shown.as_json(job)
        return
    click.echo(job["id"])
    url = f" --url {where.url}" if "url" in request.ours else ""
    click.echo(f"accepted; its answer: modelport job {job_text.short(job['id'])}{url} --wait --result", err=True)
