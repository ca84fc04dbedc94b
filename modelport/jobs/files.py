"""The files of jobs: what came with them, and large answers. Each job that has any has a folder of its own.

What is in a folder is on the disk before the store speaks of it. An attempt gets copies of the inputs: a model may
change or delete what it is given, and the next attempt must find what was sent. Where the file system can share
blocks (btrfs, XFS) a copy costs nothing.

All functions here wait for the disk: call them in a thread.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from modelport.contract.job import JobFile
from modelport.contract.prediction import Call, InputFile
from modelport.errors import DISK_FULL, ModelportError, StorageFull
from modelport.intake.removal import remove_tree
from modelport.intake.scratch import open_answer
from modelport.objectstore.files import NEW_FLAGS, clone
from modelport.store.disk import sync

ANSWER = "answer-"


class JobFolders:
    """The folders below `root`, each named by its job's id."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, job_id: str, stored: str) -> Path:
        return self._root / job_id / stored

    def take(self, job_id: str, call: Call) -> tuple[tuple[JobFile, ...], int]:
        """Move a call's files here: (the files, their bytes together). Raises StorageFull; then nothing is left."""
        with self._new(job_id) as folder:
            stored: dict[str, str] = {}
            for file in call.files:
                if file.path not in stored:
                    stored[file.path] = f"{len(stored)}-{os.path.basename(file.path)}"
                    _move(Path(file.path), folder / stored[file.path], own=Path(call.scratch))
            size = _size(folder)
        files = (JobFile(e.argument, stored[e.path], e.name, e.content_type, e.filename, e.value) for e in call.files)
        return tuple(files), size

    def link(self, old_id: str, new_id: str, files: tuple[JobFile, ...]) -> int:
        """The same files for another job, which takes no room: nobody writes to them. Returns their bytes.

        Raises StorageFull, ModelportError where they have gone.
        """
        with self._new(new_id) as folder:
            stored = {file.stored for file in files}
            for path in stored:
                try:
                    os.link(self.path(old_id, path), folder / path)
                except FileNotFoundError as error:
                    raise ModelportError(f"the files of job {old_id} have gone") from error
            return _size(folder)

    @contextlib.contextmanager
    def _new(self, job_id: str) -> Iterator[Path]:
        folder = self._root / job_id
        try:
            if not self._root.is_dir():
                self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
                sync(self._root.parent)
            folder.mkdir(mode=0o700)
            yield folder
            for path in folder.iterdir():
                sync(path)
            sync(folder)
            sync(self._root)
        except BaseException as error:
            remove_tree(folder)
            if isinstance(error, OSError):
                raise _no_room("the job's files", error) from error
            raise

    def lend(self, job_id: str, files: tuple[JobFile, ...], scratch: Path) -> list[InputFile]:
        """Copies of a job's files in an attempt's scratch folder. Raises StorageFull, ModelportError."""
        lent = {}
        try:
            scratch.mkdir(mode=0o700, exist_ok=True)
            for path in {file.stored for file in files}:
                # By the name that it had: a plugin may look at its suffix, as it would in a synchronous call.
                own = scratch / path.partition("-")[2]
                lent[path] = str(scratch / path if own.exists() else own)
                _copy(self.path(job_id, path), lent[path])
        except FileNotFoundError as error:
            raise ModelportError("a file that came with the job has gone") from error
        except OSError as error:
            raise _no_room("a copy of the job's files", error) from error
        return [InputFile(e.argument, lent[e.stored], e.name, e.content_type, e.filename, e.value) for e in files]

    def keep_answer(self, job_id: str, attempt: int, answer: bytes | str) -> str:
        """Keep an answer: its name in the job's folder. What an earlier attempt may have left goes."""
        for path in (self._root / job_id).glob(f"{ANSWER}*"):
            with contextlib.suppress(OSError):
                path.unlink()
        self.keep(job_id, name := f"{ANSWER}{attempt}", answer, "the job's answer")
        return name

    def keep(self, job_id: str, stored: str, content: bytes | str, what: str) -> int:
        """Keep bytes, or a file that the model gave away and that is moved, durably in the job's folder: the size.

        Raises StorageFull, ModelFailed.
        """
        target = self.path(job_id, stored)
        try:
            new = not target.parent.is_dir()
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if isinstance(content, bytes):
                with open(os.open(target, NEW_FLAGS, 0o600), "wb") as file:
                    file.write(content)
            else:
                open_answer(content).close()
                _move(Path(content), target, own=Path(content).parent)
            for path in (target, target.parent, *([self._root] if new else [])):
                sync(path)
            return target.stat().st_size
        except OSError as error:
            raise _no_room(what, error) from error

    def remove_file(self, job_id: str, stored: str) -> None:
        """It need not exist."""
        self.path(job_id, stored).unlink(missing_ok=True)

    def drop(self, job_id: str, stored: str, path: str) -> None:
        """What there is of an artifact that is not kept. path: where the model gave it away."""
        self.remove_file(job_id, stored)
        with contextlib.suppress(OSError):  # the model may have put a folder there
            os.unlink(path)

    def remove(self, *job_ids: str) -> None:
        """They need not exist."""
        for job_id in job_ids:
            remove_tree(self._root / job_id)

    def names(self) -> list[str]:
        """The ids of jobs that have folders."""
        try:
            return [entry.name for entry in os.scandir(self._root)]
        except FileNotFoundError:
            return []


def digest(content: bytes, call: Call) -> bytes:
    """Of what a job is made of: `content`, which says all but the files, and the content of the files."""
    whole = hashlib.sha256(content)
    for input_file in call.files:
        with open(input_file.path, "rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.digest()


def _size(folder: Path) -> int:
    """Of the files in it together."""
    return sum(room(path.stat().st_size) for path in folder.iterdir())


def room(size_bytes: int) -> int:
    """What a file counts as. An empty one is a byte, too: what takes room has a folder that must go."""
    return max(size_bytes, 1)


def _no_room(what: str, error: OSError) -> StorageFull:
    full = error.errno in DISK_FULL
    return StorageFull(f"there is no room for {what}" if full else f"{what} cannot be stored: {error.strerror}")


def _move(source: Path, target: Path, *, own: Path) -> None:
    """`source` at `target`, beside which it may lie on another file system. Only from its own folder it is moved."""
    if source.parent == own and not source.is_symlink():
        try:
            source.rename(target)
            return
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
    _copy(source, str(target))


def _copy(source: Path, target: str) -> None:
    with open(source, "rb") as file:
        clone(file.fileno(), target)
