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

from modelport.child import arguments, content, failures, fields, large, media, ownfiles
from modelport.child.reporter import Reporter
from modelport.contract import wire
from modelport.contract.prediction import Call
from modelport.errors import LoadFailed, ModelFailed, ModelportError, NotImplementedByModel

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

# A training's result that JSON cannot say is shown as its text, cut here.
TEXT_CHARS = 10_000


def load_plugin(config: dict[str, Any]) -> Plugin:
    """Import the plugin that `config` names. Raises LoadFailed."""
    from modelport.child import plugin

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
    line = Line(descriptors)
    pid = _getpid()
    try:
        loaded = load_plugin(config)
        end_copies(pid)
        if config.get("spare") and line.receive() is None:
            _exit(0)
    except ModelportError as error:
        line.send({"is": "failed", "error": failures.told(error, config["message_limit_bytes"])})
        _flush()
        _exit(1)
    serve(line, loaded, config)


def serve(line: Line, plugin: Plugin, config: dict[str, Any]) -> NoReturn:
    """Warm up, say so, then answer calls until the gateway closes the connection."""
    _reseed()
    Worker(line, plugin, config).run()
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
        _flush()
        _exit(0)


def _reseed() -> None:
    """Forked workers must not draw the same random numbers; Python reseeds its own generator, numpy does not."""
    random = sys.modules.get("numpy.random")
    if random is not None:
        random.seed()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass  # the plugin has closed or replaced it


