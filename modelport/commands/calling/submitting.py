"""A prediction or training that is a job of a server: sent, told of, and waited for if that is wanted."""

from __future__ import annotations

from modelport.client import AsyncClient
from modelport.client.jobs import Document
from modelport.client.where import Where
from modelport.commands.calling.asking import Request
from modelport.commands.following import job_text, job_waiting
from modelport.commands.model import answers, given
from modelport.commands.shell import shown
from modelport.commands.shell.output import say


async def submit(request: Request, output: str | None, *, wait: bool) -> int:
    """output: where the answer goes, which only who waits has. Returns the exit status."""
    where = request.where or Where.find({"home": str(request.settings.home_path), "token": request.own_token})
    async with AsyncClient(where, timeout_s=request.timeout_s) as server:
        model = await server.model(request.module)
        if request.help_wanted:
            request.print_help(model.card)
            return 0
        arguments = request.given(model.card)
        if request.method == "predict":
            given.choose_accept(model.card, arguments, output)
        if wait:
            answers.check_terminal(arguments.values.get("accept"), output)
        job = await model.submit(request.method, arguments)
        if not wait:
            _tell(request, where, job)
            return 0
        say(f"accepted as job {job['id']}", err=True)
        job = await job_waiting.ended(server, job, request.timeout_s)
        await job_waiting.write_result(server, job, output, compact=request.as_json)
    return 0


def _tell(request: Request, where: Where, job: Document) -> None:
    """The id on stdout, or with --json the document; how to go on, on stderr."""
    if request.as_json:
        shown.as_json(job)
        return
    say(job["id"])
    url = f" --url {where.url}" if request.where else ""
    say(f"accepted; its answer: modelport job {job_text.short(job['id'])}{url} --wait --result", err=True)
