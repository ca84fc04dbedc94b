"""A module, run: how long it takes to start, what it needs, and what it answers to its own examples."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import mimetypes
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from modelport.contract.card import Argument, Card
from modelport.contract.prediction import Call, InputFile, Outcome
from modelport.deployments.deployments import Deployment, DeploymentRow, Listener
from modelport.deployments.memory import MemoryMeter
from modelport.describe.examples import SAMPLE_FOLDERS, fitting, plausible, read_example
from modelport.errors import ModelportError
from modelport.intake.calls import make_call
from modelport.intake.scratch import RunFolder, Scratch
from modelport.settings import Settings

# A folder of the module's: JSON files there are calls.
CALLS = "examples"
# Of the files there so many are tried: more of them rarely tell more.
SAMPLES_LIMIT = 5


@dataclass(frozen=True)
class Example:
    """The arguments of a prediction. files: by argument name. missing: arguments whose value is made up."""

    values: dict[str, Any]
    files: dict[str, list[Path]]
    missing: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [path.name for paths in self.files.values() for path in paths]
        parts += [f"accept: {self.values['accept']}"] if "accept" in self.values else []
        return f"the prediction with {', '.join(parts)}" if parts else "the prediction"


@dataclass
class Trial:
    """failure: why there is no card, or no worker. refused: by method, defaults that the plugin refuses, and why."""

    card: Card | None = None
    failure: ModelportError | None = None
    cold_start_s: float = 0.0
    memory_bytes: int = 0
    outcomes: list[tuple[Example, Outcome]] = field(default_factory=list)
    refused: dict[str, dict[str, Any]] = field(default_factory=dict)


async def run(row: DeploymentRow, settings: Settings, folder: Path | None, output: Listener) -> Trial:
    """Load the module in processes of its own, and ask it. folder: has its example files. Nothing there changes."""
    settings = replace(settings, start_method="once", workers=1, spare_worker=False, nan="error")
    row = replace(row, environment={**row.environment, "PYTHONDONTWRITEBYTECODE": "1"})
    run_folder = RunFolder(settings.home_path)
    deployment = Deployment(row, settings, run_folder.folder("deployment"), output)
    trial = Trial()
    try:
        started = time.monotonic()
        trial.card = await deployment.start()
        await deployment.wait_ready()
        trial.cold_start_s = time.monotonic() - started
        await _ask(trial, trial.card, deployment, run_folder, settings, folder)
    except ModelportError as error:
        trial.failure = error
    finally:
        try:
            await deployment.stop()
        finally:
            await asyncio.to_thread(run_folder.close)
    return trial


async def _ask(
    trial: Trial, card: Card, deployment: Deployment, run_folder: RunFolder, settings: Settings, folder: Path | None
) -> None:
    for method in sorted({"predict", "train"} & set(card.capabilities)):
        async with run_folder.scratch() as scratch:
            values = defaults(card.arguments(method))
            call = Call(scratch.id, method, values, scratch=str(scratch.path), only_validate=True)
            error = (await deployment.executor.run(call)).error
            fields = getattr(error, "fields", None) or {}
            trial.refused[method] = {name: said for name, said in fields.items() if name in values}
    for example in examples(card, folder) if "predict" in card.capabilities else ():
        async with run_folder.scratch() as scratch:
            files = await asyncio.to_thread(_copies, card, example, scratch)
            call = make_call(card, "predict", dict(example.values), files, scratch)
            call.timeout_s = settings.predict_timeout_s or None
            outcome = await deployment.executor.run(call)
        trial.outcomes.append((example, outcome))
    memory = await asyncio.to_thread(MemoryMeter().measure, deployment.processes())
    trial.memory_bytes = sum(memory.get(pid, 0) for pid in deployment.processes())


def _copies(card: Card, example: Example, scratch: Scratch) -> list[InputFile]:
    """In the call's own folder: a plugin may change or move what it is given."""
    copies = []
    for argument in card.predict_args:
        for number, path in enumerate(example.files.get(argument.name, ())):
            copy = scratch.make() / f"{argument.name}-{number}"
            shutil.copyfile(path, copy)
            media_type = mimetypes.guess_type(path.name)[0]
            copies.append(InputFile(argument.name, str(copy), argument.wire_name, media_type, path.name))
    return copies


def defaults(arguments: Sequence[Argument]) -> dict[str, Any]:
    """What a caller sees as the defaults, to be sent. None stands for nothing sent."""
    return {
        argument.name: argument.default
        for argument in arguments
        if argument.has_default and argument.default is not None and not argument.read_only and not argument.is_file
    }


def examples(card: Card, folder: Path | None) -> Iterator[Example]:
    """One for each example file and each written call; of the first one also for each other type of answer."""
    calls = written(card, folder) or [Example({}, {})]
    samples = list(_file_sets(card, folder))
    pairs = [(call, {**samples[0], **call.files}) for call in calls]
    pairs += [(calls[0], files) for files in samples if files not in [tried for _, tried in pairs]]
    for number, (call, files) in enumerate(pairs):
        values, missing = _values(card, call.values)
        missing += [argument.name for argument in _needed_files(card) if argument.name not in files]
        types = [values.get("accept", card.default_answer_type)]
        if not number and not missing and card.accept is not None:
            types += [type for type in card.answer_types if type not in types]
        for accept in types:
            own = {"accept": accept} if accept is not None else {}
            yield Example({**values, **own}, files, tuple(missing))


def call_files(folder: Path | None) -> list[Path]:
    """Those that are to describe calls."""
    return sorted(folder.joinpath(CALLS).glob("*.json")) if folder is not None else []


def written(card: Card, folder: Path | None) -> list[Example]:
    """The calls in JSON files."""
    names = {argument.wire_name: argument.name for argument in card.predict_args}
    calls = []
    for path in call_files(folder):
        with contextlib.suppress(ValueError):
            call = read_example(path, card)
            values, files = ({names[name]: value for name, value in part.items()} for part in (call.values, call.files))
            calls.append(Example(values, files))
    return calls[:SAMPLES_LIMIT]


def _values(card: Card, call: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """(the arguments of a call, those whose value is made up)."""
    values, missing = dict(call), []
    for argument in card.predict_args:
        if argument.is_file or argument.name == "accept" or argument.read_only or argument.name in values:
            continue
        if "example" in argument.metadata:
            values[argument.name] = argument.metadata["example"]
        elif argument.required:
            values[argument.name] = plausible(argument)
            missing.append(argument.name)
    return values, missing


def _file_sets(card: Card, folder: Path | None) -> Iterator[dict[str, list[Path]]]:
    """At least one, which may be empty."""
    needed = _needed_files(card) or [argument for argument in card.predict_args if argument.is_file][:1]
    files = {argument.name: samples(argument, folder) for argument in needed}
    longest = max((len(paths) for paths in files.values()), default=0)
    for number in range(max(1, min(longest, SAMPLES_LIMIT))):
        yield {name: [paths[min(number, len(paths) - 1)]] for name, paths in files.items() if paths}


def _needed_files(card: Card) -> list[Argument]:
    return [argument for argument in card.predict_args if argument.is_file and argument.required]


def samples(argument: Argument, folder: Path | None) -> list[Path]:
    """The example files in a module's folder that fit an argument."""
    if folder is None:
        return []
    paths = itertools.chain.from_iterable(fitting(argument, folder / name) for name in SAMPLE_FOLDERS)
    return [
        path
        for path in paths
        if path.suffix not in (".py", ".md") and (path.parent.name, path.suffix) != (CALLS, ".json")
    ]
