"""What is said of a module: by its `ai4-metadata.yml` (schema 2), its `get_metadata()`, or its packaging."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime
from typing import Annotated, Any

import msgspec
import yaml
from msgspec import Meta

from modelport.contract.card import Card

# libyaml's is ten times as fast, where PyYAML was built with it.
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DEPTH_LIMIT = 20
TOO_DEEP = f"it is nested more than {DEPTH_LIMIT} deep"

# Of each list so many entries, each so long; a description may be a whole README.
ENTRIES_LIMIT = 100
CHARS_LIMIT = 500
DESCRIPTION_LIMIT = 200_000

# Names in the file, and ours.
LISTS = {
    "tags": "tags",
    "categories": "categories",
    "tasks": "tasks",
    "libraries": "libraries",
    "data-type": "data_types",
}
REQUIRED = ("title", "summary", "description", "links", "libraries", "tasks", "categories", "tags")
AMOUNTS = ("cpu", "gpu", "memory_MB", "gpu_memory_MB", "gpu_compute_capability", "storage_MB")
LINKS = {
    "source_code": "Source code",
    "documentation": "Documentation",
    "docker_image": "Docker image",
    "zenodo_doi": "Zenodo",
    "dataset": "Training data",
    "weights": "Weights",
    "citation": "Citation",
    "base_model": "Base model",
    "self": "Metadata",
}
# Names a version of the template, and no address.
NOT_LINKS = ("ai4_template",)
# `ai4oshub/NAME:tag`, as modules have it, or with the name of a registry before it.
IMAGE = re.compile(
    r"(?:(?P<host>[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::\d+)?)/)?(?P<path>[a-z0-9._-]+(?:/[a-z0-9._-]+)+)(?::[\w.-]+)?", re.I
)
# What YAML reads as texts, as an author meant it; and an amount.
Text = str | int | float
Amount = Annotated[int, Meta(ge=0, lt=10**12)] | Annotated[float, Meta(ge=0, lt=1e12)]
DOI = re.compile(r"10\.\d{4,}/[^\s\"<>]+")


@dataclass(frozen=True)
class About:
    """What a person should know of a module. Texts as somebody wrote them: never to be trusted as markup.

    description: Markdown. links: (label, http or https address). created, updated: 2026-01-31, or empty.
    resources: by "inference" and "training" the amounts of AMOUNTS that are asked for.
    """

    title: str = ""
    summary: str = ""
    description: str = ""
    license: str = ""
    version: str = ""
    author: str = ""
    doi: str = ""
    tags: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    data_types: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    created: str = ""
    updated: str = ""
    resources: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def repository(self) -> str:
        """Where the code is; an http or https address, or empty."""
        return next((url for label, url in self.links if label == LINKS["source_code"]), "")

    def filled_by(self, other: About) -> About:
        """With what the other says where this one says nothing."""
        empty = {field.name: getattr(other, field.name) for field in fields(self) if not getattr(self, field.name)}
        return replace(self, **empty)


@functools.lru_cache(maxsize=4096)
def of_file(text: str) -> tuple[About, tuple[str, ...]]:
    """What an `ai4-metadata.yml` says, and what is wrong with it. What can be understood counts.

    Some milliseconds for a new text: call it in a thread.
    """
    try:
        check_shape(text)
        document = yaml.load(text, Loader=LOADER)  # noqa: S506 (a SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return About(), (f"it is not valid YAML: {' '.join(str(error).split())[:CHARS_LIMIT]}",)
    if not isinstance(document, dict):
        return About(), ("it is not a mapping of names to values",)
    return of_document(document)


def of_document(document: Mapping[str, Any]) -> tuple[About, tuple[str, ...]]:
    """The same of metadata that have been read."""
    problems = [f"{key} is missing" for key in REQUIRED if key not in document]
    if not str(document.get("metadata_version", "2")).startswith("2"):
        problems.insert(0, f"metadata_version is {_line(document['metadata_version'])}; only 2 is supported")
    values: dict[str, Any] = {name: _text(document, name, problems) for name in ("title", "summary", "doi", "license")}
    values["description"] = _text(document, "description", problems, DESCRIPTION_LIMIT)
    values.update({attribute: _list(document, name, problems) for name, attribute in LISTS.items()})
    links = _mapping(document, "links", problems)
    values["links"] = tuple((LINKS.get(str(name), _label(name)), url) for name, url in _urls(links, problems))
    dates = _mapping(document, "dates", problems)
    values.update({name: _date(dates, name, problems) for name in ("created", "updated")})
    values["resources"] = _resources(_mapping(document, "resources", problems), problems)
    return About(**values), tuple(problems)


def check_shape(text: str) -> None:
    """Raises YAMLError for aliases, a few lines of which stand for gigabytes, and for what is nested too deeply to be
    metadata, and for a reader that calls itself at each level."""
    depth = 0
    try:
        for event in yaml.parse(text, Loader=LOADER):
            if isinstance(event, yaml.events.AliasEvent):
                raise yaml.YAMLError("aliases (*name) are not supported")
            if isinstance(event, yaml.events.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.events.CollectionEndEvent):
                depth -= 1
            if depth > DEPTH_LIMIT:
                raise yaml.YAMLError(TOO_DEEP)
    except yaml.scanner.ScannerError as error:
        # libyaml reads ahead, and has had a limit of its own since 0.2.6.
        raise yaml.YAMLError(TOO_DEEP) if "nesting depth" in str(error) else error from None


def of_card(card: Card) -> About:
    """What `get_metadata()` gave."""
    said = card.metadata
    home = said.get("home-page") or said.get("url") or ""
    return About(
        title=_line(said.get("title", "")),
        summary=_line(said.get("summary", "")),
        description=str(said.get("description") or "")[:DESCRIPTION_LIMIT],
        license=_line(said.get("license", "")),
        version=_line(said.get("version", "")),
        author=_line(said.get("author", "")),
        links=(("Home page", str(home)),) if is_web(home) else (),
    )


def of_package(core: Mapping[str, Any], version: str) -> About:
    """What the packaging says, as `scanning` tells it."""
    urls = [url.partition(",") for url in core.get("urls") or []]
    links = [(_line(label), url.strip()) for label, _, url in urls if is_web(url.strip())]
    if is_web(home := core.get("homepage") or ""):
        links.insert(0, ("Home page", home))
    keywords = re.split(r"\s*,\s*", core.get("keywords") or "")
    return About(
        summary=_line(core.get("summary") or ""),
        license=_line(core.get("license") or ""),
        version=version,
        author=_line(core.get("author") or ""),
        tags=tuple(_line(keyword) for keyword in keywords if keyword)[:ENTRIES_LIMIT],
        links=tuple(links[:ENTRIES_LIMIT]),
    )


def is_web(address: Any) -> bool:
    """Whether a browser may follow it: no javascript:, no data:, nothing else that runs here."""
    return isinstance(address, str) and re.fullmatch(r"https?://[^\s\x00-\x1f]+", address, re.I) is not None


# Values: of another type than they should be, they are named in `problems` and left out.


def _line(value: Any) -> str:
    return " ".join(str(value if value is not None else "").split())[:CHARS_LIMIT]


def _value(values: Mapping[str, Any], name: str, kind: Any, needed: str, problems: list[str], where: str = "") -> Any:
    """None where there is none, and where it is not of this kind."""
    try:
        return msgspec.convert(values.get(name), kind | None)
    except msgspec.ValidationError:
        problems.append(f"{where}{name} must be {needed}")
        return None


def _text(document: Mapping[str, Any], name: str, problems: list[str], limit: int = CHARS_LIMIT) -> str:
    value = _value(document, name, Text, "text", problems)
    return _line(value) if value is None or limit == CHARS_LIMIT else str(value).strip()[:limit]


def _list(document: Mapping[str, Any], name: str, problems: list[str]) -> tuple[str, ...]:
    values = _value(document, name, list[Text | bool], "a list of texts", problems) or []
    return tuple(dict.fromkeys(map(_line, values)))[:ENTRIES_LIMIT]


def _mapping(document: Mapping[str, Any], name: str, problems: list[str]) -> dict[str, Any]:
    return _value(document, name, dict, "a mapping", problems) or {}


def _urls(links: Mapping[str, Any], problems: list[str]) -> list[tuple[str, str]]:
    addresses = []
    for name, value in list(links.items())[:ENTRIES_LIMIT]:
        if name in NOT_LINKS or value in (None, ""):
            continue
        url = _address(str(name), value)
        if url:
            addresses.append((str(name), url))
        else:
            problems.append(f"links: {_line(name)} is not an http or https address")
    return addresses


def _address(name: str, value: Any) -> str:
    """Where a link leads: an address as it is, the page of an image or a DOI; "" for none."""
    if is_web(value):
        return str(value)
    if name == "docker_image" and (image := IMAGE.fullmatch(str(value))):
        host, path = image["host"], image["path"]
        return f"https://{host}/{path}" if host else f"https://hub.docker.com/r/{path}"
    return f"https://doi.org/{value}" if DOI.fullmatch(str(value)) else ""


def _label(name: Any) -> str:
    words = _line(name).replace("_", " ")
    return words[:1].upper() + words[1:]


def _date(dates: Mapping[str, Any], name: str, problems: list[str]) -> str:
    value = dates.get(name)
    if value in (None, ""):
        return ""
    if isinstance(value, (date, datetime)):
        return value.isoformat()[:10]
    try:
        return date.fromisoformat(str(value)[:10]).isoformat()
    except ValueError:
        problems.append(f"dates: {name} is not a date such as 2026-01-31")
        return ""


def _resources(resources: Mapping[str, Any], problems: list[str]) -> dict[str, dict[str, float]]:
    amounts: dict[str, dict[str, float]] = {}
    for use in ("inference", "training"):
        asked = _mapping(resources, use, problems)
        for name in AMOUNTS:
            amount = _value(asked, name, Amount, "a number", problems, f"resources: {use}: ")
            if amount is not None:
                amounts.setdefault(use, {})[name] = amount
    return amounts
