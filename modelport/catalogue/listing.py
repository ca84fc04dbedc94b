"""What a catalogue lists: its text, read and completed."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import msgspec
import yaml

from modelport.catalogue import about, fetching
from modelport.catalogue.about import About
from modelport.errors import ModelportError
from modelport.settings import Settings

ENTRIES_LIMIT = 5000
FETCHES_AT_ONCE = 8


def read(text: bytes) -> list[tuple[str, dict[str, Any], About]]:
    """(name, metadata, what they say) of each module.

    The text is a list of metadata, as the platform's API answers it, a mapping from names to metadata, or either under
    `modules`. Raises ValueError.
    """
    document = _parsed(text)
    if isinstance(document, dict) and "modules" in document:
        document = document["modules"]
    if isinstance(document, dict):
        document = [{"id": name, **entry} for name, entry in document.items() if isinstance(entry, dict)]
    if not isinstance(document, list) or not document:
        raise ValueError("it has no list of modules")
    if len(document) > ENTRIES_LIMIT:
        raise ValueError(f"it lists {len(document)} modules; at most {ENTRIES_LIMIT} are read")
    entries = [entry for entry in document if isinstance(entry, dict) and name_of(entry)]
    if len(entries) < len(document):
        raise ValueError("each of its modules must be an object with an id or a name, and a title")
    return [(name_of(entry), entry, about.of_document(entry)[0]) for entry in entries]


def name_of(entry: dict[str, Any]) -> str:
    return str(entry.get("id") or entry.get("name") or "")[: about.CHARS_LIMIT] if entry.get("title") else ""


def _parsed(text: bytes) -> Any:
    """JSON, or YAML. Raises ValueError."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        try:
            about.check_shape(text.decode())
            return yaml.load(text, Loader=about.LOADER)  # noqa: S506 (a SafeLoader)
        except (yaml.YAMLError, RecursionError) as error:
            raise ValueError(f"it is neither JSON nor YAML: {' '.join(str(error).split())[:200]}") from None


async def completed(address: str, text: bytes, settings: Settings, limit_bytes: int) -> bytes:
    """The platform's list has no descriptions and links: they are in a document of each module beside it.

    Where these cannot be fetched within the limits, the list has to do. limit_bytes: of all together.
    """
    base, _, last = address.rpartition("/")
    try:
        entries = msgspec.json.decode(text, type=list[dict[str, Any]])
    except (msgspec.DecodeError, RecursionError):
        return text
    if last != "detail":
        return text
    documents = _Documents(base, settings, limit_bytes - len(text))
    try:
        async with asyncio.timeout(settings.catalogue_timeout_s), asyncio.TaskGroup() as tasks:
            for entry in entries[:ENTRIES_LIMIT]:
                if "links" not in entry and name_of(entry):
                    tasks.create_task(documents.complete(entry))
    except TimeoutError:
        pass
    return msgspec.json.encode(entries)


class _Documents:
    """Those of single modules, at the platform."""

    def __init__(self, base: str, settings: Settings, limit_bytes: int) -> None:
        self._base = base
        self._settings = settings
        self._left_bytes = limit_bytes
        self._turn = asyncio.Semaphore(FETCHES_AT_ONCE)

    async def complete(self, entry: dict[str, Any]) -> None:
        address = f"{self._base}/{quote(name_of(entry), safe='')}/metadata"
        async with self._turn:
            try:
                text = await fetching.fetch(address, self._settings, max(self._left_bytes, 0))
                self._left_bytes -= len(text)
                entry.update(msgspec.json.decode(text, type=dict[str, Any]))
            except (ModelportError, msgspec.DecodeError, RecursionError):
                pass
