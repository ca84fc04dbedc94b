"""Run one call on a loaded plugin: its fields validate, its function runs, its answer becomes bytes.

An executor calls `invoke` in the process that holds the plugin.
"""

from __future__ import annotations

import json
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Iterator, Optional

import modelport
from modelport.child import content, failures, fields, large, media, ownfiles
from modelport.child.streaming import Stream, Tell
from modelport.contract.prediction import Call, Outcome
from modelport.errors import ModelFailed, ModelportError, NotImplementedByModel

if TYPE_CHECKING:
    from modelport.child.plugin import Plugin

# report(fraction from 0 to 1, or None where it is not known, a short text)
Report = Callable[[Optional[float], str], None]

_now = time.perf_counter  # before a plugin replaces it

# A training's result that JSON cannot say is shown as its text, cut here.
TEXT_CHARS = 10_000


@dataclass(frozen=True)
class InvokeOptions:
    """What `invoke` needs to know of the process.

    name: the deployment's, for messages; "": the plugin's own name.
    inline_limit_bytes: a larger answer is written to a file in the call's scratch folder.
    nan: what becomes of a number in a JSON answer that is not one: null, error.
    work: the working folder, where that is this process's alone. home: the server's; an answer names no files there.
    temporary: the process's folder for temporary files; "": that of `tempfile`.
    alone: no other call runs in this process meanwhile, so `tempfile` can be led to the call's own folder.
    """

    name: str = ""
    inline_limit_bytes: int = 1 << 20
    nan: str = "null"
    work: str = ""
    home: str = ""
    temporary: str = ""
    alone: bool = True


def invoke(
    plugin: Plugin,
    call: Call,
    options: InvokeOptions = InvokeOptions(),
    report: Report | None = None,
    tell: Tell | None = None,
) -> Outcome:
    """Run `call` in this thread, to its end. What goes wrong is in the outcome; nothing is raised.

    report: told what the plugin says to `modelport.progress`, from any thread; only where the call is alone in its
        process.
    tell: given each value of a generator, as JSON, where `call.stream` asks for it; returns when it has been taken, and
        whether more are wanted. If not, the generator is closed, and the outcome is Cancelled.
    Whoever runs the process adds `log`, `worker` and the time in the queue. `timeout_s` is not looked at: only another
    process can end a call.
    """
    with reporting_to(report):
        return Invocation(plugin, options, tell).run(call)


@contextmanager
def reporting_to(report: Report | None) -> Iterator[None]:
    """Meanwhile, `report` is told what the plugin says to `modelport.progress`, but for its metrics."""
    if report is not None:
        modelport._report = lambda fraction, message, metrics: report(fraction, message)
    try:
        yield
    finally:
        if report is not None:
            modelport._report = None


class Invocation:
    """A call at work.

    broken: it failed, and neither a function of the plugin nor we had anything to refuse. That can happen in a field or
        a generator of the plugin's own; where it happens all the time, the model has broken what Python has.
    """

    def __init__(self, plugin: Plugin, options: InvokeOptions, tell: Tell | None = None) -> None:
        self.broken = False
        self._tell = tell
        self._values: int | None = None  # so many were told
        self._plugin = plugin
        self._options = options
        self._temporary = options.temporary or tempfile.gettempdir()
        self._in_plugin = False
        self._timings: dict[str, float] = {}

    def run(self, call: Call) -> Outcome:
        try:
            outcome = self._run(call)
        except BaseException as error:
            self.broken = not self._in_plugin and not isinstance(error, ModelportError)
            outcome = Outcome(error=failures.error_of(error))
        outcome.timings = self._timings
        outcome.values = self._values
        return outcome

    def _run(self, call: Call) -> Outcome:
        start = _now()
        function = self._plugin.function(call.method)
        if function is None:
            name = self._options.name or self._plugin.name
            raise NotImplementedByModel(f"Not implemented by underlying model (loaded '{name}')")
        known = self._plugin.train_fields if call.method == "train" else self._plugin.predict_fields
        keywords = known.read(*large.read(call.arguments, call.files))
        validated = _now()
        self._timings["validate"] = validated - start
        if call.only_validate:
            return self._shown(call, {**keywords, **large.shown(call.files)})
        own = self._own_files(call)
        with ownfiles.TemporaryFolder(call.scratch if self._options.alone else "", self._temporary) as folder:
            self._in_plugin = True
            value = function(**keywords)
            outcome = None
            if call.stream and self._tell is not None:
                outcome, value = self._stream(call, value, self._tell)
            self._in_plugin = False
            done = _now()
            self._timings["predict"] = done - validated
            outcome = outcome or self._encode(call, value, own)
        self._timings["encode"] = _now() - done
        outcome.text = str(value) if call.text else None
        outcome.untouched = not folder.made and outcome.path is None
        return outcome

    def _stream(self, call: Call, value: Any, tell: Tell) -> tuple[Outcome | None, Any]:
        """The answer, if `value` was told piece by piece; else None, and the value to encode."""
        if not media.is_parts(value) or call.accept not in (None, media.JSON) or self._plugin.has_schema:
            return None, value
        stream = Stream(value, tell, self._options.inline_limit_bytes, self._options.nan)
        try:
            encoded = stream.encode(call.stream, call.scratch)
        finally:
            self._values = stream.count
        if encoded is None:
            self._values, value = None, stream.values
        return encoded, value

    def _shown(self, call: Call, keywords: dict[str, Any]) -> Outcome:
        source = content.Source(parts=[_shown(keywords)])
        return Outcome(media.JSON, *content.put(source, call.scratch, self._options.inline_limit_bytes))

    def _own_files(self, call: Call) -> ownfiles.OwnFiles:
        return ownfiles.OwnFiles(
            call.scratch,
            work=self._options.work,
            temporary=self._temporary,
            home=self._options.home,
            sent=lambda: ownfiles.texts([call.arguments, [file.filename for file in call.files]]),
        )

    def _encode(self, call: Call, value: Any, own: ownfiles.OwnFiles) -> Outcome:
        limit, nan = self._options.inline_limit_bytes, self._options.nan
        if call.text_only:
            return media.encode(str(value), "text/plain", call.scratch, limit, ownfiles.OwnFiles())
        if call.method == "train":
            try:
                return media.encode(value, media.JSON, call.scratch, limit, nan=nan)
            except ModelFailed:
                # Hours of work do not fail because JSON cannot say what came of them: a file, an object.
                text = bytes(value[:TEXT_CHARS]) if isinstance(value, (bytes, bytearray, memoryview)) else value
                return media.encode(str(text)[:TEXT_CHARS], media.JSON, call.scratch, limit)
        if call.accept in (None, media.JSON):
            self._plugin.check_answer(value)
        return media.encode(value, call.accept, call.scratch, limit, own, nan)


def _shown(keywords: dict[str, Any]) -> bytes:
    """The arguments as the plugin would get them, for people: a file is its name, media type and the client's name."""

    def plain(value: Any) -> Any:
        if hasattr(value, "original_filename"):
            return [value.name, value.content_type, value.original_filename]
        if isinstance(value, list):
            return [plain(item) for item in value]
        return fields.plain(value)

    return json.dumps({name: plain(value) for name, value in keywords.items()}).encode()
