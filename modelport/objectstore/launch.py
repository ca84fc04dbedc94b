"""Becomes rclone: `python launch.py <parent's process id> <descriptor of the listening socket> <rclone> <argument>…`.

Between fork and exec a process with threads may do next to nothing; here, in a process of its own, it can ask to die
with the server, and say to whom the socket is meant, for which it has to know its own process id.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
# Where systemd's socket activation, which rclone understands, has the first socket.
FIRST_SOCKET = 3


def main(parent: int, listening: int, command: list[str]) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)
    if listening != FIRST_SOCKET:
        os.dup2(listening, FIRST_SOCKET)
        os.close(listening)
    os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
    os.execv(command[0], command)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
