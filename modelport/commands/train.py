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
def command(context: click.Context, /, **options: Any) -> int:
    """Train a model and print the result.

    The options after MODULE are the model's own arguments: `modelport train MODULE --help` lists them. Ctrl-C cancels
    the training, even on a server. With --async, the server keeps the training as a job; the command prints its id, and
    `modelport job ID` shows it.
    """
    from modelport.commands.calling import calls

    return calls.run(context, options)
