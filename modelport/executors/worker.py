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
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from typing import cast

import msgspec

from modelport.contract import wire
from modelport.contract.prediction import Batch, Call, Outcome
from modelport.errors import LoadFailed, WorkerLost
from modelport.executors import ExecutorSpec, Keeper, messages
from modelport.executors.flow import Flow, Run
from modelport.executors.output import OutputPipe

READ_BYTES = 1 << 16

# An honest worker reports at most 50 times a second, after as many at once (child/reporter.py).
REPORTS_BURST = 100
REPORTS_S = 100

# To the first pipe, a message that is no call.
BEGIN = b"0{}"

_encode = msgspec.json.Encoder().encode


class Worker(asyncio.Protocol):
    """One worker process and its connection.

    A model can write to the connection, or fork and speak with two tongues. So whatever is not the answer that is
    awaited of this very process ends it.

    ready: done when it is warm, or fails with LoadFailed or WorkerLost.
    gone: done when the process has ended and been reaped; its result says how, for people.
    runs: sent and not answered yet, in order. The process reads a call when it has answered the one before, so the
        first is at work and the others can be taken back.
    freed: called when an outcome has come, before whoever waits for it is woken, with the seconds that it took; None
        for a stream, which takes as long as its client.
    returned: called with the runs that the process had not read when it ended.
    """

    def __init__(self, spec: ExecutorSpec, pipes: list[OutputPipe], end: Callable[[Worker], None]) -> None:
        """end: called to end the process and its whole group; `died` follows."""
        loop = asyncio.get_running_loop()
        self.pid = 0
        self.pipes = pipes
        self.connection: socket.socket | None = None  # the transport owns it, once there is one
        self.runs: deque[Run] = deque()
        self.freed: Callable[[Worker, float | None], None] = _ignore
        self.returned: Callable[[list[Run]], None] = _ignore
        self.useful = False  # it has answered a call, or has ended at one or by our hand
        self.retired = False  # ended by us, because it was not needed
        self.ended_spare = False  # it was a spare one, and ended by itself before it was ready, perhaps before it began
        self.idle_since = 0.0  # on the loop's clock
        self.ready: asyncio.Future[None] = loop.create_future()
        self.gone: asyncio.Future[str] = loop.create_future()
        self._end = end
        self._spare = False
        self.alive = False  # fit for a call: one that has been killed is not, though its end is still on its way
        self._killed = ""  # why
        self._broken = False
        self._transport: asyncio.Transport | None = None
        self.flow = Flow()
        self._limit_bytes = 2 * spec.inline_limit_bytes + spec.message_limit_bytes + wire.HEADER_BYTES
        self._unpacker = wire.Unpacker(self._limit_bytes)
        self._reports = 0  # of the call at work
        self._begun = 0.0
        self._slot = 0  # the pipe of the run that was sent last
        self._large = False  # whether that lies in the stream
        # Each call is one message, so that reading it from our copy of the other end takes it back, or finds it gone.
        self._calls, self._unread = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._calls.setblocking(False)

    def __str__(self) -> str:
        return f"worker {self.pid}"

    def descriptors(self, connection: socket.socket) -> list[int]:
        """What the process is given. connection: its end of the stream on which it answers."""
        return [connection.fileno(), self._unread.fileno(), *(pipe.write_end for pipe in self.pipes)]

    def begin(self) -> None:
        """A spare one has only imported the plugin: it goes on now, and `ready` follows."""
        self._spare = True
        self._calls.send(BEGIN)

    # Calls

    def send(self, run: Run) -> bool:
        """Send a call, at most as many as there are pipes; False where it has to wait until the worker is idle."""
        ahead = bool(self.runs)
        slot = self._free_slot() if ahead else self._slot
        frame = b"%d%b" % (slot, _encoded(run.call))
        if not ahead:
            self.pipes[slot].take()  # what was printed between calls belongs to none
        large = len(frame) > wire.MESSAGE_BYTES
        if ahead and (large or self._large):
            return False  # a call behind a large one could not be taken back
        try:
            self._calls.send(b"%d@%d" % (slot, len(frame) - 1 + self.flow.unread) if large else frame)
        except BlockingIOError:
            return False
        except OSError as error:
            self._break(error)  # the model has shut the socket down
            return False
        if large:
            assert self._transport is not None
            self._transport.write(memoryview(frame)[1:])
            self.flow.unread = 0
        self.pipes[slot].watcher = run.watcher
        self._slot = run.slot = slot
        self._large = large
        self.runs.append(run)
        run.worker, run.queued_s = self, time.perf_counter() - run.started
        return True

    def _free_slot(self) -> int:
        taken = [run.slot for run in self.runs]
        return next(slot for slot in range(len(self.pipes)) if slot not in taken)

    def take_back(self) -> list[Run]:
        """The runs that the process has not read, in order. They are not at work, and will not be.

        One whose call lies in the stream stays while the process may read it.
        """
        slots = set()
        while self.runs:
            try:
                # The rest of a message goes with its first bytes. The process reads on meanwhile, so what is found here
                # need not be what was sent last.
                message = self._unread.recv(2, socket.MSG_DONTWAIT | socket.MSG_PEEK)
                if not message or (message.endswith(b"@") and not self.gone.done()):
                    break  # there is none where the model has shut the socket down
                slots.add(self._unread.recv(1, socket.MSG_DONTWAIT)[0] - ord("0"))
            except OSError:
                break
        runs = [run for run in self.runs if run.slot in slots]
        for run in runs:
            self.runs.remove(run)
            self.pipes[run.slot].watcher = run.worker = None
        return runs

    # Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its class
        self.flow.connect(transport)
        self.alive = not self._killed and not self.gone.done()
        if self.gone.done():
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        if self._broken:
            return
        try:
            self._unpacker.feed(data, self._handle)
        except (wire.BrokenFrame, msgspec.DecodeError, OSError) as error:
            self._break(error)

    def connection_lost(self, error: Exception | None) -> None:
        self.alive = False
        if not self.gone.done():
            self._end(self)  # it may have closed its end and live on

    def _break(self, error: Exception) -> None:
        """Only a model can do this. Nothing that its process says can be trusted any more."""
        self._broken = True
        self.kill(f"the model's process broke the protocol and was stopped: {error}")

    def _handle(self, header: bytes, payload: bytes) -> None:
        message = messages.of_worker(header)
        if type(message) is messages.Answer:
            self.useful = True
            call = self.runs[0].call if self.runs else None
            self._finish(self._outcome(call, message, payload), printed=message.printed, stopped=message.stopped)
        elif type(message) is messages.Item:
            self._take_item(message, payload)
        elif type(message) is messages.Value:
            self.flow.take(self.runs[0] if self.runs else None, message.id, payload)
        elif type(message) is messages.Progress:
            self._report(message)
        elif type(message) is messages.Artifact:
            self._keep(message)
        elif self.ready.done():
            raise wire.BrokenFrame("it says again how it has started")
        elif type(message) is messages.Failed:
            self.ready.set_exception(message.error.error())
        else:
            self.pipes[0].take()
            self.ready.set_result(None)

    def _take_item(self, item: messages.Item, payload: bytes) -> None:
        batch = self.runs[0].call if self.runs else None
        if not isinstance(batch, Batch) or len(batch.outcomes) == len(batch.calls):
            raise wire.BrokenFrame("an answer of a batch that nobody awaits of it")
        batch.outcomes.append(self._outcome(batch.calls[len(batch.outcomes)], item, payload))

    def _outcome(self, call: Call | Batch | None, answer: messages.Answer, payload: bytes) -> Outcome:
        """Raises BrokenFrame, OSError where it is not what was asked of this process."""
        if call is None or answer.id != call.id or answer.pid != self.pid:
            raise wire.BrokenFrame("an answer that nobody awaits of it")
        timings = cast("dict[str, float]", answer.timings)
        if answer.error is not None:
            return Outcome(error=answer.error.error(), timings=timings, values=answer.values)
        body, *texts = (payload,) if answer.blobs is None else wire.split(answer.blobs, payload)
        outcome = Outcome(
            answer.media_type, body, filename=answer.filename, timings=timings, untouched=answer.untouched
        )
        outcome.values = answer.values
        if answer.file is not None:
            outcome.path = f"{call.scratch}/{answer.file}"
            if not stat.S_ISREG(os.lstat(outcome.path).st_mode):
                raise wire.BrokenFrame("an answer in something that is not a file")
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
        run = self.runs[0] if self.runs else None
        if run is not None and run.watcher is not None and report.id == run.call.id:
            run.watcher.progress(report.fraction, report.message)
            if report.metrics and isinstance(run.watcher, Keeper):
                run.watcher.metrics(report.metrics)

    def _keep(self, artifact: messages.Artifact) -> None:
        """Raises BrokenFrame where it is no file of that call."""
        run = self.runs[0] if self.runs else None
        if run is None or artifact.id != run.call.id:
            raise wire.BrokenFrame("an artifact of a call that it does not work on")
        path = f"{run.call.scratch}/{artifact.file}"
        if isinstance(run.watcher, Keeper):
            run.watcher.artifact(path, artifact.name)

    def _finish(self, outcome: Outcome, *, printed: bool, stopped: bool = False) -> None:
        """printed: the pipe may hold something that has not been read yet."""
        run = self.runs.popleft()
        self._reports = 0
        outcome.worker = self.pid
        pipe = self.pipes[run.slot]
        if printed or pipe.kept:
            outcome.log = pipe.take()  # what is left in the pipe reaches the watcher before the outcome does
        pipe.watcher = None
        if run.told:
            self.flow.ended(run, stopped=stopped)
        if self.alive:
            # The next call is on its way before whoever waits for this outcome is woken.
            self.freed(self, None if run.told else sum(outcome.timings.values()))
        run.finish(outcome)

    def catch_up(self) -> None:
        """Hear what the process has said, without sending it anything: it may have to be killed, and would take what it
        had just begun with it."""
        self.alive = False
        self.read_now()
        self.alive = not self._killed and not self.gone.done()

    def read_now(self) -> None:
        """What the process has said and the event loop has not come to."""
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
        self.alive = False
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
        self.alive = False
        self.read_now()  # it may have said why it ended
        how = self._killed or how
        self.gone.set_result(how)
        unread = self.take_back()
        at_work = bool(self.runs)
        # A deadline may kill it just when its answer comes.
        self.useful = self.useful or at_work or bool(self._killed)
        while self.runs:  # more than one, where a model has read calls before their turn
            self._finish(Outcome(error=WorkerLost(f"the worker process ended during the call: {how}")), printed=True)
        if not self.ready.done():
            self.ended_spare = self._spare and not self._killed
            log = self.pipes[0].take().decode(errors="replace")
            self.ready.set_exception(LoadFailed(f"the worker process ended while it started: {how}", detail=log))
        self.ready.exception()  # seen here, in case nobody waits for it
        if self._transport is not None:
            self._transport.close()
        self.close()
        self.returned(unread)

    def close(self) -> None:
        """Its pipes and the socket of its calls."""
        for pipe in self.pipes:
            pipe.close()
        self._calls.close()
        self._unread.close()


def _ignore(*_: object) -> None:
    """Whoever wants to know sets another."""


def _encoded(call: Call | Batch) -> bytes:
    try:
        return _encode(call)
    except UnicodeEncodeError:
        # A header or a file name that is not UTF-8: Python keeps its bytes as lone surrogates, and so does its JSON.
        return json.dumps(asdict(call)).encode()
