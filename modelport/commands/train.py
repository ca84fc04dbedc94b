"""`modelport train`: one training."""

from __future__ import annotations

from typing import Any

import click

from modelport.commands.calling import model_command


@model_command.job_options
@model_command.model_options
@click.command(cls=model_command.ModelCommand)
@click.option("-o", "--output", metavar="FILE", help="Write the result there.")
@click.pass_context
def command(
    context: click.Context, /, module: str | None, output: str | None, as_job: bool, wait: bool, **options: Any
) -> int:
    """Train a model and print the result.

    The options after MODULE are the model's own arguments: `modelport train MODULE --help` lists them. Ctrl-C ends the
    training, also one on a server; not one that was begun with --async, whose id is printed and which `modelport job
    ID` shows.
    """
    request = model_command.request(context, "train", module, **options)
    from modelport.commands.calling import calls

    return calls.run(request, output, as_job=as_job, wait=wait)
