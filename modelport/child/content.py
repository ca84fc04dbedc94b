"""Bytes of an answer: where they come from, how they get to the scratch folder, what they are."""

from __future__ import annotations

import errno
import io
import mimetypes
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, BinaryIO

from modelport.contract.magic import HEAD_BYTES, kind_of
from modelport.errors import ModelFailed, StorageFull

BINARY = "application/octet-stream"
UTF8 = "utf-8"
NAME_CHARS = 255
CHUNK_BYTES = 1 << 20


@dataclass
class Source:
    """Bytes to come: `parts` in memory or made one by one, or a regular file by its descriptor.

    close: closed when all is read, or when reading failed.
    charset: in which text is encoded. kinds: of the parts that were read, `str` or `bytes`.
    """

    parts: Iterable[Any] = ()
    descriptor: int | None = None
    name: str | None = None
    close: Any = None
    charset: str = UTF8
    kinds: set[type] = field(default_factory=set)

    @property
    def was_text(self) -> bool:
        """Whether all that was read was text, which we encoded."""
        return self.kinds == {str}

    def done(self) -> None:
        if callable(getattr(self.close, "close", None)):
            self.close.close()


def of_descriptor(descriptor: int, name: Any) -> Source:
    """A regular file that was opened for this; the source closes it."""
    return Source(descriptor=descriptor, name=basename(name), close=os.fdopen(descriptor, "rb"))


def of_path(path: str | bytes) -> Source:
    try:
        file = open(path, "rb")  # noqa: SIM115 the source closes it when it is read
    except OSError as error:
        raise ModelFailed(f"the model returned a file that cannot be read: {os.strerror(error.errno or 0)}") from error
    return of_file(file)


def of_file(file: Any) -> Source:
    """Everything in a file-like object from its start, wherever its position is; a deleted file too."""
    name = basename(getattr(file, "name", None))
    if isinstance(file, (io.BytesIO, io.StringIO)):
        return Source(parts=[file.getvalue()], name=name)  # left open: a plugin may keep it for its next answer
    if getattr(file, "closed", False):
        # `with open(…) as f: return f` works with deepaas, which reopens by name.
        if isinstance(getattr(file, "name", None), (str, bytes)) and os.path.isfile(file.name):
            return of_path(file.name)
        raise ModelFailed("the model returned a file that is closed and gone")
    descriptor = _descriptor(file)
    if descriptor is not None:
        return Source(descriptor=descriptor, name=name, close=file)
    if callable(getattr(file, "seek", None)) and (not hasattr(file, "seekable") or file.seekable()):
        file.seek(0)
    return Source(parts=iter(lambda: file.read(CHUNK_BYTES) or b"", b""), name=name, close=file)


def _descriptor(file: Any) -> int | None:
    """The descriptor whose bytes are the file's own: not that of a decompressor, a pipe or a socket."""
    below = getattr(file, "file", file)  # tempfile's wrapper
    if isinstance(below, io.TextIOBase):
        below = getattr(below, "buffer", below)
    raw = getattr(below, "raw", below)
    if not isinstance(raw, io.FileIO):
        return None
    if file.writable():
        file.flush()
    return raw.fileno() if stat.S_ISREG(os.fstat(raw.fileno()).st_mode) else None


def basename(name: Any) -> str | None:
    """The last part of a file's own name; a temporary file without a name has its descriptor there."""
    if isinstance(name, (bytes, os.PathLike)):
        name = os.fsdecode(name)
    if not isinstance(name, str):
        return None
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(char for char in last if char.isprintable())[:NAME_CHARS] or None


def put(source: Source, scratch: str, inline_limit_bytes: int) -> tuple[bytes, str | None]:
    """(body, None), or (b"", path of a file in `scratch`) for more than `inline_limit_bytes`.

    Raises StorageFull, ModelFailed.
    """
    try:
        if source.descriptor is not None:
            return _put_file(source.descriptor, scratch, inline_limit_bytes)
        return _put_parts(_bytes(source), scratch, inline_limit_bytes)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull("there is no room for the answer on the disk") from error
        raise


def _bytes(source: Source) -> Iterator[bytes]:
    for part in source.parts:
        if isinstance(part, str):
            source.kinds.add(str)
            yield _encoded(part, source.charset)
        elif isinstance(part, (bytes, bytearray, memoryview)):
            source.kinds.add(bytes)
            yield bytes(part)
        else:
            raise ModelFailed(f"one of the parts that the model returned is {type(part).__name__}, not bytes or text")


def _encoded(text: str, charset: str) -> bytes:
    try:
        return text.encode(charset, "surrogateescape" if charset == UTF8 else "strict")
    except (LookupError, UnicodeEncodeError) as error:
        if charset == UTF8:
            return text.encode(UTF8, "backslashreplace")
        raise ModelFailed(f"the answer cannot be written with charset={charset}, which was asked for") from error


def _put_parts(parts: Iterator[bytes], scratch: str, inline_limit_bytes: int) -> tuple[bytes, str | None]:
    kept, size = [], 0
    for part in parts:
        kept.append(part)
        size += len(part)
        if size > inline_limit_bytes:
            break
    else:
        return kept[0] if len(kept) == 1 else b"".join(kept), None
    with _spill(scratch) as (path, file):
        file.writelines(chain(kept, parts))
    return b"", path


def _put_file(descriptor: int, scratch: str, inline_limit_bytes: int) -> tuple[bytes, str | None]:
    # Opened anew, at its start: also where the plugin's own is for writing, or the file has no name any more.
    name = f"/proc/self/fd/{descriptor}"
    with open(name, "rb") as source:
        if os.fstat(source.fileno()).st_size <= inline_limit_bytes:
            return source.read(), None
    with _spill(scratch) as (path, _):
        shutil.copyfile(name, path)
    return b"", path


@contextmanager
def _spill(scratch: str) -> Iterator[tuple[str, BinaryIO]]:
    """A new file in the scratch folder; gone again if writing it fails."""
    os.makedirs(scratch, mode=0o700, exist_ok=True)
    descriptor, path = tempfile.mkstemp(prefix="answer-", dir=scratch)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield path, file
    except BaseException:
        os.unlink(path)
        raise


def head(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(HEAD_BYTES)


def guess(start: bytes, name: str | None, content_type: str | None) -> str:
    """The media type of an answer that begins with `start`.

    content_type: None, or a range such as `image/*`, within which the guess must lie.
    """
    by_name = mimetypes.guess_type(name)[0] if name else None
    known = kind_of(start)
    by_bytes = known[0] if known else None
    for kind in (by_name, by_bytes) if content_type is None else (by_bytes, by_name):
        if kind and (content_type is None or kind.startswith(content_type.partition("*")[0])):
            return kind
    return BINARY
