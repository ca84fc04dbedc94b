"""`modelport serve --reload`: a server that is started again whenever the module's source changes.

This process watches and holds no model; the server is a child of it. One that could not load its model, say for a
syntax error, is started again by the next change.
"""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

from modelport.commands.shell.event_loop import Terminated, signals
from modelport.commands.shell.failures import FAILED
from modelport.commands.shell.output import say
from modelport.contract import descent, naming, packaging
from modelport.environment import child_environment
from modelport.settings import Settings

POLL_S = 0.5
# In development nobody wants to wait for the last answer.
GRACE_S = 2
# An interpreter, of the module's own environment, finds its source in so long, or nothing is watched.
FIND_S = 60.0
# More files than this are not watched: the folder is somebody's home, not a module.
FILES_LIMIT = 5000

Signature = dict[str, tuple[int, int]]


def keep_serving(settings: Settings, modules: Sequence[str], arguments: Sequence[str]) -> int:
    """Serve, and serve again, until a signal comes. Returns the exit status.

    arguments: those of this command, from which the server's are made.
    """
    watched = [root for module in modules for root in _roots(module, settings.python)]
    others = [argument for argument in arguments if argument != "--reload"]
    at = others.index("serve") + 1 if "serve" in others else 0
    others[at:at] = ["--grace-s", str(GRACE_S)]
    if settings.listen_port == 0:
        # The same one each time, or every change would move the server.
        others += ["--listen-port", str(_free_port(settings.listen_ip))]
    for number in signals():
        signal.signal(number, _terminate)
    say(f"modelport: watching {', '.join(map(str, watched)) or 'nothing'}", err=True)
    try:
        return _serve_again_and_again(others, watched)
    except (KeyboardInterrupt, Terminated):
        return 0  # between two servers


def _serve_again_and_again(arguments: Sequence[str], watched: Sequence[Path]) -> int:
    while True:
        seen = _signature(watched)
        status = _serve_once(arguments, watched, seen)
        if status is not None and status != FAILED:
            return status
        if status == FAILED:
            say("modelport: not serving; waiting for a change", err=True)
            while _signature(watched) == seen:
                time.sleep(POLL_S)
        say("modelport: the source has changed; starting again", err=True)


def _serve_once(arguments: Sequence[str], watched: Sequence[Path], seen: Signature) -> int | None:
    """The server's exit status; None: it was stopped for a change."""
    # Of its own process group: Ctrl-C comes to us, and we pass it on.
    server = subprocess.Popen(
        [sys.executable, "-m", "modelport", *arguments], process_group=0, preexec_fn=descent.die_with_parent
    )
    try:
        while True:
            try:
                return server.wait(POLL_S)
            except subprocess.TimeoutExpired:
                if _signature(watched) != seen:
                    _stop(server)
                    return None
    except (KeyboardInterrupt, Terminated):
        return _stop(server)


def _stop(server: subprocess.Popen[bytes]) -> int:
    server.send_signal(signal.SIGTERM)
    try:
        return server.wait(GRACE_S + 5)
    except (subprocess.TimeoutExpired, KeyboardInterrupt, Terminated):
        server.kill()
        return server.wait()


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


def _free_port(address: str) -> int:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as taken:
        return int(taken.getsockname()[1])


# What is watched


def _roots(module: str, python: str) -> Iterator[Path]:
    """The folder or file of a module's source."""
    if naming.is_path(module):
        path = naming.split_path(module)[0]
        yield path.parent if os.path.isfile(path) else path
        return
    top = next((entry.value for entry in naming.installed() if entry.name == module), module).partition(":")[0]
    origin = _origin(top, python or sys.executable)
    if origin is not None:
        yield origin.parent if origin.name == "__init__.py" else origin
    elif os.path.exists(module):
        yield Path(module).resolve()


def _origin(module: str, python: str) -> Path | None:
    """Where the top package is, found without importing it."""
    code = "import importlib.util, sys; s = importlib.util.find_spec(sys.argv[1]); print(s and s.origin or '')"
    try:
        done = subprocess.run(
            [python, "-c", code, module.partition(".")[0].strip()],
            capture_output=True,
            text=True,
            check=False,
            env=child_environment(),
            timeout=FIND_S,
        )
    except subprocess.TimeoutExpired:
        return None
    return Path(done.stdout.strip()).resolve() if done.stdout.strip() else None


def _signature(roots: Sequence[Path]) -> Signature:
    """The time and size of each source file."""
    signature: Signature = {}
    for root in roots:
        sources = (path for path in packaging.own_files(root) if path.suffix == ".py")
        for path in [root] if root.is_file() else itertools.islice(sources, FILES_LIMIT):
            try:
                about = os.stat(path)
            except OSError:
                continue  # an editor is just replacing it
            signature[str(path)] = (about.st_mtime_ns, about.st_size)
    return signature
