"""Rules about the plugin: whether it loads, and what its card says."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

from modelport.checks.module import Module
from modelport.checks.rule import ERROR, HINT, WARNING, Problem, rule
from modelport.contract import naming, packaging

FORMER_KEYWORDS = {
    "missing": "load_default=",
    "default": "dump_default=",
    **dict.fromkeys(("description", "location", "type", "example"), "it into metadata={…}"),
}


@rule("entry-point", ERROR, f"The packaging names the plugin in the group {naming.GROUP}.")
def entry_point(module: Module) -> Iterator[Problem]:
    project = module.project
    if project.name and not project.points:
        file, line = module.find_line(project.name, *packaging.PACKAGING_FILES)
        told = f"no entry point in the group {naming.GROUP}: an installed module would not be found"
        yield Problem(f'{told}; add {module.name} = "package.module" there', file, line)


@rule("loads", ERROR, "The module can be imported, described and warmed.", runs=True)
def loads(module: Module) -> Iterator[Problem]:
    if (failure := module.trial.failure) is not None:
        yield Problem(failure.message, module.folder)


@rule(
    "card-metadata",
    ERROR,
    "get_metadata() gives a name, an author and a licence, as the hub's pipeline demands.",
    card=True,
)
def card_metadata(module: Module) -> Iterator[str]:
    if module.card.metadata_error is not None:
        yield f"get_metadata() failed: {module.card.metadata_error}"
    elif absent := [name for name in ("name", "author", "license") if not module.card.metadata.get(name)]:
        yield f"get_metadata() says nothing of {', '.join(absent)}; is the package's metadata found?"


@rule("card-warning", WARNING, "All that the plugin says can be used.", card=True)
def card_warnings(module: Module) -> Iterable[str]:
    return module.card.warnings


@rule("card-predict", ERROR, "The module has a predict().", card=True)
def has_predict(module: Module) -> Iterator[str]:
    if "predict" not in module.card.capabilities:
        yield "the module has no predict(); a server would answer 501"


@rule("argument-default", ERROR, "Each default passes the argument's own validators.", runs=True)
def default(module: Module) -> Iterator[str]:
    for method, refused in module.trial.refused.items():
        for name, said in refused.items():
            told = " ".join(map(str, said)) if isinstance(said, list) else str(said)
            yield f"the default of {name} in get_{method}_args() is refused by its own field: {told}"


@rule("argument-type", WARNING, "Each argument has a type.", card=True)
def argument_type(module: Module) -> Iterator[str]:
    for method, argument in module.arguments():
        if argument.type == "any":
            field = f"{argument.name} of {method}() is a {argument.field_type or 'Field'}, which tells no type"
            yield field + '; use a typed field, or metadata={"type": "file", "location": "form"} for a file'


@rule("argument-enum", WARNING, "A list of choices is enforced.", card=True)
def enum(module: Module) -> Iterator[str]:
    for method, argument in module.arguments():
        if argument.choices and not argument.choices_enforced:
            yield f"{argument.name} of {method}() shows an enum but takes anything; add validate.OneOf(…)"


@rule("argument-keyword", WARNING, "Fields have no keyword that marshmallow 4 refuses.")
def keyword(module: Module) -> Iterator[Problem]:
    for path in module.files():
        for call in _field_calls(path) if path.suffix == ".py" else ():
            for name in sorted({keyword.arg or "" for keyword in call.keywords} & FORMER_KEYWORDS.keys()):
                message = f"{name}= is not a keyword of fields in marshmallow 4; write {FORMER_KEYWORDS[name]}"
                yield Problem(message, path, call.lineno)


def _field_calls(path: Path) -> Iterator[ast.Call]:
    """`fields.Str(…)` and the like; none in a file that is no Python."""
    try:
        tree = ast.parse(packaging.text_of(path))
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("fields."):
            yield node


@rule("argument-description", HINT, "Each argument is described.", card=True)
def description(module: Module) -> Iterator[str]:
    for method, argument in module.arguments():
        if not argument.description.strip():
            yield f'{argument.name} of {method}() has no description; add metadata={{"description": "…"}}'
