"""The template: the one child that the gateway starts for a deployment, and the parent of its workers.

It imports the plugin once, describes it as a card, and then makes workers on demand: by fork while that is safe, else
by fork and exec of a fresh interpreter. It reports each worker's end, ends the worker's whole process group with it,
and, when the gateway goes away, leaves nothing behind.
"""

from __future__ import annotations

import array
import gc
import json
import os
import resource
import select
import signal
import socket
import sys
import traceback
from typing import Any, NoReturn

from modelport.child import failures, forking, worker
from modelport.contract import descent, toml, wire
from modelport.errors import LoadFailed, ModelportError

# As it is before a plugin replaces it.
_exit = os._exit

# What the gateway says is short.
ORDER_BYTES = 64 << 10


def main(arguments: list[str]) -> NoReturn:
    """arguments: role (template, nursery, worker), descriptors from the gateway, configuration as JSON."""
    role, numbers, configuration = arguments
    descriptors = [int(number) for number in numbers.split(",")]
    config = json.loads(configuration)
    toml.gateways = config["tomllib"]
    worker.own_streams()
    if role == "worker":
        worker.main(descriptors, config)
    connection = socket.socket(fileno=descriptors[0])
    os.set_inheritable(connection.fileno(), False)
    descent.die_with_parent(signal.SIGTERM, config["parent"])
    if role == "template":
        descent.lower((descent.origin(os.getppid()) or descent.UNLIMITED) - 1)
    template = Template(connection, config)
    if role == "template":
        template.load()
    template.serve()


