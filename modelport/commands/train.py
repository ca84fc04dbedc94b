"""`modelport train`: one training."""

from __future__ import annotations

from typing import Any

import click

from modelport.commands.calling import asking


@asking.job_options
@asking.model_options
@click.command(cls=asking.ModelCommand)
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
    from modelport.commands.shell import event_loop

    asking.check_job_options(as_job=as_job, wait=wait, output=output)
    request = asking.request(context, "train", module, **options)
    target = None if output == "-" else output
    if as_job:
        from modelport.commands.calling import submitting

        return event_loop.run(lambda: submitting.submit(request, target, wait=wait), debug=options["debug"])
    return event_loop.run(lambda: _train(request, target), debug=options["debug"])


async def _train(request: asking.Request, output: str | None) -> int:
    # No worker for predictions: a training has a process of its own.
    from modelport.commands.calling.asking import described
    from modelport.commands.model import answers
    from modelport.commands.model.progress import shown

    async with described(request, workers=0) as model:
        if model is not None:
            arguments = request.given(model.card)
            with shown(f"train {model.card.name}") as progress:
                async with model.ask("train", arguments, progress) as answer:
                    progress.end()
                    await answers.write(answer, output, compact=request.as_json)
    return 0
