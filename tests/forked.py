"""Processes of this Python that are there at once: forks of one that has imported modelport and has done nothing else.

`Forked` is a `subprocess.Popen` for command lines that this interpreter runs: `modelport …` and every other script of
ours, `python -c …` and `python -m …`. To start Python and to import a server takes a second of a processor's time, and
the tests would do it many hundreds of times. What comes of it is a process like any other, a child of the test's own,
with its own streams, environment, working folder and session, that runs the same script; only the imports are
inherited. What a Python can be told at its start alone (PYTHONDEVMODE, another locale) is started as usual; that
starting works, and what is imported then, is tested without it.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import gc
import importlib
import inspect
import io
import json
import os
import platform
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NoReturn

# The number of the system call clone, where the first of its arguments are the flags.
CLONE = {"x86_64": 56, "aarch64": 220}
CLONE_PARENT = 0x00008000

# Taken from the environment by the fork itself; any other PYTHON… is for a Python that starts.
READ_HERE = ("PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE")
AT_START = ("PYTHON", "LC_", "LANG")

IMPORTED = ("modelport.cli", "modelport.server", "modelport.commands.serve", "modelport.commands.deepaas_run")
GROUPS = ("modelport.frontends", "modelport.executors")

# What Popen gives to what starts its process.
GIVEN = tuple(inspect.signature(vars(subprocess.Popen)["_execute_child"]).parameters)[1:]


class Forked(subprocess.Popen[Any]):
    def _execute_child(self, *values: Any) -> None:
        given = dict(zip(GIVEN, values, strict=True))
        environ = dict(os.environ if given["env"] is None else given["env"])
        if not can_be_forked(given, environ):
            super()._execute_child(*values)  # type: ignore[misc]
            return
        order = {
            "args": [os.fspath(argument) for argument in given["args"]],
            "folder": os.fspath(given["cwd"] or os.getcwd()),
            "environ": environ,
            "session": given["start_new_session"],
        }
        pipes = [given[name] for name in GIVEN[GIVEN.index("p2cread") :][:6]]
        streams = [end if end != -1 else number for number, end in enumerate((pipes[0], pipes[3], pipes[5]))]
        self.pid = mother().fork(order, streams)
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]


def completed(args: Sequence[str], *, timeout_s: float, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """As subprocess.run with capture_output: the command has ended, whatever its status."""
    with Forked(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options) as process:
        try:
            out, err = process.communicate(timeout=timeout_s)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(args, process.returncode, out, err)


def can_be_forked(given: Mapping[str, Any], environ: Mapping[str, str]) -> bool:
    """Whether the command line is one of this Python's, in an environment that a running one can take."""
    args = given["args"]
    if platform.machine() not in CLONE or isinstance(args, str) or not all(isinstance(arg, str) for arg in args):
        return False
    if given["preexec_fn"] or given["pass_fds"] or given["shell"] or given["process_group"] != -1:
        return False
    ours = args[1] in ("-c", "-m") if args[0] == sys.executable else is_script(args[0])
    return ours and _at_start(environ) == _at_start(os.environ)


@functools.cache
def is_script(path: str) -> bool:
    """Whether it is a script for this interpreter."""
    try:
        with open(path, "rb") as file:
            first = os.fsdecode(file.readline().strip())
    except OSError:
        return False
    python = Path(first.removeprefix("#!"))
    return first.startswith("#!") and python.parent == Path(sys.executable).parent and python.name.startswith("python")


def _at_start(environ: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in environ.items() if key.startswith(AT_START) and key not in READ_HERE}


class Mother:
    """The process whose forks are made, as the tests' process sees it."""

    def __init__(self) -> None:
        self._one_at_a_time = threading.Lock()
        self._connection, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", __file__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self._connection.recv(1)  # it has imported all

    @property
    def pid(self) -> int:
        return self._process.pid

    def fork(self, order: Mapping[str, Any], streams: Sequence[int]) -> int:
        """The pid of a new child of this process."""
        with self._one_at_a_time, open(os.memfd_create("order"), "wb") as written:
            written.write(json.dumps(order).encode())
            written.flush()
            socket.send_fds(self._connection, [b"!"], [written.fileno(), *streams])
            return int.from_bytes(self._connection.recv(8), "little")

    def close(self) -> None:
        self._connection.close()
        self._process.wait()


