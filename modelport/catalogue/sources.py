"""Sources of modules that the owner adds while the server runs: folders, Git repositories and catalogues.

Each is a value in the store. What is fetched is kept in `<home>/modules/<id>`, and is there without a network.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import secrets
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct
from yarl import URL

from modelport.catalogue import fetching, listing
from modelport.catalogue.fetching import refuse
from modelport.catalogue.scan import Rows, Source
from modelport.errors import ModelportError, NotFound
from modelport.intake.removal import remove_tree
from modelport.settings import Settings
from modelport.store import Store
from modelport.store.disk import sync
from modelport.store.values import delete_value, get_values, set_value

KEPT = "module-source/"
FOLDER, GIT, CATALOGUE = "folder", "git", "catalogue"
KINDS = (FOLDER, GIT, CATALOGUE)
# A catalogue in the home folder.
COPY = "catalogue"
# What is being made or removed there begins so.
NEW, OLD = ".new-", ".old-"
CATALOGUE_ENDINGS = (".json", ".yml", ".yaml")
SCP = re.compile(r"\w[\w.-]*@\w[\w.-]*:[^\s:-][^\s:]*")


class AddedSource(Struct, frozen=True, kw_only=True):
    """A source of modules that has been added"""

    id: Annotated[str, Meta(description="For the paths here")]
    kind: Annotated[str, Meta(description="A folder or file on the server, a Git repository, or a catalogue")]
    address: str
    path: Annotated[str | None, Meta(description="Where its code is; null: a catalogue has none")]
    fetched: Annotated[str, Meta(description="When it was last read")]
    commit: Annotated[str | None, Meta(description="Of a Git repository, which code is here")] = None
    versions: Annotated[list[str], Meta(description="The tags of a Git repository, the newest first")] = []
    problem: Annotated[str | None, Meta(description="Why it could not be fetched again; the copy is used")] = None


class Sources:
    """changes: grows whenever there is something new to see."""

    def __init__(self, settings: Settings, store: Store, folder: Path) -> None:
        """folder: for what is fetched; it need not exist."""
        self._settings = settings
        self._store = store
        self._folder = folder
        self._sources: dict[str, AddedSource] = {}
        self._entries: dict[str, Rows] = {}
        self._changing = asyncio.Lock()
        self.changes = 0

    def __iter__(self) -> Iterator[AddedSource]:
        return iter(sorted(self._sources.values(), key=lambda source: source.address))

    def get(self, id: str) -> AddedSource:
        """Raises NotFound."""
        if id not in self._sources:
            raise NotFound(f"there is no source of modules with the id {id[:100]}")
        return self._sources[id]

    async def restore(self) -> None:
        for text in (await self._store.read(get_values, KEPT)).values():
            source = msgspec.json.decode(text, type=AddedSource)
            self._sources[source.id] = source
        await asyncio.to_thread(_recover, self._folder, self._sources)

    async def add(self, address: str, kind: str = "") -> AddedSource:
        """One that is there is fetched again. Raises InvalidArguments; then everything is as before."""
        kind = await asyncio.to_thread(_kind, address, kind)
        id = hashlib.sha256(f"{kind}\0{address}".encode("utf-8", "surrogateescape")).hexdigest()[:12]
        async with self._changing:
            return await self._fetch(AddedSource(id=id, kind=kind, address=address, path=None, fetched=""))

    async def remove(self, id: str) -> None:
        """With what was fetched for it. Raises NotFound."""
        async with self._changing:
            self.get(id)
            await self._store.write(delete_value, KEPT + id)
            del self._sources[id]
            self._entries.pop(id, None)
            self.changes += 1
            await asyncio.to_thread(remove_tree, self._folder / id)

    async def refresh(self) -> None:
        """Fetch the catalogues again. Repositories stay as they are: services run from them."""
        async with self._changing:
            await asyncio.gather(*(self._fetch_again(source) for source in self if source.kind == CATALOGUE))

    async def _fetch_again(self, source: AddedSource) -> None:
        try:
            await self._fetch(source)
        except ModelportError as error:
            await self._keep(msgspec.structs.replace(source, problem=error.message))

    @property
    def problems(self) -> list[str]:
        return [f"{source.problem}; the copy of {source.fetched[:10]} is shown" for source in self if source.problem]

    def folders(self) -> list[Source]:
        """Where there is code."""
        return [
            Source(sys.executable, source.address, folder=source.path, versions=tuple(source.versions))
            for source in self
            if source.path
        ]

    async def entries(self) -> Rows:
        """What the catalogues list, as a scan would find it."""
        for source in self:
            if source.kind == CATALOGUE and source.id not in self._entries:
                self._entries[source.id] = await asyncio.to_thread(self._read_copy, source)
        return [row for source in self for row in self._entries.get(source.id, ())]

    # Fetching

    async def _fetch(self, source: AddedSource) -> AddedSource:
        fetch = {FOLDER: self._look, GIT: self._clone, CATALOGUE: self._copy}[source.kind]
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return await self._keep(msgspec.structs.replace(await fetch(source), fetched=now, problem=None))

    async def _keep(self, source: AddedSource) -> AddedSource:
        await self._store.write(set_value, KEPT + source.id, msgspec.json.encode(source).decode())
        self._sources[source.id] = source
        self._entries.pop(source.id, None)
        self.changes += 1
        return source

    async def _look(self, source: AddedSource) -> AddedSource:
        path, limit_s = Path(source.address), self._settings.git_timeout_s
        if not await asyncio.to_thread(path.exists):
            refuse(f"{source.address} does not exist on the server")
        if await asyncio.to_thread(_is_bare, path):
            refuse(
                f"{source.address} is a bare Git repository, which has no files of its own; give the folder of a "
                "clone, or the http, https or ssh address of the repository"
            )
        if not await asyncio.to_thread((path / ".git").exists):
            return msgspec.structs.replace(source, path=str(path))
        commit, versions = await fetching.commit(path, limit_s), await fetching.tags(path, limit_s)
        return msgspec.structs.replace(source, path=str(path), commit=commit, versions=versions)

    async def _clone(self, source: AddedSource) -> AddedSource:
        """The folder has the name of the repository, as a module in it may have."""
        folder = self._folder / source.id
        name = name_of(source.address)
        new = folder / f"{NEW}{secrets.token_hex(4)}"
        await asyncio.to_thread(_prepare, folder)
        try:
            commit, versions = await fetching.clone(source.address, new, self._settings.git_timeout_s)
            await asyncio.to_thread(_replace_folder, new, folder / name)
        finally:
            await asyncio.shield(asyncio.to_thread(remove_tree, new))
        return msgspec.structs.replace(source, path=str(folder / name), commit=commit, versions=versions)

    async def _copy(self, source: AddedSource) -> AddedSource:
        limit = self._settings.catalogue_limit_bytes
        if _is_url(source.address):
            text = await fetching.fetch(source.address, self._settings, limit)
            text = await listing.completed(source.address, text, self._settings, limit)
        else:
            text = await asyncio.to_thread(_read_file, source.address, limit)
        try:
            await asyncio.to_thread(listing.read, text)
        except ValueError as error:
            refuse(f"{source.address} is not a catalogue: {error}")
        await asyncio.to_thread(_write, self._folder / source.id / COPY, text)
        return source

    def _read_copy(self, source: AddedSource) -> Rows:
        here = Source(sys.executable, source.address)
        try:
            entries = listing.read((self._folder / source.id / COPY).read_bytes())
        except (OSError, ValueError):
            return []  # somebody has removed it; Refresh fetches it again
        return [(here, {"name": name, "module": "", "about": said, "document": entry}) for name, entry, said in entries]


def _kind(address: str, chosen: str) -> str:
    """As chosen, or as the address says it. Raises InvalidArguments."""
    kind = _kind_of(address)
    if chosen in ("", kind):
        return kind
    if chosen not in (GIT, CATALOGUE) or not _is_url(address):
        refuse(f"{address} cannot be read as {chosen!r}; leave the kind out")
    return chosen


def _kind_of(address: str) -> str:
    if not address.isprintable():
        refuse(f"{address!r} has non-printable characters; give the address without them")
    if _is_url(address):
        try:
            parts = URL(address)
        except ValueError as error:
            refuse(f"{address} is not a valid address: {error}")
        if parts.scheme not in ("http", "https", "ssh"):
            refuse(f"{address} is not an http or https address")
        if (parts.host or "-").startswith("-") or (parts.user or "").startswith("-"):
            refuse(f"{address} names no host")
        if parts.password or (parts.user and parts.scheme != "ssh"):
            refuse("the address has a user name or password, which would be shown; put them into ~/.netrc")
        return GIT if parts.path.rstrip("/").endswith(".git") or parts.scheme == "ssh" else CATALOGUE
    if SCP.fullmatch(address):
        return GIT
    if not os.path.isabs(address):
        refuse(f"{address} is neither an absolute path on the server nor an http or https address")
    if address.lower().endswith(CATALOGUE_ENDINGS):
        return CATALOGUE
    if os.path.isfile(address) and not address.endswith(".py"):
        refuse(f"{address} is neither a folder, nor a .py file, nor a catalogue ({', '.join(CATALOGUE_ENDINGS)})")
    return FOLDER


def _is_url(address: str) -> bool:
    return re.match(r"[a-z][a-z0-9+.-]*://", address, re.I) is not None


def _read_file(address: str, limit_bytes: int) -> bytes:
    try:
        with open(address, "rb") as file:
            text = file.read(limit_bytes + 1)
    except OSError as error:
        refuse(f"{address} cannot be read on the server: {error.strerror}")
    if len(text) > limit_bytes:
        fetching.too_large(address, limit_bytes)
    return text


def _write(path: Path, text: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_name(f"{NEW}{secrets.token_hex(4)}")
    new.write_bytes(text)
    sync(new)
    new.replace(path)
    sync(path.parent)


def name_of(address: str) -> str:
    """Of the folder of a repository: no other than one in the folder of its source."""
    last = urlsplit(address).path.rstrip("/").removesuffix(".git").rpartition("/")[2].rpartition(":")[2]
    return re.sub(r"[^\w.-]", "_", last).strip(".") or "repository"


def _is_bare(path: Path) -> bool:
    """A repository without a working tree: what lies in its folder is Git's."""
    return (path / "HEAD").is_file() and (path / "objects").is_dir() and (path / "refs").is_dir()


def _recover(folder: Path, sources: Mapping[str, AddedSource]) -> None:
    """After a server that was killed while it fetched or removed something: the code that it had just moved away is put
    back, and what belongs to no source goes."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in sources:
            remove_tree(path)
            continue
        code = path / name_of(sources[path.name].address)
        for old in path.glob(f"{OLD}*"):
            with contextlib.suppress(OSError):
                if not code.exists():
                    old.rename(code)


def _prepare(folder: Path) -> None:
    """Without what a killed server has left there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in (*folder.glob(f"{NEW}*"), *folder.glob(f"{OLD}*")):
        remove_tree(path)


def _replace_folder(new: Path, path: Path) -> None:
    """A folder cannot be renamed over one that is not empty."""
    old = path.with_name(f"{OLD}{secrets.token_hex(4)}")
    if path.exists():
        path.rename(old)
    new.rename(path)
    remove_tree(old)
