"""The worker's line to the gateway: calls come as messages, answers go as a stream, what is printed by pipes.

Runs in the child: Python 3.8, standard library only.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import sys
import termios
import threading
from typing import Any

from modelport.contract import wire

# What FIONREAD says of an empty pipe.
NOTHING = b"\0\0\0\0"

# As they are before a plugin replaces them.
_getpid = os.getpid
_loads = json.loads


class Line:
    """The gateway may send calls ahead. Each message names one of the pipes, which is that of stdout and stderr while
    the call runs, so that what two calls print does not meet.

    Only this very process speaks. A plugin may fork, and its copy come back from the plugin's code as if it were the
    worker: such a copy has no line, and ends when it wants to speak.
    """

    def __init__(self, descriptors: list[int]) -> None:
        """descriptors: the stream, the messages, and the write ends of the pipes."""
        self.pid = _getpid()
        self._stream = socket.socket(fileno=descriptors[0])
        self._messages = socket.socket(fileno=descriptors[1])
        self._pipes = descriptors[2:]
        self._pipe = -1
        self._buffer = bytearray(wire.MESSAGE_BYTES)
        self._sending = threading.Lock()  # plugins report progress from any thread
        self._print_to(self._pipes[0])
        for connection in (self._stream, self._messages):
            os.register_at_fork(after_in_child=connection.close)

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
        end_copies(self.pid)
        with self._sending:
            self._stream.sendall(wire.dump(message, blobs))

    def has_printed(self) -> bool:
        """Whether the gateway has still to read something that was printed; also where that cannot be known."""
        try:
            return fcntl.ioctl(self._pipe, termios.FIONREAD, NOTHING) != NOTHING
        except OSError:
            return True

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


def end_copies(pid: int) -> None:
    """End here in any process but `pid`: in a copy that a plugin has forked and that goes on in our code."""
    if _getpid() != pid:
        flush()
        os._exit(0)


def flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass  # the plugin has closed or replaced it
