"""The worker: holds the model, takes one call at a time from the gateway, answers with bytes.

Runs in the child: Python 3.8, standard library only. The plugin's code runs in the main thread.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import sys
import tempfile
import termios
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any, NoReturn

import modelport
from modelport.child import failures, media, ownfiles
from modelport.child.artifacts import Artifacts
from modelport.child.batches import BatchInvocation
from modelport.child.invoke import Invocation, InvokeOptions
from modelport.child.reporter import Reporter
from modelport.child.streaming import Teller
from modelport.contract import wire
from modelport.contract.prediction import Batch, Call, Outcome
from modelport.errors import LoadFailed, ModelportError

if TYPE_CHECKING:
    from modelport.child.plugin import Plugin

# As they are before a plugin replaces them.
_exit = os._exit
_getpid = os.getpid
_loads = json.loads
_now = time.perf_counter

# What FIONREAD says of an empty pipe.
NOTHING = b"\0\0\0\0"

# A model may replace what Python has. After so many failures in a row that are not its function's, it is so.
BROKEN_AFTER = 3


def load_plugin(config: dict[str, Any]) -> Plugin:
    """Import the plugin that `config` names. Raises LoadFailed."""
    from modelport.child import plugin

    ownfiles.lead_tempfile()
    plugin.supply_deepaas()
    loaded = plugin.load(config["module"])
    if not logging.root.handlers:
        # After the import, so that a module that sets up logging itself has its way.
        logging.basicConfig(
            level=logging.DEBUG if config["debug"] else logging.INFO,
            stream=sys.stderr,
            format="%(asctime)s %(levelname)s %(name)s %(message)s",
        )
    return loaded


def main(descriptors: list[int], config: dict[str, Any]) -> NoReturn:
    """A worker in an interpreter of its own (start method spawn)."""
    connection = Connection(descriptors)
    pid = _getpid()
    try:
        loaded = load_plugin(config)
        end_copies(pid)
        if config.get("spare") and connection.receive() is None:
            _exit(0)
    except ModelportError as error:
        connection.send({"is": "failed", "error": failures.told(error, config["message_limit_bytes"])})
        flush()
        _exit(1)
    serve(connection, loaded, config)


def serve(connection: Connection, plugin: Plugin, config: dict[str, Any]) -> NoReturn:
    """Warm up, say so, then answer calls until the gateway closes the connection."""
    _reseed()
    Worker(connection, plugin, config).run()
    _exit(0)


def own_streams() -> None:
    """Lines leave at once, so that the log of a call that dies is whole."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(line_buffering=True, write_through=False, errors="backslashreplace")


def end_copies(pid: int) -> None:
    """End here in any process but `pid`: in a copy that a plugin has forked and that goes on in our code."""
    if _getpid() != pid:
        flush()
        _exit(0)


def _reseed() -> None:
    """Forked workers must not draw the same random numbers; Python reseeds its own generator, numpy does not."""
    random = sys.modules.get("numpy.random")
    if random is not None:
        random.seed()


def flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass  # the plugin has closed or replaced it


