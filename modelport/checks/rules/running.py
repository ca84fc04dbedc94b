"""Rules about what came of running the module."""

from __future__ import annotations

import re
from collections.abc import Iterator

from modelport.checks.module import Module
from modelport.checks.rule import ERROR, WARNING, Problem, rule
from modelport.checks.trial import CALLS, call_files
from modelport.describe.examples import SAMPLE_FOLDERS, fitting, read_example
from modelport.errors import InvalidArguments

# The hub's pipeline waits 10 s, and then four times 10 s for the port to answer.
HUB_START_S = 50.0
MIB = 1 << 20


@rule("example-missing", WARNING, "There is an example of each argument that a caller must give.", card=True)
def example(module: Module) -> Iterator[str | Problem]:
    missing = {name for example, _ in module.trial.outcomes for name in example.missing}
    for argument in module.card.predict_args:
        if argument.name in missing and argument.is_file:
            folders = " or ".join(SAMPLE_FOLDERS)
            yield Problem(f"no example of {argument.name}: put a small file that fits into {folders}", module.folder)
        elif argument.name in missing:
            how = f'add metadata={{"example": …}} to its field, or a call in {CALLS}/input.json'
            yield f"no example of {argument.name}: {how}"


@rule("example-call", WARNING, f"Each JSON file in {CALLS} is a call, or a file that an argument takes.", card=True)
def calls(module: Module) -> Iterator[Problem]:
    files = [argument for argument in module.card.predict_args if argument.is_file]
    for path in call_files(module.folder) if "predict" in module.card.capabilities else ():
        try:
            read_example(path, module.card)
        except ValueError as error:
            if not any(path in fitting(argument, path.parent) for argument in files):
                yield Problem(f"{error}; no prediction was made with it", path)


@rule("prediction", ERROR, "A prediction with each example succeeds, and its answer can be sent.", runs=True)
def prediction(module: Module) -> Iterator[str]:
    for example, outcome in module.trial.outcomes:
        # Values that nobody declared may be refused.
        if outcome.error is not None and not (example.missing and isinstance(outcome.error, InvalidArguments)):
            yield f"{example} failed: {outcome.error.message}"


@rule(
    "serverless-json", WARNING, "The module answers JSON by default, which the serverless platform expects.", card=True
)
def answers_json(module: Module) -> Iterator[str]:
    default = module.card.default_answer_type
    if default is not None and not default.endswith("json"):
        yield f"accept is {default} by default; make application/json the default, and offer this one beside it"
    for example, outcome in module.trial.outcomes:
        if "accept" not in example.values and outcome.error is None and not outcome.is_json:
            yield f"{example} answers {outcome.media_type}; add an accept argument that offers application/json"


@rule("serverless-deepaas", ERROR, "The serverless platform needs deepaas 2.5 or later.")
def deepaas(module: Module) -> Iterator[Problem]:
    for requirement in module.project.requires:
        bound = re.match(r"deepaas\b[^;#]*?(==|<=|<|~=)([0-9.]+)", requirement.replace(" ", ""), re.I)
        if bound and _below_2_5(bound[1], [int(part) for part in bound[2].split(".") if part]):
            file, line = module.find_line("deepaas", "requirements.txt", "setup.cfg", "pyproject.toml")
            message = f"{requirement} keeps deepaas below 2.5, which the platform refuses; ask for deepaas>=2.5"
            yield Problem(message, file, line)


def _below_2_5(operator: str, version: list[int]) -> bool:
    if operator == "~=" and len(version) < 3:
        return version < [2]  # ~=2.4 allows every 2.x from there
    return version <= [2, 5] if operator == "<" else version < [2, 5]


@rule("start", ERROR, f"The module answers within {HUB_START_S:g} s, or the hub's pipeline gives up.", runs=True)
def starts(module: Module) -> Iterator[str]:
    if (took_s := module.trial.cold_start_s) > HUB_START_S:
        waits = f"the module was ready after {took_s:.0f} s; the hub's pipeline waits {HUB_START_S:g} s"
        yield f"{waits}. Put weights into the image, and load them in warm()"


@rule("memory", ERROR, "The module fits into the memory that its metadata ask for.", runs=True)
def memory(module: Module) -> Iterator[Problem]:
    path = ("resources", "inference", "memory_MB")
    asked, used = module.document.get(*path), module.trial.memory_bytes / MIB
    if isinstance(asked, int) and used > asked:
        told = f"the module uses {used:.0f} MB after its predictions, but {'.'.join(path)} is {asked}; ask for more"
        yield Problem(told, module.metadata_file, module.document.line(path))
