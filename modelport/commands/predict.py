"""`modelport predict`: one prediction."""

from __future__ import annotations

from typing import Any

import click

from modelport.commands.calling import model_command


@model_command.job_options
@model_command.model_options
@click.command(cls=model_command.ModelCommand)
@click.option(
    "-o", "--output", metavar="FILE", help="Write the answer there; .png, .pdf, .json … also choose its type."
)
@click.option("--stream", is_flag=True, help="Print each value of a generator as it comes: one JSON value a line.")
@click.pass_context
def command(context: click.Context, /, **options: Any) -> int:
    """Make one prediction and print the answer.

    The options after MODULE are the model's own arguments: `modelport predict MODULE --help` lists them. Give a file by
    its path, a list by repeating the option or as "[1, 2]", and an argument that has the name of an option below after
    `--`.

    With --async, the server keeps the prediction as a job, whatever happens to this command. The command prints its id;
    `modelport job ID` shows it.
    """
    from modelport.commands.calling import calls

    return calls.run(context, options)