class Connection:
    """The worker's connection to the gateway: calls come as messages, answers go as a stream, what is printed by pipes.

    The gateway may send calls ahead. Each message names one of the pipes, which is that of stdout and stderr while the
    call runs, so that what two calls print does not meet.
    Only this very process speaks. A plugin may fork, and its copy come back from the plugin's code as if it were the
    worker: such a copy ends there, and never had the connection.
    """

    def __init__(self, descriptors: list[int]) -> None:
        """descriptors: the stream, the messages, and the write ends of the pipes."""
        self._stream = socket.socket(fileno=descriptors[0])
        self._messages = socket.socket(fileno=descriptors[1])
        self._pipes = descriptors[2:]
        self._pipe = -1
        self._buffer = bytearray(wire.MESSAGE_BYTES)
        self._sending = threading.Lock()  # plugins report progress from any thread
        self._pid = _getpid()
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        self._print_to(self._pipes[0])
        os.register_at_fork(after_in_child=self._close)

    def receive(self) -> Any:
        """The next call; None when the gateway has gone."""
        length = self._messages.recv_into(self._buffer)
        if not length:
            return None
        message = str(memoryview(self._buffer)[:length], "utf-8")
        text = message[1:] if message[1] != "@" else self._read(int(message[2:]))
        pipe = self._pipes[int(message[0])]
        if pipe != self._pipe:
            self._print_to(pipe)
        return None if text is None else _loads(text)

    def send(self, message: dict[str, Any], *blobs: bytes) -> None:
        self.send_frame(wire.dump(message, blobs))

    def send_frame(self, frame: bytes) -> None:
        """One, or several joined."""
        end_copies(self._pid)
        with self._sending:
            self._stream.sendall(frame)

    def asked_to_stop(self) -> bool:
        """Whether the gateway has said meanwhile that nobody wants more values (`executors/flow.py`), or has gone."""
        try:
            self._stream.recv(1, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        return True

    def has_printed(self) -> bool:
        """Whether the gateway has still to read something that was printed; also where that cannot be known."""
        try:
            return fcntl.ioctl(self._pipe, termios.FIONREAD, NOTHING) != NOTHING
        except OSError:
            return True

    def _close(self) -> None:
        """In a copy; and once only, since the copy's own copies come here, too, with other files by these numbers."""
        modelport._report = modelport._keep = None  # the copy would speak in between
        self._stream.close()
        self._messages.close()
        pipes, self._pipes = self._pipes, []
        for pipe in pipes:
            os.close(pipe)

    def _print_to(self, pipe: int) -> None:
        self._pipe = pipe
        for target in (1, 2):
            os.dup2(pipe, target)

    def _read(self, length: int) -> str | None:
        """Exactly `length` bytes, or None at the end of the stream."""
        parts: list[bytes] = []
        while length:
            part = self._stream.recv(min(length, 1 << 20))
            if not part:
                return None
            parts.append(part)
            length -= len(part)
        return b"".join(parts).decode()


def _enter_working_folder(work: str) -> str:
    """Go to the first folder in `work` where no other worker is: `1`, `2`, … Returns it; "" where we stay.

    They stay, so that weights which a model downloads to its working folder are there the next time. The lock is held
    as long as this process lives.
    """
    if not work:
        return ""
    number = 1
    while True:
        folder = os.path.join(work, str(number))
        os.makedirs(folder, mode=0o700, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            number += 1
        else:
            os.chdir(folder)
            return folder


class Worker:
    """One warm model and its connection to the gateway."""

    def __init__(self, connection: Connection, plugin: Plugin, config: dict[str, Any]) -> None:
        self.connection = connection
        self.plugin = plugin
        self.config = config
        self.pid = _getpid()
        self.reporter = Reporter(connection.send)
        self.artifacts = Artifacts(connection.send, config["job_artifacts_bytes"])
        self.failures = 0  # one after the other, outside the plugin's functions
        self.options = InvokeOptions(
            name=config["name"],
            temporary=tempfile.gettempdir(),  # before the working folder changes
            inline_limit_bytes=config["inline_limit_bytes"],
            nan=config["nan"],
            work=_enter_working_folder(config["work"]),
            home=config["home"],
        )

    def run(self) -> None:
        started = _now()
        if self.config["warm"]:
            try:
                self.plugin.warm()
            except BaseException as error:
                failure = LoadFailed("warm() failed: " + failures.describe(error), detail=traceback.format_exc())
                flush()
                self.connection.send(
                    {"is": "failed", "error": failures.told(failure, self.config["message_limit_bytes"])}
                )
                return
        flush()
        self.connection.send({"is": "ready", "warm_s": _now() - started})
        while (plain := self.connection.receive()) is not None:
            if "calls" in plain:
                self._answer_together(Batch.from_plain(plain))
            else:
                self._answer(Call.from_plain(plain))

    def _answer(self, call: Call) -> None:
        self.reporter.begin(call.id)
        self.artifacts.begin(call)
        teller = Teller(self.connection, call.id) if call.stream else None
        invocation = Invocation(self.plugin, self.options, teller)
        try:
            outcome = invocation.run(call)
        finally:
            self.reporter.end()
            self.artifacts.end()
        outcome.untouched = outcome.untouched and not self.artifacts.has_any
        message, blobs = self._told(outcome)
        if teller is not None:
            message.update({"values": outcome.values, "stopped": teller.stopped})
        self._end(message, blobs, call.id, outcome.timings, invocation.broken)

    def _answer_together(self, batch: Batch) -> None:
        """A frame for each call of the batch, then one for its end."""
        started = _now()
        self.reporter.begin(batch.id)
        invocation = BatchInvocation(self.plugin, self.options)
        frames: list[bytes] = []
        try:
            for call, outcome in zip(batch.calls, invocation.run(batch.calls)):
                message, blobs = self._told(outcome)
                message.update({"is": "item", "id": call.id, "pid": self.pid, "timings": outcome.timings})
                frames.append(wire.dump(message, blobs))
                if invocation.singly:  # what one has is not lost when the next one ends the process
                    self.connection.send_frame(b"".join(frames))
                    frames.clear()
        finally:
            self.reporter.end()
        self.connection.send_frame(b"".join(frames))
        self._end({}, [], batch.id, {"predict": _now() - started}, invocation.broken)

    def _end(
        self, message: dict[str, Any], blobs: list[bytes], call_id: str, timings: dict[str, float], broken: bool
    ) -> None:
        self.failures = self.failures + 1 if broken else 0
        flush()
        message.update({"is": "outcome", "id": call_id, "pid": self.pid, "timings": timings})
        message["printed"] = self.connection.has_printed()
        self.connection.send(message, *blobs)
        if self.failures >= BROKEN_AFTER:
            failures.log("the model has broken its own process, which is replaced")
            flush()
            _exit(1)

    def _told(self, outcome: Outcome) -> tuple[dict[str, Any], list[bytes]]:
        if outcome.error is not None:
            return {"error": failures.told(outcome.error, self.config["message_limit_bytes"])}, []
        message: dict[str, Any] = {"untouched": True} if outcome.untouched else {}
        if outcome.media_type != media.JSON:
            message["media_type"] = outcome.media_type
        if outcome.filename is not None:
            message["filename"] = outcome.filename
        if outcome.path is not None:
            message["file"] = os.path.basename(outcome.path)
        blobs = [outcome.body]
        if outcome.text is not None:
            raw = outcome.text.encode("utf-8", "backslashreplace")
            # A text that is larger than an answer may be is left out: the answer itself goes by a file.
            blobs += [raw] if len(raw) <= self.options.inline_limit_bytes else []
        return message, blobs
