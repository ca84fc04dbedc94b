"""One worker process, seen from the gateway.

Everything here runs in the event loop's thread and waits for nothing but events.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import time
from collections.abc import Callable
from typing import Any, cast

import msgspec

from modelport.contract import wire
from modelport.contract.prediction import Call, Outcome
from modelport.errors import LoadFailed, WorkerLost
from modelport.executors import ExecutorSpec, Watcher, messages
from modelport.executors.output import OutputPipe

READ_BYTES = 1 << 16

# An honest worker reports at most 50 times a second, after as many at once (child/reporter.py).
REPORTS_BURST = 100
REPORTS_S = 100

_encode = msgspec.json.Encoder().encode


class Worker(asyncio.Protocol):
    """One worker process and its connection.

    A model can write to the connection, or fork and speak with two tongues. So whatever is not the answer that is
    awaited of this very process ends it.

    ready: done when it is warm, or fails with LoadFailed or WorkerLost.
    gone: done when the process has ended and been reaped; its result says how, for people.
    """

    def __init__(self, spec: ExecutorSpec, pipe: OutputPipe, end: Callable[[Worker], None]) -> None:
        """end: called to end the process and its whole group; `died` follows."""
        loop = asyncio.get_running_loop()
        self.pid = 0
        self.pipe = pipe
        self.connection: socket.socket | None = None  # the transport owns it, once there is one
        self.ended_at_work = False
        self.retired = False  # ended by us, because it was not needed
        self.idle_since = 0.0  # on the loop's clock
        self.ready: asyncio.Future[None] = loop.create_future()
        self.gone: asyncio.Future[str] = loop.create_future()
        self._end = end
        self._killed = ""  # why
        self._broken = False
        self._transport: asyncio.Transport | None = None
        self._limit_bytes = 2 * spec.inline_limit_bytes + spec.message_limit_bytes + wire.HEADER_BYTES
        self._unpacker = wire.Unpacker(self._limit_bytes)
        self._answer: asyncio.Future[Outcome] | None = None
        self._call: Call | None = None
        self._reports = 0
        self._begun = 0.0

    @property
    def alive(self) -> bool:
        """Fit for a call. One that has been killed is not, though its end is still on its way."""
        ended = self._killed or self.gone.done()
        return not ended and self._transport is not None and not self._transport.is_closing()

    def begin(self, call: Call, watcher: Watcher | None) -> asyncio.Future[Outcome]:
        """Send a call to the idle worker; the future ends with its outcome, also if the process dies."""
        assert self._transport is not None and self._answer is None
        frame = wire.pack(_encoded(call.to_plain()))
        self.pipe.take()  # what was printed between calls belongs to none
        answer = self._answer = asyncio.get_running_loop().create_future()
        self._call = call
        self._reports = 0
        self.pipe.watcher = watcher
        self._transport.write(frame)
        return answer

    # Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its class
        if self.gone.done():
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        if self._broken:
            return
        try:
            for header, payload in self._unpacker.feed(data):
                self._handle(messages.of_worker(header), payload)
        except (wire.BrokenFrame, msgspec.DecodeError, OSError) as error:
            self._broken = True
            self.kill(f"the model's process broke the protocol, so it was stopped: {error}")

    def connection_lost(self, error: Exception | None) -> None:
        if not self.gone.done():
            self._end(self)  # it may have closed its end and live on

    def _handle(self, message: Any, payload: bytes) -> None:
        if type(message) is messages.Answer:
            self._finish(self._outcome(message, payload))
        elif type(message) is messages.Progress:
            self._report(message)
        elif self.ready.done():
            raise wire.BrokenFrame("it says again how it has started")
        elif type(message) is messages.Failed:
            self.ready.set_exception(message.error.error())
        else:
            self.pipe.take()
            self.ready.set_result(None)

    def _outcome(self, answer: messages.Answer, payload: bytes) -> Outcome:
        """Raises BrokenFrame, OSError where it is not what was asked of this process."""
        call = self._call
        if call is None or (answer.id, answer.pid) != (call.id, self.pid):
            raise wire.BrokenFrame("an answer that nobody awaits of it")
        timings = cast("dict[str, float]", answer.timings)
        if answer.error is not None:
            return Outcome(error=answer.error.error(), timings=timings)
        body, *texts = wire.split(answer.blobs, payload)
        outcome = Outcome(answer.media_type, body, filename=answer.filename, timings=timings)
        if answer.file is not None:
            outcome.path = f"{call.scratch}/{answer.file}"
            if not stat.S_ISREG(os.lstat(outcome.path).st_mode):
                raise wire.BrokenFrame("an answer in what is no file")
        if texts:
            outcome.text = texts[0].decode(errors="replace")
        return outcome

    def _report(self, report: messages.Progress) -> None:
        self._reports += 1
        now = time.monotonic()
        if self._reports == 1:
            self._begun = now
        if self._reports > REPORTS_BURST + REPORTS_S * (now - self._begun):
            raise wire.BrokenFrame("it reports progress too often")
        # A thread that the model has left behind may still speak of an earlier call.
        if self.pipe.watcher is not None and self._call is not None and report.id == self._call.id:
            self.pipe.watcher.progress(report.fraction, report.message)

    def _finish(self, outcome: Outcome) -> None:
        answer, self._answer = self._answer, None
        self._call = None
        outcome.worker = self.pid
        outcome.log = self.pipe.take()  # what is left in the pipe reaches the watcher before the outcome does
        self.pipe.watcher = None
        if answer is not None and not answer.done():
            answer.set_result(outcome)

    def _read_rest(self) -> None:
        """The process may have said why it ended, and the news of its end came first."""
        try:
            for _ in range(self._limit_bytes // READ_BYTES + 1):  # a copy of it may go on speaking
                if self.connection is None or not (rest := os.read(self.connection.fileno(), READ_BYTES)):
                    break
                self.data_received(rest)
        except OSError:
            pass  # there is no more, or the connection is closed

    # Ending

    def kill(self, why: str = "stopped by the server") -> None:
        """End the process and its whole group; `gone` follows."""
        self._killed = self._killed or why
        self._end(self)

    def retire(self) -> None:
        """End an idle worker that is not needed any more."""
        self.retired = True
        self.kill()

    def died(self, how: str) -> None:
        """The template has reaped the process."""
        if self.gone.done():
            return
        self._read_rest()
        how = self._killed or how
        self.gone.set_result(how)
        error = WorkerLost(f"the worker process ended during the call: {how}")
        at_work = self._answer is not None
        self.ended_at_work = at_work or bool(self._killed)  # a deadline may kill it just when its answer comes
        if at_work:
            self._finish(Outcome(error=error))
        if not self.ready.done():
            log = self.pipe.take().decode(errors="replace")
            self.ready.set_exception(LoadFailed(f"the worker process ended while it started: {how}", detail=log))
        self.ready.exception()  # seen here, in case nobody waits for it
        if self._transport is not None:
            self._transport.close()
        self.pipe.close()


def _encoded(plain: dict[str, Any]) -> bytes:
    try:
        return _encode(plain)
    except UnicodeEncodeError:
        # A header or a file name that is not UTF-8: Python keeps its bytes as lone surrogates, and so does its JSON.
        return json.dumps(plain).encode()