_mothers: list[Mother] = []
_making = threading.Lock()


def mother() -> Mother:
    """The one of this process, started when it is first needed."""
    with _making:
        if not _mothers:
            _mothers.append(Mother())
            atexit.register(_mothers[0].close)
        return _mothers[0]


def mothers() -> set[int]:
    """The pids of what is there from the first fork on until the tests end: one, or none."""
    return {each.pid for each in _mothers}


# In the mother


def main(connection: socket.socket) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests
    import_all()
    order = bear(connection)
    if order is None:
        return
    try:
        run(order["args"])
    except BaseException as error:
        end(error)
    end(None)


def import_all() -> None:
    for name in (*IMPORTED, *(point.module for group in GROUPS for point in entry_points(group=group))):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def bear(connection: socket.socket) -> Any:
    """Fork at each order. In a child: its order; in the mother, when the tests have ended: None."""
    connection.send(b"!")
    while True:
        _, received, _, _ = socket.recv_fds(connection, 1, 4)
        if not received:
            return None
        pid = clone()
        if pid == 0:
            connection.close()
            return become(*received)
        for each in received:
            os.close(each)
        connection.send(pid.to_bytes(8, "little"))


def clone() -> int:
    """Fork, but the child's parent is our own parent. There is one thread."""
    python = ctypes.pythonapi
    python.PyOS_BeforeFork()
    pid = ctypes.PyDLL(None).syscall(CLONE[platform.machine()], CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        python.PyOS_AfterFork_Child()
    else:
        python.PyOS_AfterFork_Parent()
    return int(pid)


# In a child


def become(written: int, *streams: int) -> Any:
    """Take over what a new process is given; the order."""
    order = json.loads(os.pread(written, os.fstat(written).st_size, 0))
    if order["session"]:
        os.setsid()
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environ"])
    time.tzset()
    for number, each in enumerate(streams):
        os.dup2(each, number)
    os.closerange(3, max(written, *streams) + 1)
    open_streams()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return order


def open_streams() -> None:
    """stdin, stdout and stderr as Python makes them."""
    unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
    read = io.BufferedReader(io.FileIO(0, closefd=False))
    sys.stdin = io.TextIOWrapper(read, sys.stdin.encoding, sys.stdin.errors)
    for name, number in (("stdout", 1), ("stderr", 2)):
        before, raw = getattr(sys, name), io.FileIO(number, "wb", closefd=False)
        opened = io.TextIOWrapper(
            raw if unbuffered else io.BufferedWriter(raw),
            before.encoding,
            before.errors,
            line_buffering=number == 2 or raw.isatty(),
            write_through=unbuffered,
        )
        setattr(sys, name, opened)


def run(args: list[str]) -> None:
    """The command line, as if Python had just been started with it."""
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [*(os.path.abspath(path) for path in paths if path), *sys.path[1:]]
    if args[0] != sys.executable:
        sys.argv = args
        sys.path.insert(0, str(Path(args[0]).resolve().parent))
        runpy.run_path(args[0], run_name="__main__")
        return
    sys.argv = [args[1], *args[3:]]
    sys.path.insert(0, "" if args[1] == "-c" else os.getcwd())
    if args[1] == "-m":
        runpy.run_module(args[2], run_name="__main__", alter_sys=True)
    else:
        exec(compile(args[2], "<string>", "exec"), sys.modules["__main__"].__dict__)


def end(error: BaseException | None) -> NoReturn:
    """End as Python does, but let lie what was inherited: to take it apart costs more than to import it."""
    status = 0
    if isinstance(error, SystemExit):
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    elif error is not None:
        sys.excepthook(type(error), error, error.__traceback__)
        status = 1
    ending: Any = threading
    ending._shutdown()  # waits for threads
    ending = atexit
    ending._run_exitfuncs()
    for each in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            each.flush()
    if isinstance(error, KeyboardInterrupt):
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(status & 0xFF)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
