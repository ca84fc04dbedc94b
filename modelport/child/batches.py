"""Run several calls at once: each is validated by itself, `predict_batch` runs once, each answer is encoded by itself.

What goes wrong with one call is that call's alone. Where `predict_batch` itself fails, the calls are run by `predict`,
one after the other, also where there is only one: what a call is answered must not depend on which others came with it.
"""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Callable, Iterator

from modelport.child import failures, large, ownfiles
from modelport.child.invoke import Invocation, InvokeOptions, Report, reporting_to
from modelport.contract.prediction import Call, Outcome
from modelport.errors import ModelportError

if TYPE_CHECKING:
    from modelport.child.plugin import Plugin

USUAL = InvokeOptions()

_now = time.perf_counter  # before a plugin replaces it


def invoke_batch(
    plugin: Plugin, calls: list[Call], options: InvokeOptions = USUAL, report: Report | None = None
) -> list[Outcome]:
    """Run `calls` together in this thread, as `invoke` runs one: an outcome for each, in their order."""
    with reporting_to(report):
        return list(BatchInvocation(plugin, options).run(calls))


class BatchInvocation:
    """A batch at work.

    broken: as of `Invocation`, of every one of its calls.
    singly: the calls are run one by one.
    """

    def __init__(self, plugin: Plugin, options: InvokeOptions) -> None:
        self.broken = True
        self.singly = False
        self._plugin = plugin
        self._options = options

    def run(self, calls: list[Call]) -> Iterator[Outcome]:
        """One outcome for each call, in order. Raises nothing."""
        items = [_Item(self._plugin, self._options, call) for call in calls]
        for item in items:
            item.attempt(item.validate)
        valid = [item for item in items if item.outcome is None]
        self.singly = bool(valid) and not self._run_together(valid)
        for item in items:
            if item.outcome is None:
                item = _Item(self._plugin, self._options, item.call)
                item.outcome = item.run(item.call)
            self.broken = self.broken and item.broken
            yield item.outcome

    def _run_together(self, items: list[_Item]) -> bool:
        """Whether `predict_batch` has answered."""
        # All make their temporary files in one folder; it lies in the first one's, and goes with it.
        scratch = items[0].call.scratch
        shared = os.path.join(scratch, "batch") if scratch and self._options.alone else ""
        with ownfiles.TemporaryFolder(shared, self._options.temporary or tempfile.gettempdir()) as folder:
            started = _now()
            try:
                values = _listed(self._function()([item.keywords for item in items]), len(items))
            except BaseException:
                failures.log()
                failures.log(f"predict_batch failed; its calls ({len(items)}) are run by predict, one by one")
                return False
            seconds = _now() - started
            for item, value in zip(items, values):
                item.attempt(lambda item=item, value=value: item.answer(value, seconds, shared))  # type: ignore[misc]
        if folder.made and items[0].outcome is not None:
            items[0].outcome.untouched = False
        return True

    def _function(self) -> Callable[[list[Any]], Any]:
        function = self._plugin.function("predict_batch")
        assert function is not None
        return function


class _Item(Invocation):
    """One call of a batch. outcome: None until there is one."""

    def __init__(self, plugin: Plugin, options: InvokeOptions, call: Call) -> None:
        super().__init__(plugin, options)
        self.call = call
        self.keywords: dict[str, Any] = {}
        self.outcome: Outcome | None = None
        self._own = self._own_files(call)

    def attempt(self, step: Callable[[], None]) -> None:
        """Where `step` fails, that is the outcome."""
        try:
            step()
        except BaseException as error:
            self.broken = not self._in_plugin and not isinstance(error, ModelportError)
            self.outcome = Outcome(error=failures.error_of(error))
        if self.outcome is not None:
            self.outcome.timings = self._timings

    def validate(self) -> None:
        start = _now()
        call = self.call
        self.keywords = self._plugin.predict_fields.read(*large.read(call.arguments, call.files))
        self._timings["validate"] = _now() - start

    def answer(self, value: Any, seconds: float, shared: str) -> None:
        """seconds: the whole batch took so long. shared: its temporary folder."""
        self._timings["predict"] = seconds
        if isinstance(value, BaseException) or (isinstance(value, type) and issubclass(value, BaseException)):
            self._in_plugin = True
            raise value
        start = _now()
        outcome = self._encode(self.call, value, replace(self._own, shared=shared))
        self._timings["encode"] = _now() - start
        outcome.text = str(value) if self.call.text else None
        outcome.untouched = outcome.path is None
        self.outcome = outcome


def _listed(values: Any, number: int) -> list[Any]:
    """The values one by one. Raises TypeError where they are not a list of so many: a dict of lists is one value."""
    if isinstance(values, (str, bytes, bytearray, dict)) or not hasattr(values, "__len__"):
        raise TypeError(f"predict_batch returned {type(values).__name__}; give a list with one value for each call")
    if len(values) != number:
        raise TypeError(f"predict_batch returned {len(values)} values for {number} calls; give one for each call")
    return [values[index] for index in range(number)]
