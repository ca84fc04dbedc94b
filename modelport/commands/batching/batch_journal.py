"""What a batch has done so far: a small file in its folder of results, from which the same command goes on.

Each line is a JSON object. The first names the batch; every other is all that is known of one input at that time, the
last one of an input counts. Lines are only ever added, so that a command that is killed loses at most the end of one,
and that costs nothing: what is sent a second time has the same key, and is not run a second time.
"""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import click

from modelport.commands.batching.batch_names import Stems

NAME = ".modelport-batch"
SUCCEEDED, FAILED = "succeeded", "failed"


@dataclass(slots=True)
class Entry:
    """One input.

    stem: of its results. stamp: of the file and of the arguments that it was sent with.
    job: the id under which it was accepted. ended: succeeded, failed, or empty while neither.
    result: the name of the file with the answer. runs: how often it was sent again after it had failed.
    """

    stem: str
    stamp: str = ""
    job: str = ""
    ended: str = ""
    result: str = ""
    runs: int = 0


_FIELDS = frozenset(each.name for each in dataclasses.fields(Entry))


class Journal:
    """The file, held by one command at a time. batch: the name of the batch, which nobody else's has."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError, click.UsageError where another command holds it."""
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / NAME
        self._file = open(self._path, "ab", buffering=0)  # noqa: SIM115
        self._whole = True  # whether the last line is
        self._stems = Stems()
        self._entries: dict[str, Entry] = {}
        self.batch = ""
        try:
            _lock(self._file, folder)
            self._read()
        except BaseException:
            self._file.close()
            raise

    def __len__(self) -> int:
        return len(self._entries)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def begin_anew(self) -> None:
        """Forget how everything ended, but not what its results are called."""
        self._begin()
        for path, entry in self._entries.items():
            self.note(path, Entry(entry.stem, result=entry.result))

    def entry(self, path: str, name: str) -> Entry:
        """What is known of an input; a new one gets its stem. name: see `Input`."""
        found = self._entries.get(path)
        if found is None:
            found = Entry(self._stems.give(name))
            self.note(path, found)
        return found

    def note(self, path: str, entry: Entry) -> None:
        """Raises OSError."""
        self._entries[path] = entry
        known = {name: value for name, value in dataclasses.asdict(entry).items() if value}
        self._write({"file": path, **known})

    def _begin(self) -> None:
        self.batch = secrets.token_hex(8)
        self._write({"batch": self.batch})

    def _write(self, row: dict[str, Any]) -> None:
        # Escaped, so that a name that is no UTF-8 can be written as well.
        line = (b"" if self._whole else b"\n") + json.dumps(row).encode() + b"\n"
        self._whole = False
        if self._file.write(line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        self._whole = True

    def _read(self) -> None:
        with self._path.open("rb") as file:
            for line in file:
                self._whole = line.endswith(b"\n")
                row = _row(line)
                if "batch" in row:
                    self.batch = str(row["batch"])
                elif "file" in row and "stem" in row:
                    self._entries[row.pop("file")] = _entry(row)
        for entry in self._entries.values():
            self._stems.keep(entry.stem)
        if not self.batch:
            self._begin()


def _row(line: bytes) -> dict[str, Any]:
    """Nothing where the line was cut off."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _entry(row: dict[str, Any]) -> Entry:
    """Without what a later version may have written."""
    return Entry(**{name: value for name, value in row.items() if name in _FIELDS})


def _lock(file: BinaryIO, folder: Path) -> None:
    """Held until the file is closed, also by our end. Raises click.UsageError."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise click.UsageError(f"another `modelport batch` writes to {folder} at this moment") from error
    except OSError:
        pass  # a disk without locks
