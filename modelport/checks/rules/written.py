"""Rules about `ai4-metadata.yml`."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Iterable, Iterator

from modelport.catalogue.about import LINKS, is_web
from modelport.checks import metadata
from modelport.checks import rule as rules
from modelport.checks.metadata import Wrong
from modelport.checks.module import HUB, METADATA_FILE, Module
from modelport.checks.rule import ERROR, HINT, WARNING, Problem

SUMMARY_CHARS = 200
# Not addresses: an image's name and a DOI are usual there, and `self` is the platform's.
FREE_LINKS = ("docker_image", "zenodo_doi", "citation", "self")

rule = functools.partial(rules.rule, file=lambda module: module.metadata_file)


def _at(module: Module, message: str, *path: str) -> Wrong:
    return message, module.document.line(path)


@rule("metadata-missing", ERROR, f"The module has an {METADATA_FILE}.")
def missing(module: Module) -> Iterator[Problem]:
    if module.folder is not None and module.metadata_file is None:
        yield Problem(f"there is no {METADATA_FILE}; `modelport init` writes one", module.folder)


@rule("metadata-syntax", ERROR, f"{METADATA_FILE} is valid YAML.")
def syntax(module: Module) -> Iterable[Wrong]:
    return filter(None, [module.document.failure])


@rule("metadata-schema", ERROR, "The metadata are valid for the hub's pipeline and for the newest schema.")
def valid(module: Module) -> Iterable[Wrong]:
    there = module.metadata_file is not None and module.document.failure is None
    return metadata.refusals(module.document) if there else ()


@rule("metadata-repeated", WARNING, "No name is there twice.")
def repeated(module: Module) -> Iterable[Wrong]:
    return module.document.repeated


@rule("metadata-unknown", WARNING, "No name is misspelt.")
def unknown(module: Module) -> Iterable[Wrong]:
    return metadata.unknown(module.document)


@rule("metadata-empty", WARNING, "The texts that people see are there.")
def empty(module: Module) -> Iterator[Wrong]:
    for name in ("title", "summary", "description"):
        value = module.document.get(name)
        if isinstance(value, str) and not value.strip():
            yield _at(module, f"{name} is empty", name)


@rule("metadata-summary", HINT, f"The summary fits a card: at most {SUMMARY_CHARS} characters.")
def summary(module: Module) -> Iterator[Wrong]:
    value = module.document.get("summary")
    if isinstance(value, str) and len(value) > SUMMARY_CHARS:
        yield _at(module, f"the summary has {len(value)} characters; a card shows {SUMMARY_CHARS}", "summary")


@rule("metadata-links", WARNING, "Links are http or https addresses.")
def links(module: Module) -> Iterator[Wrong]:
    for name in LINKS:
        value = module.document.get("links", name)
        if isinstance(value, str) and name not in FREE_LINKS and not is_web(value):
            yield _at(module, f"links.{name} is {value!r}, which is not an http or https address", "links", name)


@rule("metadata-dates", WARNING, "Dates are such as '2026-01-31', not in the future, and in order.")
def dates(module: Module) -> Iterator[Wrong]:
    read: dict[str, datetime.date] = {}
    for name in ("created", "updated"):
        value = module.document.get("dates", name)
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
def image(module: Module) -> Iterator[Wrong]:
    categories = module.document.get("categories")
    if module.for_hub and "AI4 inference" in (categories or ()) and not module.document.get("links", "docker_image"):
        yield _at(module, "links has no docker_image; the hub offers no serverless endpoint without it", "links")


@rule("metadata-source", WARNING, "The hub takes repositories of its own organisations.")
def source(module: Module) -> Iterator[Wrong]:
    value = module.document.get("links", "source_code")
    if module.for_hub and isinstance(value, str) and not HUB.match(value):
        message = f"links.source_code is {value}; the hub takes repositories of ai4os, ai4os-hub and deephdc"
        yield _at(module, message, "links", "source_code")


@rule("metadata-categories", WARNING, "The categories say what the module can do.", card=True)
def categories(module: Module) -> Iterator[Wrong]:
    named = module.document.get("categories")
    if isinstance(named, list) and "AI4 trainable" in named and "train" not in module.card.capabilities:
        yield _at(module, "the category AI4 trainable is given, but the module has no train()", "categories")
