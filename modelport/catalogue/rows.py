"""What scans and catalogues have found, row by row: which rows count, and what is said in them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from modelport.catalogue import about as abouts
from modelport.catalogue.about import About
from modelport.catalogue.scan import Rows, Source
from modelport.contract.card import Card
from modelport.contract.naming import same_name
from modelport.deployments.deployments import Deployment

# Under which a catalogue may know a module.
NAMES = ("name", "distribution")


def said(row: dict[str, Any], card: Card | None) -> tuple[About, str, list[str]]:
    """What is said of a module, the source of most of it, and what is wrong with that."""
    if "about" in row:
        return row["about"], "the catalogue", []
    package = row.get("package") or {}
    about, source = About(), "package"
    problems: list[str] = []
    if card is not None:
        about, source = abouts.of_card(card), "get_metadata()"
        problems += [f"get_metadata() failed: {card.metadata_error}"] if card.metadata_error else []
    if row.get("problem"):
        problems.insert(0, f"{Path(row['file']).name} {row['problem']}")
    elif "text" in row:
        written, wrong = abouts.of_file(row["text"])
        about, source = written.filled_by(about), Path(row["file"]).name
        problems = [*(f"{source}: {problem}" for problem in wrong), *problems]
    about = about.filled_by(abouts.of_package(package, str(row.get("version") or "")))
    return about.filled_by(About(description=readme(row))), source, problems


def readme(row: dict[str, Any]) -> str:
    return str((row.get("package") or {}).get("description") or "")


def document(row: dict[str, Any]) -> dict[str, Any]:
    """The metadata as they are written, as JSON can say them; none where they cannot be read.

    Some milliseconds: call it in a thread.
    """
    text = row.get("text", "")
    try:
        abouts.check_shape(text)
        written = row.get("document") or yaml.load(text, Loader=abouts.LOADER)  # noqa: S506 (a SafeLoader)
        # YAML has dates, and keys that are no text.
        plain = json.loads(json.dumps(written, default=str, skipkeys=True))
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return plain if isinstance(plain, dict) else {}


def once(scanned: Rows) -> Rows:
    """Without the folders of modules that are installed: the installation has what they need. And without what
    catalogues list, where the code is here."""

    def point(row: dict[str, Any]) -> tuple[str, Any, Any]:
        return same_name(str(row.get("distribution", ""))), row["name"], row.get("value")

    installed = [row for source, row in scanned if source.folder is None]
    folders = {os.path.realpath(str(row["folder"])) for row in installed if row.get("folder")}
    points = {point(row) for row in installed if row.get("distribution")}

    def is_installed(row: dict[str, Any]) -> bool:
        return os.path.realpath(str(row["module"])) in folders or point(row) in points

    repositories = {_plain(source.label) for source, row in scanned if row["module"]}
    here = {same_name(str(row[name])) for _, row in scanned if row["module"] for name in NAMES if row.get(name)}

    def is_known(source: Source, row: dict[str, Any]) -> bool:
        if not row["module"]:
            return same_name(str(row["name"])) in here or _plain(row["about"].repository) in repositories
        return source.folder is not None and is_installed(row)

    return [(source, row) for source, row in scanned if not is_known(source, row)]


def _plain(address: str) -> str:
    """Equal for addresses of one repository."""
    return address.rstrip("/").removesuffix(".git").lower()


def with_named(scanned: Rows, deployments: Iterable[Deployment]) -> Rows:
    """With the modules that are named on the command line, wherever they are, marked."""
    named = {deployment.spec.module: deployment.name for deployment in deployments if deployment.row is None}
    rows = [(source, {**row, "named": source.python is None and row["module"] in named}) for source, row in scanned]
    known = {row["module"] for _, row in rows if row["named"]}
    source = Source(sys.executable, "command line")
    return rows + [
        (source, {"name": name, "module": module, "named": True})
        for module, name in named.items()
        if module not in known
    ]


def read_files(rows: Iterable[dict[str, Any]]) -> None:
    """So that they are known when a page asks."""
    for row in rows:
        if "text" in row:
            abouts.of_file(row["text"])