class Template:
    """The child's main loop. One thread; no plugin code runs here after the import."""

    def __init__(self, connection: socket.socket, config: dict[str, Any]) -> None:
        self.connection = connection
        self.config = config
        self.plugin: Any = None
        self.becomes_worker = False  # when the only one is asked for
        self.pid = os.getpid()
        self.workers: dict[int, int] = {}  # the origin of what it starts, by process id
        self.unpacker = wire.Unpacker(ORDER_BYTES)
        self.descriptors: list[int] = []
        descent.become_subreaper()
        self.origin = descent.origin(self.pid) or descent.UNLIMITED
        self.last_origin = self.origin

    def send(self, **message: Any) -> None:
        worker.end_copies(self.pid)  # the import may have forked, and its copy come back
        self.connection.sendall(wire.dump(message))

    # Loading

    def load(self) -> None:
        """Import and describe the plugin, tell the gateway, and become a bare nursery if forking is unsafe."""
        try:
            self.plugin = worker.load_plugin(self.config)
            card = self.plugin.describe().to_plain()
            self._check_size(card)
        except ModelportError as error:
            self._give_up(error)
        except Exception as error:
            told = failures.describe(error)
            self._give_up(LoadFailed(f"the module cannot be described: {told}", detail=traceback.format_exc()))
        worker.end_copies(self.pid)
        reason = self._why_spawn()
        self.send(**{"is": "card", "card": card, "start_method": "spawn" if reason else "fork", "reason": reason})
        self.becomes_worker = bool(reason) and self.config["start_method"] == "once"
        if self.becomes_worker:
            return
        if reason:
            # Start over without the plugin: what cannot be forked need not stay in memory.
            os.set_inheritable(self.connection.fileno(), True)
            os.execv(sys.executable, self._command("nursery", [self.connection.fileno()]))
        gc.collect()
        gc.freeze()  # what the import made is never collected, so that workers share its pages

    def _check_size(self, card: dict[str, Any]) -> None:
        """Raises LoadFailed. A card is in memory, in every document about its deployment and in the store."""
        size, limit = len(wire.dump(card)), self.config["card_limit_bytes"]
        if size > limit:
            largest = max(card, key=lambda name: len(wire.dump({name: card[name]})))
            raise LoadFailed(
                f"the description of the module is too large: {size} bytes as JSON, most of them in {largest}; at most "
                f"{limit} are allowed (card_limit_bytes)"
            )

    def _why_spawn(self) -> str:
        if self.config["start_method"] == "spawn":
            return "the setting start_method says so"
        reason = forking.why_not_forkable()
        return "" if self.config["start_method"] == "fork" else reason

    def _give_up(self, error: ModelportError) -> NoReturn:
        worker.flush()
        self.send(**{"is": "failed", "error": failures.told(error, self.config["message_limit_bytes"])})
        _exit(1)

    def _command(self, role: str, descriptors: list[int]) -> list[str]:
        boot = os.path.join(os.path.dirname(os.path.abspath(__file__)), "boot.py")
        return [sys.executable, boot, role, ",".join(map(str, descriptors)), json.dumps(self.config)]

    # Serving

    def serve(self) -> NoReturn:
        wake, alarm = os.pipe()
        for descriptor in (wake, alarm):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(alarm, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _ignore)
        signal.signal(signal.SIGTERM, lambda *_: self._leave())
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGCHLD, signal.SIGTERM))  # the import may have blocked them
        self.inner = (wake, alarm)
        poll = select.poll()
        poll.register(self.connection, select.POLLIN)
        poll.register(wake, select.POLLIN)
        self._reap()
        while True:
            for descriptor, _ in poll.poll():
                if descriptor == wake:
                    os.read(wake, 4096)
                    self._reap()
                else:
                    self._receive()

    def _receive(self) -> None:
        try:
            chunk, ancillary, _, _ = self.connection.recvmsg(65536, socket.CMSG_SPACE(64 * array.array("i").itemsize))
        except ConnectionError:
            chunk, ancillary = b"", []
        for _, _, data in ancillary:
            received = array.array("i")
            received.frombytes(data[: len(data) - len(data) % received.itemsize])
            self.descriptors.extend(received)
        if not chunk:
            self._leave()
        self.unpacker.feed(chunk, self._obey)

    def _obey(self, header: bytes, _payload: bytes) -> None:
        order = json.loads(header.decode())
        if order["do"] == "start":
            self._start(order)
        elif order["do"] == "kill":
            if order["pid"] in self.workers:
                _kill_group(order["pid"])
            self.send(**{"is": "killed", "pid": order["pid"]})

    def _start(self, message: dict[str, Any]) -> None:
        """One worker. Its descriptors have come with the message: see `worker.Connection`."""
        count = message["descriptors"]
        descriptors = self.descriptors[:count]
        del self.descriptors[:count]
        if self.becomes_worker:
            self._turn_into_worker(descriptors, message)
        self.last_origin -= 1
        try:
            pid = os.fork()
        except OSError as error:
            self.send(**{"is": "refused", "id": message["id"], "why": str(error)})
        else:
            if pid == 0:
                self._be_worker(descriptors, message)
            self.workers[pid] = self.last_origin
            self.send(**{"is": "started", "id": message["id"], "pid": pid})
        for descriptor in descriptors:
            os.close(descriptor)

    def _turn_into_worker(self, descriptors: list[int], message: dict[str, Any]) -> NoReturn:
        """For the one call of a command another import would be a waste. Whoever ends the worker ends this process."""
        self.send(**{"is": "started", "id": message["id"], "pid": self.pid})
        descent.die_with_parent(signal.SIGKILL, self.config["parent"])
        self._leave_the_loop()
        self.config.update(message["config"])
        worker.serve(worker.Connection(descriptors), self.plugin, self.config)

    def _leave_the_loop(self) -> None:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        for descriptor in self.inner:
            os.close(descriptor)
        if self.config["memory_bytes"]:
            # What a process allocates for itself, not what it maps: frameworks map far more than they use.
            resource.setrlimit(resource.RLIMIT_DATA, (self.config["memory_bytes"],) * 2)

    def _be_worker(self, descriptors: list[int], message: dict[str, Any]) -> NoReturn:
        """The forked child; never returns into the template's loop, whatever happens."""
        try:
            os.setsid()
            descent.die_with_parent(signal.SIGKILL, self.pid)
            descent.lower(self.last_origin)
            self._leave_the_loop()
            self.connection.close()
            self.config.update(message["config"])
            if self.plugin is None:
                for descriptor in descriptors:
                    os.set_inheritable(descriptor, True)
                os.execv(sys.executable, self._command("worker", descriptors))
            worker.serve(worker.Connection(descriptors), self.plugin, self.config)
        except BrokenPipeError:
            pass  # the gateway no longer wants this worker
        except BaseException:
            traceback.print_exc()
        finally:
            _exit(1)

    def _reap(self) -> None:
        """Collect every ended child; with a worker, all that it has started ends."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            known = self.workers.pop(pid, None)
            if known is not None:
                _kill_group(pid, leader=False)
            self._end_orphans()
            if known is not None:
                try:
                    self.send(**{"is": "exited", "pid": pid, "status": status})
                except OSError:
                    self._leave()

    def _end_orphans(self) -> None:
        """What ended workers have started, and what that has started: it has come to us, who are the subreaper.

        What the import has started is of our own origin, and lives as long as we do. What a living worker has started
        and let go lives as long as the worker does.
        """
        spared = {self.origin, *self.workers.values()}
        for pid in descent.children():
            if pid not in self.workers and descent.origin(pid) not in spared:
                _kill_group(pid)

    def _leave(self) -> NoReturn:
        """End all descendants, then ourselves. We are their subreaper: orphans come to us until none is left."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            for pid in list(self.workers) + descent.children():
                _kill_group(pid)
            try:
                while True:
                    self.workers.pop(os.waitpid(-1, 0)[0], None)
                    for pid in descent.children():
                        _kill_group(pid)
            except ChildProcessError:
                _exit(0)


def _ignore(*_: Any) -> None:
    """A handler that does nothing, so that the wake-up descriptor is written to."""


def _kill_group(pid: int, leader: bool = True) -> None:
    """End a worker's process group; without `leader` once it has been reaped and its number is free again."""
    for kill in (os.killpg, os.kill) if leader else (os.killpg,):
        try:
            kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue
