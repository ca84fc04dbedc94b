"""Rules about `ai4-metadata.yml`."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from typing import Any

from modelport.catalogue.about import is_web
from modelport.checks import metadata
from modelport.checks.module import HUB, METADATA_FILE, Module
from modelport.checks.rule import ERROR, HINT, WARNING, Problem, rule
from modelport.checks.schema import LINKS

SUMMARY_CHARS = 200
# Not addresses: an image's name and a DOI are usual there.
FREE_LINKS = ("docker_image", "zenodo_doi", "citation")


def _problems(module: Module, wrongs: Iterable[metadata.Wrong]) -> Iterator[Problem]:
    for message, line in wrongs:
        yield Problem(message, module.metadata_file, line)


def _said(module: Module, *path: str) -> Any:
    return module.document.get(*path) if module.document is not None else None


def _at(module: Module, message: str, *path: Any) -> Problem:
    assert module.document is not None
    return Problem(message, module.metadata_file, module.document.line(path))


@rule("metadata-missing", ERROR, f"The module has an {METADATA_FILE}.")
def missing(module: Module) -> Iterator[Problem]:
    if module.folder is not None and module.metadata_file is None:
        yield Problem(f"there is no {METADATA_FILE}; `modelport init` writes one", module.folder)


@rule("metadata-syntax", ERROR, f"{METADATA_FILE} is valid YAML.")
def syntax(module: Module) -> Iterator[Problem]:
    if module.document is not None and module.document.failure is not None:
        yield from _problems(module, [module.document.failure])


@rule("metadata-schema", ERROR, "The metadata are valid for the hub's pipeline and for the newest schema.")
def valid(module: Module) -> Iterator[Problem]:
    if module.document is not None and module.document.failure is None:
        yield from _problems(module, metadata.refusals(module.document))


@rule("metadata-repeated", WARNING, "No name is there twice.")
def repeated(module: Module) -> Iterator[Problem]:
    if module.document is not None:
        yield from _problems(module, module.document.repeated)


@rule("metadata-unknown", WARNING, "No name is misspelt.")
def unknown(module: Module) -> Iterator[Problem]:
    if module.document is not None:
        yield from _problems(module, metadata.unknown(module.document))


@rule("metadata-empty", WARNING, "The texts that people see are there.")
def empty(module: Module) -> Iterator[Problem]:
    for name in ("title", "summary", "description"):
        value = _said(module, name)
        if isinstance(value, str) and not value.strip():
            yield _at(module, f"{name} is empty", name)


@rule("metadata-summary", HINT, f"The summary fits a card: at most {SUMMARY_CHARS} characters.")
def summary(module: Module) -> Iterator[Problem]:
    value = _said(module, "summary")
    if isinstance(value, str) and len(value) > SUMMARY_CHARS:
        yield _at(module, f"the summary has {len(value)} characters; a card shows {SUMMARY_CHARS}", "summary")


@rule("metadata-links", WARNING, "Links are http or https addresses.")
def links(module: Module) -> Iterator[Problem]:
    for name in LINKS:
        value = _said(module, "links", name)
        if isinstance(value, str) and name not in FREE_LINKS and not is_web(value):
            yield _at(module, f"links.{name} is {value!r}, which is not an http or https address", "links", name)


@rule("metadata-dates", WARNING, "Dates are such as '2026-01-31', not in the future, and in order.")
def dates(module: Module) -> Iterator[Problem]:
    read: dict[str, datetime.date] = {}
    for name in ("created", "updated"):
        value = _said(module, "dates", name)
        if not isinstance(value, str):
            continue
        try:
            read[name] = datetime.date.fromisoformat(value)
        except ValueError:
            yield _at(module, f"dates.{name} is {value!r}; give a date such as '2026-01-31'", "dates", name)
            continue
        # A day more: it may be tomorrow already where it was written.
        if read[name] > datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=1):
            yield _at(module, f"dates.{name} is {value}, which is in the future", "dates", name)
    if len(read) == 2 and read["updated"] < read["created"]:
        yield _at(module, "dates.updated is before dates.created", "dates", "updated")


@rule("metadata-image", HINT, "A module for inference names its image, which the hub's serverless button needs.")
def image(module: Module) -> Iterator[Problem]:
    categories = _said(module, "categories")
    if module.for_hub and "AI4 inference" in (categories or ()) and not _said(module, "links", "docker_image"):
        yield _at(module, "links has no docker_image; the hub offers no serverless endpoint without it", "links")


@rule("metadata-source", WARNING, "The hub takes repositories of its own organisations.")
def source(module: Module) -> Iterator[Problem]:
    value = _said(module, "links", "source_code")
    if module.for_hub and isinstance(value, str) and not HUB.match(value):
        message = f"links.source_code is {value}; the hub takes repositories of ai4os, ai4os-hub and deephdc"
        yield _at(module, message, "links", "source_code")


@rule("metadata-categories", WARNING, "The categories say what the module can do.", runs=True)
def categories(module: Module) -> Iterator[Problem]:
    named, card = _said(module, "categories"), module.trial.card
    if card is None or not isinstance(named, list):
        return
    if "AI4 trainable" in named and "train" not in card.capabilities:
        yield _at(module, "the category AI4 trainable is given, but the module has no train()", "categories")
