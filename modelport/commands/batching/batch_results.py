"""The folder of a batch's results: for each input <stem>.json, or another ending, and last <stem>.log."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from modelport.commands.batching.batch_journal import Entry
from modelport.commands.batching.batch_names import JSON, LOG, ending

# Unfinished files lie in the folder itself, so that what a command that was killed has left is found.
PART = ".modelport-*.part"


class Results:
    """Every file appears under its name when it is whole, and on the disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def clean(self) -> None:
        """Remove what a command that was killed has left. Only while no other writes here."""
        for each in self.folder.glob(PART):
            each.unlink(missing_ok=True)

    def has(self, entry: Entry) -> bool:
        """Whether the answer of this input is here."""
        return bool(entry.result) and self._path(entry.result).is_file() and self.log_path(entry).is_file()

    def log_path(self, entry: Entry) -> Path:
        return self._path(f"{entry.stem}.{LOG}")

    def _path(self, name: str) -> Path:
        return self.folder / name

    def remove(self, entry: Entry) -> None:
        """What an earlier run has given: it is not what this one gives."""
        if entry.result:
            self._path(entry.result).unlink(missing_ok=True)
        self.log_path(entry).unlink(missing_ok=True)

    async def write_answer(self, entry: Entry, media_type: str, filename: str, chunks: AsyncIterator[bytes]) -> str:
        """The name of the file. filename: as the model called it. JSON gets a last newline."""
        kind = ending(media_type, filename)
        name = f"{entry.stem}.{kind}"
        last = b"\n"
        async with self._appearing(self._path(name)) as file:
            async for chunk in chunks:
                await asyncio.to_thread(file.write, chunk)
                last = chunk[-1:] or last
            if kind == JSON and last != b"\n":
                file.write(b"\n")
        return name

    async def write_log(self, entry: Entry, log: bytes) -> None:
        async with self._appearing(self.log_path(entry)) as file:
            await asyncio.to_thread(file.write, log)

    @contextlib.asynccontextmanager
    async def _appearing(self, path: Path) -> AsyncIterator[BinaryIO]:
        """Raises OSError."""
        beside = self.folder / PART.replace("*", secrets.token_hex(8))

        def opened() -> BinaryIO:
            path.parent.mkdir(parents=True, exist_ok=True)
            return beside.open("xb")

        def ended(file: BinaryIO) -> None:
            file.flush()
            os.fsync(file.fileno())
            beside.replace(path)

        try:
            with await asyncio.to_thread(opened) as file:
                yield file
                await asyncio.to_thread(ended, file)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
