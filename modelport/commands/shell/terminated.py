"""How SIGTERM ends a command, and SIGHUP, which a terminal sends when it is closed."""

import signal


class Terminated(BaseException):
    """A signal has asked the command to end."""


def signals() -> list[signal.Signals]:
    """Which ones ask for it: no SIGHUP under nohup."""
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [signal.SIGTERM] if ignored else [signal.SIGTERM, signal.SIGHUP]
