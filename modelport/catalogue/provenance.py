"""A module's metadata as documents: JSON with where the code comes from, and JSON-LD by the platform's own tool."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from modelport.catalogue import Catalogue, Module, rows
from modelport.catalogue.about import LINKS, LISTS
from modelport.catalogue.processes import said_by
from modelport.errors import Conflict, DeadlineExceeded, LoadFailed, NotImplementedByModel

TOOL = "ai4-metadata"
OUTPUT_LIMIT_BYTES = 4 << 20


def tool() -> str | None:
    """The program that maps metadata, beside our interpreter or on PATH."""
    return shutil.which(TOOL, path=os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")]))


async def document(catalogue: Catalogue, module: Module) -> dict[str, Any]:
    """The metadata as they are written, or what is known without them; with `provenance`."""
    written = await asyncio.to_thread(rows.document, module.row) or _known(module)
    source = next((source for source in catalogue.sources if source.address == module.origin), None)
    facts = {
        "source": module.origin,
        "commit": source.commit if source is not None else None,
        "fetched": source.fetched if source is not None else None,
        "distribution": module.distribution,
        "version": module.about.version,
        "metadata_from": module.source,
    }
    before = written.get("provenance")
    provenance = {name: fact for name, fact in facts.items() if fact}
    return {**written, "provenance": {**(before if isinstance(before, dict) else {}), **provenance}}


def _known(module: Module) -> dict[str, Any]:
    """By the names of the file."""
    about, labels = module.about, {label: name for name, label in LINKS.items()}
    texts = {name: getattr(about, name) for name in ("summary", "description", "license")}
    links = {labels.get(label, label): url for label, url in about.links}
    lists = {name: getattr(about, attribute) for name, attribute in LISTS.items()}
    return {"title": module.title, **texts, "links": links, **lists}


async def json_ld(metadata: dict[str, Any], timeout_s: float) -> bytes:
    """In the profile MLDCAT-AP. Raises NotImplementedByModel, Conflict, DeadlineExceeded, LoadFailed."""
    program = await asyncio.to_thread(tool)
    if program is None:
        raise NotImplementedByModel(f"JSON-LD needs the program {TOOL} on the server: pip install {TOOL}")
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="metadata-"))
    try:
        file = folder / "ai4-metadata.json"
        await asyncio.to_thread(file.write_bytes, msgspec.json.encode(metadata))
        command = [program, "map", "mldcat-ap", "--output-format", "jsonld", str(file)]
        said = await said_by(command, timeout_s, OUTPUT_LIMIT_BYTES)
    except TimeoutError:
        raise DeadlineExceeded(f"{TOOL} did not end within check_timeout_s, {timeout_s:g} s") from None
    except OSError as error:
        raise LoadFailed(f"{TOOL} cannot be started: {error.strerror or error}") from error
    finally:
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))
    if said.status != 0:
        raise Conflict(f"{TOOL} refuses these metadata; check the module to see what to mend")
    return said.out
