"""`modelport predict`: one prediction."""

from __future__ import annotations

from typing import Any

import click

from modelport.commands.calling import asking


@asking.job_options
@asking.model_options
@click.command(cls=asking.ModelCommand)
@click.option(
    "-o", "--output", metavar="FILE", help="Write the answer there; .png, .pdf, .json … also choose its type."
)
@click.pass_context
def command(
    context: click.Context, /, module: str | None, output: str | None, as_job: bool, wait: bool, **options: Any
) -> int:
    """Ask a model for one prediction and print the answer.

    The options after MODULE are the model's own arguments: `modelport predict MODULE --help` lists them. Give a file by
    its path, a list by repeating the option or as "[1, 2]", and an argument that has the name of an option below after
    `--`.

    With --async the server keeps the prediction as a job, whatever happens to this command: its id is printed, and
    `modelport job ID` shows it.
    """
    from modelport.commands.shell import event_loop

    asking.check_job_options(as_job=as_job, wait=wait, output=output)
    request = asking.request(context, "predict", module, **options)
    target = None if output == "-" else output
    if as_job:
        from modelport.commands.calling import submitting

        return event_loop.run(lambda: submitting.submit(request, target, wait=wait), debug=options["debug"])
    return event_loop.run(lambda: _predict(request, target), debug=options["debug"])


async def _predict(request: asking.Request, output: str | None) -> int:
    from modelport.commands.calling.asking import described
    from modelport.commands.model import answers, given

    async with described(request, workers=1) as model:
        if model is not None:
            arguments = request.given(model.card)
            given.choose_accept(model.card, arguments, output)
            answers.check_terminal(arguments.values.get("accept"), output)
            async with model.ask("predict", arguments) as answer:
                await answers.write(answer, output, compact=request.as_json)
    return 0
