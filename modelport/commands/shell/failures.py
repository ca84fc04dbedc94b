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
    debug = "--debug" in arguments
    if isinstance(error, click.ClickException):
        return _misused(error, as_json="--json" in arguments)
    if isinstance(error, UnicodeError):
        output.say(f"error: not valid UTF-8: {error}", err=True)
        return USAGE
    if isinstance(error, ModelportError):
        say(error, as_json="--json" in arguments, debug=debug)
        return STATUS.get(error.kind, FAILED)
    if debug:
        import traceback

        traceback.print_exception(error)
    elif isinstance(error, OSError):
        # Streams have no file name. That of stdout may be closed.
        where = f": {error.filename}" if error.filename else ": stdout" if error.errno == errno.EBADF else ""
        output.say(f"error: {error.strerror or error}{where}", err=True)
    else:
        output.say(f"error: {type(error).__name__}: {error} (a defect of modelport; --debug shows where)", err=True)
    return FAILED


def _misused(error: click.ClickException, *, as_json: bool) -> int:
    if as_json:
        output.say_json({"error": "usage", "message": error.format_message()}, err=True)
        return error.exit_code
    output.say(f"error: {error.format_message()}", err=True)
    context = getattr(error, "ctx", None)
    if context is not None:
        output.say(f"See {context.command_path} --help", err=True)
    return error.exit_code


def say(error: ModelportError, *, as_json: bool = False, debug: bool = False) -> None:
    """One line for the error, and one for each argument at fault; with `as_json` a JSON object instead."""
    if as_json:
        plain = {"error": error.kind, "message": error.message, **({"fields": error.fields} if error.fields else {})}
        output.say_json(plain, err=True)
        return
    for line in told(error.message, error.fields if isinstance(error, InvalidArguments) else None):
        output.say(f"error: {line}", err=True)
    if error.detail and debug:
        output.say(error.detail.rstrip(), err=True)


def told(message: str, fields: Any) -> list[str]:
    """A line for each argument at fault, else the message."""
    return [f"{name}: {text}" for name, text in messages(fields or {})] or [message]
