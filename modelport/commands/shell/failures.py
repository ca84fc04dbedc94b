"""How a command ends: its exit status, and what it says of an error. No traceback, but with --debug.

0    done
1    the model failed, or anything that is not in this list
2    arguments, settings or usage were wrong
3    there is no such module, server, model or permission
4    it took too long, or the server is busy or still loading
130  interrupted; 143 terminated
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Any

import click

from modelport.commands.shell import output
from modelport.commands.shell.event_loop import Terminated
from modelport.errors import InvalidArguments, ModelportError, messages

DONE, FAILED, USAGE, NOT_FOUND, LATE, INTERRUPTED, TERMINATED = 0, 1, 2, 3, 4, 130, 143

_MISUSED = ("bad_setting", "invalid_request", "invalid_json", "invalid_arguments", "too_large", "not_acceptable")
_MISSING = ("unauthorized", "not_found", "no_such_plugin", "unreachable", "disabled")
_LATE = ("overloaded", "starting", "deadline_exceeded")
STATUS = {
    **dict.fromkeys((*_MISUSED, "unsupported_media"), USAGE),
    **dict.fromkeys(_MISSING, NOT_FOUND),
    **dict.fromkeys(_LATE, LATE),
}


def status_of(error: BaseException, arguments: Sequence[str]) -> int:
    """Say what went wrong on stderr, and return the exit status.

    arguments: as the command was called; --debug and --json in them decide how it is said.
    """
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else FAILED
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        output.say("error: interrupted", err=True)
        return INTERRUPTED
    if isinstance(error, Terminated):
        return TERMINATED
    if isinstance(error, BrokenPipeError):
        output.close_stdout()
        return FAILED
    return _told(error, arguments)


def _told(error: BaseException, arguments: Sequence[str]) -> int:
    kind, message, status = _understood(error)
    fields = getattr(error, "fields", None)
    debug = "--debug" in arguments
    if debug and not isinstance(error, (click.ClickException, UnicodeError, ModelportError)):
        import traceback

        traceback.print_exception(error)
    elif "--json" in arguments:
        output.say_json({"error": kind, "message": message, **({"fields": fields} if fields else {})}, err=True)
    else:
        for line in told(message, fields if isinstance(error, InvalidArguments) else None):
            output.say(f"error: {line}", err=True)
        if context := getattr(error, "ctx", None):
            output.say(f"See {context.command_path} --help", err=True)
        if debug and (detail := getattr(error, "detail", "")):
            output.say(detail.rstrip(), err=True)
    return status


def _understood(error: BaseException) -> tuple[str, str, int]:
    """(its kind, the message, the exit status)."""
    if isinstance(error, ModelportError):
        return error.kind, error.message, STATUS.get(error.kind, FAILED)
    if isinstance(error, click.ClickException):
        return "usage", error.format_message(), error.exit_code
    if isinstance(error, UnicodeError):
        return "usage", f"not valid UTF-8: {error}", USAGE
    if isinstance(error, OSError):
        # Streams have no file name. That of stdout may be closed.
        where = f": {error.filename}" if error.filename else ": stdout" if error.errno == errno.EBADF else ""
        return "os_error", f"{error.strerror or error}{where}", FAILED
    text = f"{type(error).__name__}: {error} (a defect of modelport; --debug shows where)"
    return ModelportError.kind, text, FAILED


def told(message: str, fields: Any) -> list[str]:
    """A line for each argument at fault, else the message."""
    return [f"{name}: {text}" for name, text in messages(fields or {})] or [message]
