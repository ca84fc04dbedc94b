"""A deployment's one direct child, seen from the gateway: it imports the plugin and makes the workers.

Everything here runs in the event loop's thread and waits for nothing but events. The child runs a plugin's import, and
hooks of the plugin when it forks; so whatever is asked of it has a limit, `child_timeout_s`, after which it is killed,
with all that has come from it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from modelport import child
from modelport.contract import descent, wire
from modelport.contract.card import Card
from modelport.environment import child_environment
from modelport.errors import LoadFailed, ModelportError
from modelport.executors import ExecutorSpec, Output, descendants, messages
from modelport.executors.output import OutputPipe
from modelport.executors.worker import READ_BYTES, Worker

logger = logging.getLogger(__name__)

BOOT = Path(child.__file__).with_name("boot.py")

# What of a deployment's specification its processes are told.
CONFIGURATION = (
    *("module", "name", "start_method", "warm", "debug", "memory_bytes"),
    *("inline_limit_bytes", "message_limit_bytes", "card_limit_bytes", "job_artifacts_bytes"),
    *("work", "home", "nan"),
)

_encode = msgspec.json.Encoder().encode


class Template:
    """The process, while it lives.

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
        self.ending = False  # it has been killed, or has ended
        self._why = ""  # it has been killed
        self._loop = loop
        self._output = output
        self._workers: dict[int, Worker] = {}
        self._starting: dict[int, tuple[Worker, asyncio.Future[None]]] = {}
        self._awaited: dict[tuple[str, int], asyncio.TimerHandle] = {}
        self._spare: asyncio.Task[Worker] | None = None
        self._next_id = 0
        self._unpacker = wire.Unpacker(spec.card_limit_bytes + spec.message_limit_bytes + wire.HEADER_BYTES)
        self._clearing: asyncio.Task[None] | None = None
        try:
            self._start()
        except OSError as error:
            raise LoadFailed(f"the interpreter {spec.python or sys.executable} cannot be started: {error}") from error
        self.pid = self._pipe.pid = self._process.pid
        descendants.TEMPLATES.add(self.pid)
        loop.add_reader(self._connection, self._read)
        loop.add_reader(self._pidfd, self._exited)

    def _start(self) -> None:
        """Raises OSError, as where too many files are open; then nothing is left."""
        with contextlib.ExitStack() as undo:
            self._pipe = OutputPipe(self._loop, self.spec.log_tail_bytes, self._output)
            undo.callback(self._pipe.close)
            self._connection, child_end = socket.socketpair()
            undo.enter_context(self._connection)
            self._connection.setblocking(False)
            with child_end:
                self._process = self._spawn(child_end)
            undo.callback(self._process.wait)
            undo.callback(self._process.kill)
            self._pidfd = os.pidfd_open(self._process.pid)
            undo.pop_all()
        self._pipe.close_write_end()

    def _spawn(self, child_end: socket.socket) -> subprocess.Popen[bytes]:
        config = {"parent": os.getpid(), "tomllib": os.path.dirname(tomllib.__file__)}
        config |= {name: getattr(self.spec, name) for name in CONFIGURATION}
        descriptor = child_end.fileno()
        python, path = self.spec.python or sys.executable, {}
        if self.spec.python is not None:
            # Modules start programs that lie beside their interpreter: they come first, as in an activated environment.
            # Not those beside its real path: the `bin/python` of an environment is a link.
            folder = os.path.dirname(os.path.abspath(shutil.which(python) or python))
            path = {"PATH": os.pathsep.join([folder, os.environ.get("PATH", os.defpath)])}
        return subprocess.Popen(
            [python, str(BOOT), "template", str(descriptor), json.dumps(config)],
            stdin=subprocess.DEVNULL,
            stdout=self._pipe.write_end,
            stderr=self._pipe.write_end,
            pass_fds=(descriptor,),
            env={**child_environment(), **path, **self.spec.environment},
            start_new_session=True,
        )

    # Workers

    async def start_worker(self, **config: Any) -> Worker:
        """A new worker process, not yet warm. `config` overrides the deployment's own for this worker.

        Raises LoadFailed when no process can be made.
        """
        await asyncio.shield(self.card)
        if self.ending:
            raise LoadFailed("no worker process can be made: the process that makes them has ended")
        pipes: list[OutputPipe] = []
        with contextlib.ExitStack() as undo:
            try:
                for _ in range(1 + self.spec.queue_ahead):
                    pipes.append(OutputPipe(self._loop, self.spec.log_tail_bytes, self._output))
                    undo.callback(pipes[-1].close)
                worker = Worker(self.spec, pipes, self._end_worker)
                undo.callback(worker.close)
                worker.connection, theirs = socket.socketpair()
            except OSError as error:  # too many files are open
                raise LoadFailed(f"no worker process can be made: {error}") from error
            # A worker that was started after all ends by itself when its connection closes.
            undo.enter_context(worker.connection)
            worker.connection.setblocking(False)
            with theirs:
                started = self._ask_worker(worker, theirs, config)
            for pipe in pipes:
                pipe.close_write_end()
            await started
            undo.pop_all()
        await self._loop.create_unix_connection(lambda: worker, sock=worker.connection)
        return worker

    def _ask_worker(self, worker: Worker, theirs: socket.socket, config: dict[str, Any]) -> asyncio.Future[None]:
        self._next_id += 1
        number = self._next_id
        started: asyncio.Future[None] = self._loop.create_future()
        self._starting[number] = worker, started
        descriptors = worker.descriptors(theirs)
        order = {"do": "start", "id": number, "config": config, "descriptors": len(descriptors)}
        self._ask("start", number, order, descriptors)
        return started

    # A spare worker: it has imported the plugin, and waits to be needed before it does more

    def keep_spare(self) -> None:
        """Where workers cannot be forked, have one. Only beside a worker, whose own import is not made slower by it."""
        if self._spare is not None and self._spare.done() and not _lives(self._spare):
            self._spare = None
        if self.spec.spare_worker and self.start_method == "spawn" and self._spare is None and not self.ending:
            self._spare = asyncio.create_task(self.start_worker(spare=True))
            self._spare.add_done_callback(_told_later)

    async def next_worker(self) -> Worker:
        """The spare worker, told to go on, or a new one. Raises LoadFailed."""
        if (spare := self._take_spare()) is not None:
            with contextlib.suppress(OSError):  # the plugin has shut its connection down
                spare.begin()
                return spare
        return await self.start_worker()

    async def end_spare(self) -> None:
        if (spare := self._take_spare()) is not None:
            spare.kill()
            await asyncio.shield(spare.gone)

    def _take_spare(self) -> Worker | None:
        """One whose process lives; whether it has imported the plugin is seen when it is ready."""
        task = self._spare
        if task is None or not task.done():
            return None
        self._spare = None
        return task.result() if _lives(task) else None

    def _end_worker(self, worker: Worker) -> None:
        if worker.pid == self.pid:
            self._process.kill()  # it has become its only worker
            return
        key = ("kill", worker.pid)
        if not worker.gone.done() and not self.ending and key not in self._awaited:
            self._ask(*key, {"do": "kill", "pid": worker.pid})

    def _late(self, worker: Worker) -> None:
        """It was killed, and nobody has told of its end."""
        self._answered("end", worker.pid)
        if descent.state(worker.pid) != descent.IN_KERNEL:
            self._end_worker(worker)  # it or its template has not had its turn, as on a busy machine
            return
        # It hangs in a driver or on a disk. Nobody waits for it.
        logger.error("%s: worker %d was killed, and does not end", self.spec.name, worker.pid)
        worker.died("it was killed and did not end")

    # Control

    def _ask(self, what: str, number: int, order: dict[str, Any], descriptors: list[int] | None = None) -> None:
        """It must answer in time. Whoever awaits it is told by `gone` of the template or of the worker."""
        limit_s = self.spec.child_timeout_s
        late = f"the process that makes its workers did not answer within child_timeout_s, {limit_s:g} s, to `{what}`"
        self._awaited[what, number] = self._loop.call_later(limit_s, self.kill, late)
        try:
            # An order is a few hundred bytes, so it fits the socket's buffer, or nobody has read for long.
            data = wire.pack(_encode(order))
            if descriptors:
                socket.send_fds(self._connection, [data], descriptors)
            else:
                self._connection.sendall(data)
        except OSError:
            self.kill("the process that makes its workers takes no more orders")

    def _answered(self, what: str, number: int) -> None:
        timer = self._awaited.pop((what, number), None)
        if timer is not None:
            timer.cancel()

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
            self._unpacker.feed(chunk, self._handle)
        except (wire.BrokenFrame, msgspec.DecodeError, KeyError) as error:
            # A plugin wrote to our descriptor while it was imported. It cannot be trusted with more.
            self._fail(LoadFailed(f"the process that loads the module says what cannot be understood: {error}"))
            self._loop.remove_reader(self._connection)
            self.kill("the process that makes its workers says what cannot be understood")

    def _handle(self, header: bytes, _payload: bytes) -> None:
        message = messages.of_template(header)
        if type(message) is messages.Started:
            self._answered("start", message.id)
            self._started(message)
        elif type(message) is messages.Refused:
            self._answered("start", message.id)
            _, started = self._starting.pop(message.id)
            if not started.done():
                started.set_exception(LoadFailed(f"no worker process can be made: {message.why}"))
        elif type(message) is messages.Killed:
            self._answered("kill", message.pid)
            if (worker := self._workers.get(message.pid)) is not None:
                timer = self._loop.call_later(self.spec.child_timeout_s, self._late, worker)
                self._awaited["end", message.pid] = timer
        elif type(message) is messages.Exited:
            self._answered("end", message.pid)
            if (ended := self._workers.pop(message.pid, None)) is not None:
                ended.died(_in_words(os.waitstatus_to_exitcode(message.status)))
        elif type(message) is messages.Described:
            self.start_method, self.spawn_reason = message.start_method, message.reason
            if not self.card.done():
                self.card.set_result(message.card)
        else:
            self._fail(message.error.error())

    def _started(self, message: messages.Started) -> None:
        worker, started = self._starting.pop(message.id)
        # Known from here on: the next message may be that it has ended.
        worker.pid = message.pid
        for pipe in worker.pipes:
            pipe.pid = worker.pid
        self._workers[worker.pid] = worker
        if started.done():
            self._end_worker(worker)  # whoever wanted it has gone
        else:
            started.set_result(None)

    def _fail(self, error: ModelportError) -> None:
        if not self.card.done():
            self.card.set_exception(error)
            self.card.exception()  # seen here, in case nobody waits for it

    # Ending

    def kill(self, why: str) -> None:
        """It does not do what it should. `gone` follows, when all that has come from it has ended."""
        if not self.ending:
            self.ending, self._why = True, why
            logger.error("%s: %s; it is killed", self.spec.name, why)
            self._process.kill()

    def _exited(self) -> None:
        """The template has ended, and with it, by the kernel's hand, every worker."""
        self.ending = True
        self._read()  # its last words
        for timer in self._awaited.values():
            timer.cancel()
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._loop.remove_reader(self._connection)
        self._connection.close()
        ended = _in_words(self._process.wait())
        descendants.TEMPLATES.discard(self.pid)
        how = self._why or ended
        tail = self._pipe.take().decode(errors="replace")
        self._fail(LoadFailed(f"the process that loads the module ended: {how}", detail=tail))
        for _, started in self._starting.values():
            if not started.done():
                started.set_exception(LoadFailed(f"no worker process can be made: {how}"))
        self._starting.clear()
        self._clearing = asyncio.create_task(self._clear(how))

    async def _clear(self, how: str) -> None:
        """Workers, and what they had started, before anybody is told that they are gone."""
        if self._spare is not None:
            await asyncio.wait({self._spare})
        await descendants.end_adopted(self.spec.child_timeout_s)
        for worker in list(self._workers.values()):
            worker.died("its template process ended: " + how)
        self._workers.clear()
        self._pipe.close()
        if not self.gone.done():
            self.gone.set_result(how)

    async def stop(self) -> None:
        """End the template and all workers; returns when they are reaped, or hang in a driver or on a disk."""
        self.ending = True  # it ends its workers itself, and takes no orders meanwhile
        await self._end_by(signal.SIGTERM)
        while not self.gone.done():  # on a busy machine what was killed has not had its turn
            await self._end_by(signal.SIGKILL)
            if descent.state(self.pid) == descent.IN_KERNEL:
                logger.error("%s: its process %d was killed, and does not end", self.spec.name, self.pid)
                return

    async def _end_by(self, number: signal.Signals) -> None:
        if not self.gone.done():
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)  # somebody may have stopped it
            await asyncio.wait({self.gone}, timeout=self.spec.child_timeout_s)


def _lives(spare: asyncio.Task[Worker]) -> bool:
    return not spare.cancelled() and spare.exception() is None and not spare.result().gone.done()


def _told_later(spare: asyncio.Task[Worker]) -> None:
    """Why there is no spare worker is told when the next one cannot be made either."""
    if not spare.cancelled():
        spare.exception()


def _in_words(code: int) -> str:
    """How a process has ended. code: its exit status, or the number of a signal, less than zero."""
    if code >= 0:
        return f"exit status {code}"
    try:
        name = f"signal {-code} ({signal.Signals(-code).name})"
    except ValueError:
        name = f"signal {-code}"
    return name + (", perhaps out of memory" if code == -signal.SIGKILL else "")
