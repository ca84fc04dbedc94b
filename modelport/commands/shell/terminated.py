"""How SIGTERM ends a command."""


class Terminated(BaseException):
    """SIGTERM has asked the command to end."""
