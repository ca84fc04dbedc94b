"""What predict and train do: one call, here or on a server, at once or as a job."""

from __future__ import annotations

import contextlib
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import click

from modelport.client.calls import CallArguments
from modelport.commands.calling.model_command import Request
from modelport.commands.following import job_text
from modelport.commands.model import answers, call_arguments
from modelport.commands.model.progress import shown as shown_progress
from modelport.commands.shell import event_loop
from modelport.commands.shell.output import say, say_json

if TYPE_CHECKING:
    from modelport.client.jobs import Document
    from modelport.client.models import RemoteModel
    from modelport.commands.calling.local import LocalModel


def run(context: click.Context, options: dict[str, Any]) -> int:
    """Returns the exit status. Raises click.UsageError, BadSetting, Unreachable."""
    as_job, wait, output, stream = options["as_job"], options["wait"], options["output"], options.get("stream")
    if wait and not as_job:
        raise click.UsageError("--wait goes with --async; without --async the command waits for the answer anyway")
    if as_job and output is not None and not wait:
        raise click.UsageError("--output needs the answer: add --wait, or use `modelport job ID --output FILE` later")
    if stream and as_job:
        raise click.UsageError("--stream does not go with --async; `modelport job ID --stream` prints a job's values")
    target = None if output == "-" else output
    request = Request(context, options)

    async def call() -> int:
        async with request.open() as model:
            if request.help_wanted:
                request.print_help(model.card)
                return 0
            arguments = request.read_arguments(model.card)
            if request.method == "predict":
                call_arguments.choose_accept(model.card, arguments, target)
            if wait or not as_job:
                answers.check_terminal(arguments.values.get("accept"), target)
            if stream:
                async with aclosing(model.stream(arguments)) as values:
                    await answers.write_values(values, target)
                return 0
            if not as_job:
                await _ask(request, model, arguments, target)
                return 0
            from modelport.client.models import RemoteModel  # these load aiohttp, which a model here does not need
            from modelport.commands.following import job_waiting

            assert isinstance(model, RemoteModel)
            job = await model.submit(request.method, arguments)
            if not wait:
                _tell(request, model.server.where.url if options["url"] else "", job)
                return 0
            say(f"accepted as job {job['id']}", err=True)
            job = await job_waiting.ended(model.server, job, request.timeout_s)
            await job_waiting.write_result(model.server, job, target, compact=request.as_json)
            return 0

    return event_loop.run(call, debug=request.settings.debug)


async def _ask(request: Request, model: LocalModel | RemoteModel, arguments: CallArguments, output: str | None) -> None:
    shown = shown_progress(f"train {model.card.name}") if request.method == "train" else contextlib.nullcontext()
    with shown as progress:
        async with model.ask(request.method, arguments, progress) as answer:
            if progress is not None:
                progress.end()
            await answers.write(answer, output, compact=request.as_json)


def _tell(request: Request, url: str, job: Document) -> None:
    """The id on stdout, or with --json the document; how to go on, on stderr."""
    if request.as_json:
        say_json(job)
        return
    say(job["id"])
    at = f" --url {url}" if url else ""
    say(f"accepted; its answer: modelport job {job_text.short(job['id'])}{at} --wait --result", err=True)
