"""The worker: holds the model, takes one call at a time from the gateway, answers with bytes.

Runs in the child: Python 3.8, standard library only. The plugin's code runs in the main thread.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any, NoReturn

from modelport.child import arguments, fields, media, refusals
from modelport.child.reporter import Reporter
from modelport.contract import wire
from modelport.contract.prediction import Call
from modelport.errors import (
    DISK_FULL,
    InvalidArguments,
    LoadFailed,
    ModelFailed,
    ModelportError,
    NotImplementedByModel,
    StorageFull,
)

if TYPE_CHECKING:
    from modelport.child.plugin import Plugin

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


def main(connection: socket.socket, config: dict[str, Any]) -> NoReturn:
    """A worker in an interpreter of its own (start method spawn)."""
    try:
        loaded = load_plugin(config)
    except ModelportError as error:
        _send(connection, {"is": "failed", "error": error.to_plain()})
        _flush()
        os._exit(1)
    serve(connection, loaded, config)


def serve(connection: socket.socket, plugin: Plugin, config: dict[str, Any]) -> NoReturn:
    """Warm up, say so, then answer calls until the gateway closes the connection."""
    _reseed()
    Worker(connection, plugin, config).run()
    os._exit(0)


def own_streams() -> None:
    """Lines leave at once, so that the log of a call that dies is whole."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(line_buffering=True, write_through=False, errors="backslashreplace")


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


def _send(connection: socket.socket, message: dict[str, Any], *blobs: bytes) -> None:
    connection.sendall(wire.dump(message, blobs))


class Worker:
    """One warm model and its connection."""

    def __init__(self, connection: socket.socket, plugin: Plugin, config: dict[str, Any]) -> None:
        self.connection = connection
        self.plugin = plugin
        self.config = config
        self.sending = threading.Lock()  # plugins report progress from any thread
        self.reporter = Reporter(self.send)

    def run(self) -> None:
        started = time.perf_counter()
        if self.config["warm"]:
            try:
                self.plugin.warm()
            except BaseException as error:
                failure = LoadFailed("warm() failed: " + _describe(error), detail=traceback.format_exc())
                _flush()
                self.send({"is": "failed", "error": failure.to_plain()})
                return
        _flush()
        self.send({"is": "ready", "warm_s": time.perf_counter() - started})
        while True:
            frame = self._receive()
            if frame is None:
                return
            self._answer(Call.from_plain(frame))

    def send(self, message: dict[str, Any], *blobs: bytes) -> None:
        with self.sending:
            _send(self.connection, message, *blobs)

    def _receive(self) -> Any:
        prefix = self._read(wire.PREFIX.size)
        if prefix is None:
            return None
        header, payload = wire.PREFIX.unpack(prefix)
        body = self._read(header + payload)
        return None if body is None else json.loads(body[:header])

    def _read(self, length: int) -> bytes | None:
        """Exactly `length` bytes, or None at the end of the connection."""
        data = self.connection.recv(length)
        if len(data) == length:
            return data
        parts, missing = [data], length - len(data)
        while missing:
            if not parts[-1]:
                return None
            parts.append(self.connection.recv(min(missing, 1 << 20)))
            missing -= len(parts[-1])
        return b"".join(parts)

    def _answer(self, call: Call) -> None:
        timings: dict[str, float] = {}
        self.reporter.begin(call.id)
        blobs: list[bytes] = []
        try:
            message, blobs = self._run(call, timings)
        except ModelportError as error:
            message = {"error": error.to_plain()}
        except BaseException as error:
            message = {"error": failure_of(error).to_plain()}
        finally:
            self.reporter.end()
        _flush()
        self.send(dict(message, **{"is": "outcome", "timings": timings}), *blobs)

    def _run(self, call: Call, timings: dict[str, float]) -> tuple[dict[str, Any], list[bytes]]:
        start = time.perf_counter()
        function = self.plugin.function(call.method)
        if function is None:
            raise NotImplementedByModel("Not implemented by underlying model (loaded '{}')".format(self.config["name"]))
        known = self.plugin.train_fields if call.method == "train" else self.plugin.predict_fields
        keywords = arguments.deserialize(known, call.arguments, call.files)
        validated = time.perf_counter()
        timings["validate"] = validated - start
        if call.only_validate:
            return {"media_type": "application/json"}, [_shown(keywords)]
        value = function(**keywords)
        done = time.perf_counter()
        timings["predict"] = done - validated
        encoded = self._encode(call, value)
        timings["encode"] = time.perf_counter() - done
        message = {"media_type": encoded.media_type, "path": encoded.path, "filename": encoded.filename}
        blobs = [encoded.body]
        if call.text:
            blobs.append(str(value).encode("utf-8", "backslashreplace"))
        return message, blobs

    def _encode(self, call: Call, value: Any) -> media.Encoded:
        limit = self.config["inline_limit_bytes"]
        if call.method == "train":
            try:
                return media.encode(value, media.JSON, call.scratch, limit)
            except ModelFailed:
                # Hours of work do not fail because JSON cannot say what came of them: a NaN, a file, an object.
                return media.encode(_as_text(value), media.JSON, call.scratch, limit)
        if call.accept in (None, media.JSON):
            self.plugin.check_answer(value)
        return media.encode(value, call.accept, call.scratch, limit)


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


def failure_of(error: BaseException) -> ModelportError:
    """What a plugin raised, as an error of ours.

    A marshmallow ValidationError speaks of arguments. An HTTP exception (aiohttp's `status` and `reason`, werkzeug's
    `code` and `description`) keeps its status; aiohttp's base class has none and becomes a 500. A full disk is
    nobody's mistake, whoever wrote to it.
    """
    traceback.print_exc()
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return StorageFull(_describe(error), detail=traceback.format_exc())
    if type(error).__name__ == "ValidationError" and isinstance(getattr(error, "messages", None), (dict, list)):
        messages = error.messages  # type: ignore[attr-defined]
        refused = messages if isinstance(messages, dict) else {"_schema": messages}
        return InvalidArguments(refusals.sentence(messages), fields=refused)
    status, reason = _http_status(error)
    return ModelFailed(reason or _describe(error), status=status, detail=traceback.format_exc())


def _http_status(error: BaseException) -> tuple[int | None, str]:
    for status_name, reason_name in (("status", "reason"), ("code", "description")):
        status, reason = getattr(error, status_name, None), getattr(error, reason_name, None)
        if isinstance(status, int) and hasattr(error, reason_name) and not isinstance(error, SystemExit):
            text = getattr(error, "text", None)  # aiohttp's body, "400: Bad Request" unless the plugin gave one
            if isinstance(text, str) and text and not text.startswith(f"{status}: "):
                reason = text
            return (status if 400 <= status <= 599 else 500), " ".join(str(reason or "").split())
    return None, ""


def _describe(error: BaseException) -> str:
    """One line: the class and what it says. Where building the exception itself failed, what it was about."""
    if isinstance(error, SystemExit):
        return f"the model called sys.exit({error.code!r})"
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, TypeError) and error.__context__ is not None and _raised_in_aiohttp(error):
        # web.HTTPException(reason=error) with an exception as reason: what the author meant to tell is the context.
        return _describe(error.__context__)
    return " ".join(text.split())


def _raised_in_aiohttp(error: BaseException) -> bool:
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return last is not None and "web_exceptions" in last.tb_frame.f_code.co_filename