class Line:
    """The worker's line to the gateway: calls come as messages, answers go as a stream, what is printed by pipes.

    The gateway may send calls ahead. Each message names one of the pipes, which is that of stdout and stderr while the
    call runs, so that what two calls print does not meet.
    Only this very process speaks. A plugin may fork, and its copy come back from the plugin's code as if it were the
    worker: such a copy ends there, and never had the line.
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
        text: bytes | None = bytes(memoryview(self._buffer)[1:length])
        if text.startswith(b"@"):  # type: ignore[union-attr]
            text = self._read(int(text[1:]))  # type: ignore[index]
        pipe = self._pipes[self._buffer[0] - ord("0")]
        if pipe != self._pipe:
            self._print_to(pipe)
        return None if text is None else _loads(text)

    def send(self, message: dict[str, Any], *blobs: bytes) -> None:
        end_copies(self._pid)
        with self._sending:
            self._stream.sendall(wire.dump(message, blobs))

    def has_printed(self) -> bool:
        """Whether the gateway has still to read something that was printed; also where that cannot be known."""
        try:
            return fcntl.ioctl(self._pipe, termios.FIONREAD, NOTHING) != NOTHING
        except OSError:
            return True

    def _close(self) -> None:
        """In a copy; and once only, since the copy's own copies come here, too, with other files by these numbers."""
        self._stream.close()
        self._messages.close()
        pipes, self._pipes = self._pipes, []
        for pipe in pipes:
            os.close(pipe)

    def _print_to(self, pipe: int) -> None:
        self._pipe = pipe
        for target in (1, 2):
            os.dup2(pipe, target)

    def _read(self, length: int) -> bytes | None:
        """Exactly `length` bytes, or None at the end of the stream."""
        parts: list[bytes] = []
        while length:
            part = self._stream.recv(min(length, 1 << 20))
            if not part:
                return None
            parts.append(part)
            length -= len(part)
        return b"".join(parts)


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
    """One warm model and its line to the gateway."""

    def __init__(self, line: Line, plugin: Plugin, config: dict[str, Any]) -> None:
        self.line = line
        self.plugin = plugin
        self.config = config
        self.pid = _getpid()
        self.reporter = Reporter(line.send)
        self.in_plugin = False
        self.failures = 0  # one after the other, outside the plugin's functions
        self.temporary = tempfile.gettempdir()
        self.work = _enter_working_folder(config["work"])

    def run(self) -> None:
        started = _now()
        if self.config["warm"]:
            try:
                self.plugin.warm()
            except BaseException as error:
                failure = LoadFailed("warm() failed: " + failures.describe(error), detail=traceback.format_exc())
                _flush()
                self.line.send({"is": "failed", "error": failures.told(failure, self.config["message_limit_bytes"])})
                return
        _flush()
        self.line.send({"is": "ready", "warm_s": _now() - started})
        while (plain := self.line.receive()) is not None:
            self._answer(Call.from_plain(plain))

    def _answer(self, call: Call) -> None:
        timings: dict[str, float] = {}
        self.reporter.begin(call.id)
        blobs: list[bytes] = []
        try:
            message, blobs = self._run(call, timings)
            self.failures = 0
        except BaseException as error:
            self._note(error)
            message = {"error": failures.told(error, self.config["message_limit_bytes"])}
        finally:
            self.reporter.end()
        _flush()
        message.update({"is": "outcome", "id": call.id, "pid": self.pid, "timings": timings})
        message["printed"] = self.line.has_printed()
        self.line.send(message, *blobs)
        if self.failures >= BROKEN_AFTER:
            print("modelport: the model has broken its own process, which is replaced", file=sys.stderr)
            _flush()
            _exit(1)

    def _note(self, error: BaseException) -> None:
        """A failure outside the plugin's functions, where nothing but a generator or a field of its own should fail."""
        outside = not self.in_plugin and not isinstance(error, ModelportError)
        self.in_plugin = False
        self.failures = self.failures + 1 if outside else 0

    def _run(self, call: Call, timings: dict[str, float]) -> tuple[dict[str, Any], list[bytes]]:
        start = _now()
        function = self.plugin.function(call.method)
        if function is None:
            raise NotImplementedByModel("Not implemented by underlying model (loaded '{}')".format(self.config["name"]))
        known = self.plugin.train_fields if call.method == "train" else self.plugin.predict_fields
        keywords = arguments.deserialize(known, *large.read(call.arguments, call.files))
        validated = _now()
        timings["validate"] = validated - start
        if call.only_validate:
            return self._told(call, self._shown(call, {**keywords, **large.shown(call.files)}))
        own = self._own_files(call)
        with ownfiles.temporary_folder(call.scratch, self.temporary):
            self.in_plugin = True
            value = function(**keywords)
            self.in_plugin = False
            done = _now()
            timings["predict"] = done - validated
            encoded = self._encode(call, value, own)
        timings["encode"] = _now() - done
        return self._told(call, encoded, str(value) if call.text else None)

    def _told(self, call: Call, encoded: media.Encoded, text: str | None = None) -> tuple[dict[str, Any], list[bytes]]:
        message = {}
        if encoded.media_type != media.JSON:
            message["media_type"] = encoded.media_type
        if encoded.filename is not None:
            message["filename"] = encoded.filename
        if encoded.path is not None:
            message["file"] = os.path.basename(encoded.path)
        blobs = [encoded.body]
        if text is not None:
            raw = text.encode("utf-8", "backslashreplace")
            # A text that is larger than an answer may be is left out: the answer itself goes by a file.
            blobs += [raw] if len(raw) <= self.config["inline_limit_bytes"] else []
        return message, blobs

    def _shown(self, call: Call, keywords: dict[str, Any]) -> media.Encoded:
        source = content.Source(parts=[_shown(keywords)])
        return media.Encoded(media.JSON, *content.put(source, call.scratch, self.config["inline_limit_bytes"]))

    def _own_files(self, call: Call) -> ownfiles.OwnFiles:
        return ownfiles.OwnFiles(
            call.scratch,
            work=self.work,
            temporary=self.temporary,
            home=self.config["home"],
            sent=lambda: ownfiles.texts([call.arguments, [file.filename for file in call.files]]),
        )

    def _encode(self, call: Call, value: Any, own: ownfiles.OwnFiles) -> media.Encoded:
        limit, nan = self.config["inline_limit_bytes"], self.config["nan"]
        if call.text_only:
            return media.encode(str(value), "text/plain", call.scratch, limit, ownfiles.OwnFiles())
        if call.method == "train":
            try:
                return media.encode(value, media.JSON, call.scratch, limit, nan=nan)
            except ModelFailed:
                # Hours of work do not fail because JSON cannot say what came of them: a file, an object.
                return media.encode(_as_text(value), media.JSON, call.scratch, limit)
        if call.accept in (None, media.JSON):
            self.plugin.check_answer(value)
        return media.encode(value, call.accept, call.scratch, limit, own, nan)


def _as_text(value: Any) -> str:
    if isinstance(value, (bytes, bytearray, memoryview)):
        value = bytes(value[:TEXT_CHARS])
    return str(value)[:TEXT_CHARS]


def _shown(keywords: dict[str, Any]) -> bytes:
    """The arguments as the plugin would get them, for people: a file is its name, media type and the client's name."""

    def plain(value: Any) -> Any:
        if hasattr(value, "original_filename"):
            return [value.name, value.content_type, value.original_filename]
        if isinstance(value, list):
            return [plain(each) for each in value]
        return fields.plain(value)

    return json.dumps({name: plain(value) for name, value in keywords.items()}).encode()
