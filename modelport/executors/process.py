"""The gateway's side of a deployment's processes: one template, and the workers that it makes.

Everything here runs in the event loop's thread and waits for nothing but events.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import msgspec

from modelport import child
from modelport.contract import wire
from modelport.contract.card import Card
from modelport.contract.prediction import Call, Outcome
from modelport.errors import DeadlineExceeded, LoadFailed, ModelportError, WorkerLost, from_plain
from modelport.executors import ExecutorSpec, Output, Watcher, endings, environment, orphans
from modelport.executors.output import OutputPipe

BOOT = Path(child.__file__).with_name("boot.py")
READ_BYTES = 1 << 16

# A killed process that the template has not reported after so long is killed from here, and given up.
REPORT_WAIT_S = 2.0

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Run:
    """A call and the future of its outcome. It waits, is sent to a worker, is at work there, and is answered.

    answer: always an Outcome; what goes wrong is in it.
    worker: to which it was sent; None while it waits.
    slot: the worker's output pipe that holds what this run prints.
    late: its time limit has passed.
    over: its outcome has come, whether or not anybody still waits for it.
    """

    __slots__ = ("answer", "call", "late", "over", "queued_s", "slot", "started", "watcher", "worker")

    def __init__(self, call: Call, watcher: Watcher | None) -> None:
        self.call = call
        self.watcher = watcher
        self.answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.worker: Worker | None = None
        self.slot = 0
        self.late = self.over = False
        self.started = time.perf_counter()
        self.queued_s = 0.0

    def sent(self, worker: Worker) -> None:
        self.worker = worker
        self.queued_s = time.perf_counter() - self.started

    def finish(self, outcome: Outcome) -> None:
        self.over = True
        outcome.timings["queue"] = self.queued_s
        if not self.answer.done():
            self.answer.set_result(outcome)

    def fail(self, error: ModelportError) -> None:
        """It never reached the model."""
        self.queued_s = time.perf_counter() - self.started
        self.finish(Outcome(error=error))

    def too_late(self) -> None:
        """No worker was free in time."""
        self.fail(DeadlineExceeded(f"no worker was free within {self.call.timeout_s:g} s, the time limit"))


class Worker(asyncio.Protocol):
    """One worker process, seen from the gateway.

    ready: done when it is warm, or fails with LoadFailed or WorkerLost.
    gone: done when the process has ended and been reaped; its result says how, for people.
    runs: sent and not answered yet, in order. The process reads a call when it has answered the one before, so the
        first is at work and the others can be taken back.
    freed: called when an outcome has come, before whoever waits for it is woken.
    returned: called with the runs that a process had not read when it ended.
    """

    def __init__(self, template: Template, pipes: list[OutputPipe]) -> None:
        loop = asyncio.get_running_loop()
        self.pid = 0
        self.pipes = pipes
        self.connection: socket.socket | None = None  # the transport owns it, once there is one
        self.runs: deque[Run] = deque()
        self.freed: Callable[[Worker, float], None] = _ignore
        self.returned: Callable[[list[Run]], None] = _ignore
        self.ended_at_work = False
        self.retired = False  # ended by us, because it was not needed
        self.idle_since = 0.0  # on the loop's clock
        self._killed = False
        self.ready: asyncio.Future[None] = loop.create_future()
        self.gone: asyncio.Future[str] = loop.create_future()
        self._template = template
        self._transport: asyncio.Transport | None = None
        self._unpacker = wire.Unpacker()
        self._slot = 0  # the pipe of the run that was sent last
        # Each call is one message, so that reading it from our copy of the other end takes it back, or finds it gone.
        self._calls, self._unread = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._calls.setblocking(False)

    @property
    def alive(self) -> bool:
        """Fit for a call. One that has been killed is not, though its end is still on its way."""
        ended = self._killed or self.gone.done()
        return not ended and self._transport is not None and not self._transport.is_closing()

    def descriptors(self, connection: socket.socket) -> list[int]:
        """What the process is given. connection: its end of the stream on which it answers."""
        return [connection.fileno(), self._unread.fileno(), *(pipe.write_end for pipe in self.pipes)]

    # Calls

    def send(self, run: Run) -> bool:
        """Send a call, at most as many as there are pipes; False where it has to wait until the worker is idle."""
        ahead = bool(self.runs)
        slot = (self._slot + 1) % len(self.pipes) if ahead else self._slot
        frame = b"%d%b" % (slot, _encoded(run.call))
        if not ahead:
            self.pipes[slot].take()  # what was printed between calls belongs to none
        if len(frame) <= wire.MESSAGE_BYTES:
            try:
                self._calls.send(frame)
            except BlockingIOError:
                return False
        elif ahead:
            return False
        else:
            assert self._transport is not None
            self._calls.send(b"%d@%d" % (slot, len(frame) - 1))
            self._transport.write(memoryview(frame)[1:])
        self.pipes[slot].watcher = run.watcher
        self._slot = run.slot = slot
        self.runs.append(run)
        run.sent(self)
        return True

    def take_back(self) -> list[Run]:
        """The runs that the process has not read, in order. They are not at work, and will not be."""
        unread = 0
        while self.runs:
            try:
                self._unread.recv(1, socket.MSG_DONTWAIT)  # the rest of a message goes with its first byte
            except BlockingIOError:
                break
            unread += 1
        runs = [self.runs.pop() for _ in range(unread)]
        for run in runs:
            self.pipes[run.slot].watcher = run.worker = None
        if runs:
            self._slot = self.runs[-1].slot if self.runs else runs[-1].slot
        return runs[::-1]

    # Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its class
        if self.gone.done():
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        try:
            for header, payload in self._unpacker.feed(data):
                self._handle(_decode(header), payload)
        except (wire.BrokenFrame, msgspec.DecodeError, KeyError, TypeError):
            # Only a plugin that writes to our descriptor can do this. Nothing it says can be trusted any more.
            self.kill()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.gone.done():
            self._template.kill(self)  # it may have closed its end and live on

    def _handle(self, message: dict[str, Any], payload: bytes) -> None:
        kind = message["is"]
        if kind == "outcome":
            self._finish(_outcome(message, payload), printed=message["printed"])
        elif kind == "progress":
            # A thread that the model has left behind may still speak of an earlier call.
            run = self.runs[0] if self.runs else None
            if run is not None and run.watcher is not None and message["id"] == run.call.id:
                run.watcher.progress(message["fraction"], message["message"])
        elif kind == "ready":
            self.pipes[0].take()
            if not self.ready.done():
                self.ready.set_result(None)
        elif kind == "failed" and not self.ready.done():
            self.ready.set_exception(from_plain(message["error"]))

    def _finish(self, outcome: Outcome, *, printed: bool) -> None:
        """printed: the pipe may hold something that has not been read yet."""
        run = self.runs.popleft()
        outcome.worker = self.pid
        pipe = self.pipes[run.slot]
        if printed or pipe.holds:
            outcome.log = pipe.take()  # what is left in the pipe reaches the watcher before the outcome does
        pipe.watcher = None
        if self.alive:
            self.freed(
                self, sum(outcome.timings.values())
            )  # the next call is on its way before whoever waits for this outcome is woken
        run.finish(outcome)

    def _read_rest(self) -> None:
        """The process may have said why it ended, and the news of its end came first."""
        try:
            while self.connection is not None and (rest := os.read(self.connection.fileno(), READ_BYTES)):
                self.data_received(rest)
        except OSError:
            pass  # there is no more, or the connection is closed

    # Ending

    def kill(self) -> None:
        """End the process and its whole group; `gone` follows."""
        self._killed = True
        self._template.kill(self)

    def retire(self) -> None:
        """End an idle worker that is not needed any more."""
        self.retired = True
        self.kill()

    def died(self, how: str) -> None:
        """The template has reaped the process."""
        if self.gone.done():
            return
        self._read_rest()
        how = "stopped by the server" if self._killed else how
        self.gone.set_result(how)
        unread = self.take_back()
        at_work = bool(self.runs)
        self.ended_at_work = at_work or self._killed  # a deadline may kill it just when its answer comes
        if at_work:
            error = WorkerLost(f"the worker process ended during the call: {how}")
            self._finish(Outcome(error=error), printed=True)
        if not self.ready.done():
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


def _encoded(call: Call) -> bytes:
    try:
        return _encode(call)
    except UnicodeEncodeError:
        # A header or a file name that is not UTF-8: Python keeps its bytes as lone surrogates, and so does its JSON.
        return json.dumps(asdict(call)).encode()


def _outcome(message: dict[str, Any], payload: bytes) -> Outcome:
    timings = message["timings"]
    error = message.get("error")
    if error is not None:
        return Outcome(error=from_plain(error), timings=timings)
    blobs = wire.split(message, payload)
    return Outcome(
        media_type=message["media_type"],
        body=blobs[0],
        path=message.get("path"),
        filename=message.get("filename"),
        text=blobs[1].decode(errors="replace") if len(blobs) > 1 else None,
        timings=timings,
    )


class Template:
    """The deployment's one direct child, which imports the plugin and makes workers.

    card: the plugin described; fails with LoadFailed.
    gone: done when the process has ended; all workers have ended before it.
    """

    def __init__(self, spec: ExecutorSpec, output: Output) -> None:
        loop = asyncio.get_running_loop()
        self.spec = spec
        self.start_method = "fork"
        self.spawn_reason = ""
        self.card: asyncio.Future[Card] = loop.create_future()
        self.gone: asyncio.Future[str] = loop.create_future()
        self._loop = loop
        self._output = output
        self._workers: dict[int, Worker] = {}
        self._starting: dict[int, tuple[Worker, asyncio.Future[None]]] = {}
        self._next_id = 0
        self._unpacker = wire.Unpacker()
        self._pipe = OutputPipe(loop, spec.log_tail_bytes, output)
        self._mark = secrets.token_hex(8)
        self._ending: asyncio.Task[None] | None = None
        self._connection, child_end = socket.socketpair()
        self._connection.setblocking(False)
        try:
            self._process = self._spawn(child_end)
        except OSError as error:
            self._connection.close()
            self._pipe.close()
            raise LoadFailed(f"the interpreter {spec.python or sys.executable} cannot be started: {error}") from error
        finally:
            child_end.close()
            self._pipe.close_write_end()
        self.pid = self._pipe.pid = self._process.pid
        self._pidfd = os.pidfd_open(self._process.pid)
        loop.add_reader(self._connection, self._read)
        loop.add_reader(self._pidfd, self._exited)

    def _spawn(self, child_end: socket.socket) -> subprocess.Popen[bytes]:
        config = {
            "parent": os.getpid(),
            "module": self.spec.module,
            "name": self.spec.name,
            "work": self.spec.work,
            "home": self.spec.home,
            "start_method": self.spec.start_method,
            "warm": self.spec.warm,
            "debug": self.spec.debug,
            "inline_limit_bytes": self.spec.inline_limit_bytes,
            "nan": self.spec.nan,
            "memory_bytes": self.spec.memory_bytes,
        }
        descriptor = child_end.fileno()
        python = self.spec.python or sys.executable
        return subprocess.Popen(
            [python, str(BOOT), "template", str(descriptor), json.dumps(config)],
            stdin=subprocess.DEVNULL,
            stdout=self._pipe.write_end,
            stderr=self._pipe.write_end,
            pass_fds=(descriptor,),
            env={**environment.of_child(self.spec), orphans.MARK: self._mark},
            start_new_session=True,
        )

    # Workers

    async def start_worker(self, **config: Any) -> Worker:
        """A new worker process, not yet warm. `config` overrides the deployment's own for this worker.

        Raises LoadFailed when no process can be made.
        """
        await asyncio.shield(self.card)
        limit, pipes = self.spec.log_tail_bytes, 1 + self.spec.queue_ahead
        worker = Worker(self, [OutputPipe(self._loop, limit, self._output) for _ in range(pipes)])
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            self._next_id += 1
            number = self._next_id
            started: asyncio.Future[None] = self._loop.create_future()
            self._starting[number] = worker, started
            descriptors = worker.descriptors(theirs)
            message = {"do": "start", "id": number, "config": config, "descriptors": len(descriptors)}
            self._send(message, descriptors)
        except OSError as error:
            ours.close()
            worker.close()
            raise LoadFailed(f"the template process is gone: {error}") from error
        finally:
            theirs.close()
            for pipe in worker.pipes:
                pipe.close_write_end()
        try:
            worker.connection = ours
            await started
        except BaseException:
            ours.close()  # a worker that was started after all ends by itself when its connection closes
            worker.close()
            raise
        await self._loop.create_unix_connection(lambda: worker, sock=ours)
        return worker

    def kill(self, worker: Worker) -> None:
        if worker.gone.done():
            return
        try:
            self._send({"do": "kill", "pid": worker.pid})
        except OSError:
            endings.kill_group(worker.pid)
        self._loop.call_later(REPORT_WAIT_S, self._give_up, worker)

    def _give_up(self, worker: Worker) -> None:
        if not worker.gone.done():
            endings.kill_group(worker.pid)
            self._workers.pop(worker.pid, None)
            worker.died("it was killed and the template did not report its end")

    # Control

    def _send(self, message: dict[str, Any], descriptors: list[int] | None = None) -> None:
        # A control message is a few hundred bytes, so it fits the socket's buffer or the template is stuck for good.
        data = wire.pack(_encode(message))
        if descriptors:
            socket.send_fds(self._connection, [data], descriptors)
        else:
            self._connection.sendall(data)

    def _read(self) -> None:
        try:
            chunk = self._connection.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            self._loop.remove_reader(self._connection)
            return
        try:
            for header, _ in self._unpacker.feed(chunk):
                self._handle(_decode(header))
        except (wire.BrokenFrame, msgspec.DecodeError, KeyError, TypeError) as error:
            # A plugin wrote to our descriptor while it was imported. It cannot be trusted with more.
            self._fail(LoadFailed(f"the process that loads the plugin says what cannot be understood: {error}"))
            self._loop.remove_reader(self._connection)
            self._process.kill()

    def _handle(self, message: dict[str, Any]) -> None:
        kind = message["is"]
        if kind == "started":
            worker, started = self._starting.pop(message["id"])
            if started.done():
                self._send({"do": "kill", "pid": message["pid"]})  # whoever wanted it has gone
            else:
                # Known from here on: the next message may be that it has ended.
                worker.pid = message["pid"]
                for pipe in worker.pipes:
                    pipe.pid = worker.pid
                self._workers[worker.pid] = worker
                started.set_result(None)
        elif kind == "refused":
            _, started = self._starting.pop(message["id"])
            if not started.done():
                started.set_exception(LoadFailed(f"no worker process can be made: {message['why']}"))
        elif kind == "exited":
            ended = self._workers.pop(message["pid"], None)
            if ended is not None:
                ended.died(endings.in_words(message["status"]))
        elif kind == "card":
            self.start_method, self.spawn_reason = message["start_method"], message["reason"]
            if not self.card.done():
                self.card.set_result(Card.from_plain(message["card"]))
        elif kind == "failed":
            self._fail(from_plain(message["error"]))

    def _fail(self, error: ModelportError) -> None:
        if not self.card.done():
            self.card.set_exception(error)
            self.card.exception()  # seen here, in case nobody waits for it

    # Ending

    def _exited(self) -> None:
        """The template has ended, and with it, by the kernel's hand, every worker."""
        self._read()  # its last words
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._loop.remove_reader(self._connection)
        self._connection.close()
        status = self._process.wait()
        how = endings.signal_name(-status) if status < 0 else f"exit status {status}"
        tail = self._pipe.take().decode(errors="replace")
        self._fail(LoadFailed(f"the process that loads the plugin ended: {how}", detail=tail))
        for _, started in self._starting.values():
            if not started.done():
                started.set_exception(LoadFailed(f"the template process ended: {how}"))
        self._starting.clear()
        self._ending = asyncio.create_task(self._end_descendants(how))

    async def _end_descendants(self, how: str) -> None:
        """Workers, and what they had started, before anybody is told that they are gone."""
        workers = list(self._workers.values())
        await asyncio.to_thread(orphans.end_all, self._mark)
        await asyncio.to_thread(orphans.reap_workers, [each.pid for each in workers])
        for worker in workers:
            worker.died("its template process ended: " + how)
        self._workers.clear()
        self._pipe.close()
        if not self.gone.done():
            self.gone.set_result(how)

    async def stop(self) -> None:
        """End the template and all workers; returns when they are reaped."""
        if not self.gone.done():
            self._process.send_signal(signal.SIGTERM)
            done, _ = await asyncio.wait({self.gone}, timeout=REPORT_WAIT_S)
            if not done:
                self._process.kill()
                await self.gone
