"""Which files belong to a call: the answer may name a file, and only one that this very call wrote is read.

A model may echo what its client sent, so a text that happens to name a file proves nothing. These do:

    in the call's scratch folder, which is its temporary folder too     always
    in the worker's own working folder                                  changed since the call began
    elsewhere                                                           the same; and it is this user's, the client did
                                                                        not send its name, and the server's home (but
                                                                        for TMPDIR), /proc, /sys, /dev are out of reach
"""

from __future__ import annotations

import functools
import os
import shutil
import stat
import sys
import tempfile
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Iterator

from modelport.child import failures
from modelport.errors import ModelFailed

PATH_CHARS = 4096
SHOWN_CHARS = 200
OUT_OF_REACH = ("/proc", "/sys", "/dev")
REMEDY = "return its bytes, the open file, or the path of a file that predict() itself writes with `tempfile`"


def file_clock_ns() -> int:
    """Now, on the clock that gives files their times: Linux stamps them with its coarse one, which lags behind."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_REALTIME_COARSE", 5))


@dataclass(frozen=True)
class OwnFiles:
    """A call's own.

    scratch: its folder; "" for none. work: the working folder, where that is this worker's alone. temporary: the
    deployment's folder for temporary files. home: the server's, where other calls' files are.
    shared: the temporary folder of a batch; its files are any of its calls', except one whose client sent their name.
    since_ns: when the call began, by `file_clock_ns`. sent: the texts that came from the client.
    """

    scratch: str = ""
    work: str = ""
    temporary: str = ""
    home: str = ""
    shared: str = ""
    since_ns: int = field(default_factory=file_clock_ns)
    sent: Callable[[], Iterator[str]] = lambda: iter(())

    def in_scratch(self, text: str) -> str | None:
        """The real path, where `text` is the path of a regular file in the call's own folder, links resolved."""
        if not self.scratch or len(text) > PATH_CHARS or not os.path.isabs(text) or "\0" in text:
            return None
        real = os.path.realpath(text)
        return real if self._is_home(real) and self._refusal(text, real) is None else None

    def _is_home(self, real: str) -> bool:
        return any(folder and _within(real, folder) for folder in (self.scratch, self.shared))

    def open(self, text: str, asked: str) -> int:
        """A descriptor of the file that `text` names. Raises ModelFailed where this call did not write it.

        The message is the same for every reason, so that nobody learns which files exist; the log says more.
        """
        try:
            real = os.path.realpath(text)
            reason = self._refusal(text, real)
            if reason is None:
                descriptor = _open_regular(real)
                if os.path.realpath(f"/proc/self/fd/{descriptor}") == real:
                    return descriptor
                os.close(descriptor)
                reason = "it was replaced meanwhile"
        except (OSError, ValueError) as error:
            reason = str(error)
        failures.log(f"the answer names the file {text!r}, which is not sent: {reason}")
        raise ModelFailed(
            f"the model returned the path {text[:SHOWN_CHARS]!r} where {asked} was asked for, and this call wrote no "
            f"file of that name; {REMEDY}"
        )

    def open_object(self, path: str | bytes) -> int:
        """The same for a path that is no text but an object which says so: any file, except another call's."""
        try:
            real = os.path.realpath(os.fsdecode(path))
            if self.scratch and _within(real, os.path.dirname(self.scratch)) and not self._is_home(real):
                raise ModelFailed(f"the model returned a file of another call; {REMEDY}")
            return _open_regular(real)
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise ModelFailed(f"the model returned a file that cannot be read: {reason}") from error

    def _refusal(self, text: str, real: str) -> str | None:
        """Why this file is not the call's own; None where it is."""
        status = os.lstat(real)
        if not stat.S_ISREG(status.st_mode):
            return "it is not a regular file"
        if status.st_nlink > 1:
            return "it has another name (a hard link)"
        if self.shared and _within(real, self.shared):
            return self._named_by_client(text, real)
        if self.scratch and _within(real, self.scratch):
            return None
        if status.st_ctime_ns < self.since_ns:
            return "it has not changed since the call began"
        if self.work and _within(real, self.work):
            return None
        return self._refusal_elsewhere(text, real, status)

    def _refusal_elsewhere(self, text: str, real: str, status: os.stat_result) -> str | None:
        named = os.path.abspath(text)
        if os.path.islink(named) or any(_within(named, folder) for folder in (self.scratch, self.work) if folder):
            return "it is a link that leads out of the call's folders"
        temporary = self.temporary and _within(real, self.temporary)
        if not temporary and any(_within(real, folder) for folder in (*OUT_OF_REACH, self.home) if folder):
            return "it is not the model's"
        if status.st_uid != os.geteuid():
            return "it belongs to another user"
        return self._named_by_client(text, real)

    def _named_by_client(self, text: str, real: str) -> str | None:
        names = (text, os.path.abspath(text), real)
        return "its name came from the client" if any(name in sent for sent in self.sent() for name in names) else None


def names_a_file(text: str) -> bool:
    """Whether an answer that should be something else than text is meant as a path."""
    if not text or len(text) > PATH_CHARS or "\0" in text or len(text.splitlines()) > 1:
        return False
    return os.path.isabs(text) or os.path.lexists(text)


def _within(path: str, folder: str) -> bool:
    real = os.path.realpath(folder)
    return path == real or path.startswith(real.rstrip(os.sep) + os.sep)


def _open_regular(path: str) -> int:
    """Never waits for the other end of a pipe, nor touches a device."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ModelFailed(f"the model returned a path that is not a regular file; {REMEDY}")
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise ModelFailed(f"the model returned a path that is not a regular file; {REMEDY}")


def texts(value: Any) -> Iterator[str]:
    """All texts in what a client sent."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from texts(item)


# Temporary files


class _Unmade(str):
    """The folder of a call, which is made when `tempfile` is first asked for it: most calls need none, and on some file
    systems making and removing one takes longer than all the rest of a quick call."""

    usual = ""
    path = ""  # where it has been made

    def make(self) -> str:
        """Where the call's folder is on another file system, a file could not be moved from there to the working
        folder: then one in `usual`; and on a full disk that itself."""
        try:
            os.makedirs(self, mode=0o700, exist_ok=True)
            same = os.stat(self).st_dev == os.stat(self.usual).st_dev
            self.path = str(self) if same else tempfile.mkdtemp(prefix="call-", dir=self.usual)
        except OSError:
            return self.usual
        return self.path


def lead_tempfile() -> None:
    """Let `tempfile` make the call's folder. Before a plugin is imported, which may keep these functions."""
    for name in ("gettempdir", "gettempdirb"):
        setattr(tempfile, name, _making(getattr(tempfile, name)))


def _making(ask: Callable[[], Any]) -> Callable[[], Any]:
    @functools.wraps(ask)
    def make_and_ask() -> Any:
        if type(tempfile.tempdir) is _Unmade:
            tempfile.tempdir = tempfile.tempdir.make()
        return ask()

    make_and_ask.makes = True  # type: ignore[attr-defined]
    return make_and_ask


class TemporaryFolder:
    """During a call, `tempfile` makes its files in the call's own folder, and they go with the call.

    usual: the worker's folder for temporary files. A plugin that has set another one keeps it.
    """

    def __init__(self, scratch: str, usual: str) -> None:
        self._scratch, self._usual = scratch, usual
        self._own = _Unmade(scratch)
        self._own.usual = usual

    @property
    def made(self) -> bool:
        """Whether there was need of it."""
        return bool(self._own.path)

    def __enter__(self) -> TemporaryFolder:
        self._before: Any = tempfile.tempdir
        if self._before not in (None, self._usual):
            self._scratch = ""
        if self._scratch:
            tempfile.tempdir = self._own if hasattr(tempfile.gettempdir, "makes") else self._own.make()
            _keep_multiprocessing_out(self._own, self._usual)
        return self

    def __exit__(self, *_: object) -> None:
        if not self._scratch:
            return
        if tempfile.tempdir in (self._own, self._own.path, self._usual):
            tempfile.tempdir = self._before
        _keep_multiprocessing_out(self._own.path, self._usual)
        if self._own.path:
            _remove(self._own.path, self._scratch)


def _keep_multiprocessing_out(own: str, usual: str) -> None:
    """It makes one folder for all its sockets, when it first needs one: that must outlive the call."""
    process = sys.modules.get("multiprocessing.process")
    if process is not None:
        config = process.current_process()._config
        if config.get("tempdir") is None or _within(os.path.realpath(config["tempdir"]), own or usual):
            config["tempdir"] = usual


def _remove(own: str, scratch: str) -> None:
    if own != scratch:
        shutil.rmtree(own, ignore_errors=True)
    try:
        os.rmdir(scratch)  # most calls leave nothing there
    except OSError:
        pass  # files of the call, or its answer: whoever made the call removes the folder
