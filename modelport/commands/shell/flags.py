"""Options of commands: the settings, made from the table, and times such as 300, 300s, 5m, 1.5h."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import Any

import click

from modelport import settings
from modelport.settings import Setting

# Short and older spellings, as deepaas-run has them.
MORE_FLAGS = {"workers": ["-p"], "debug": ["-d"]}
SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
FORM = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|[smhd]?)", re.ASCII)
METAVARS = {str: "TEXT", int: "N", float: "N"}

CONFIG_FILE = click.Option(
    ["--config-file"], metavar="FILE", envvar="MODELPORT_CONFIG", show_envvar=True, help="Read settings from this file."
)


def options(names: Iterable[str] | None = None) -> Callable[[click.Command], click.Command]:
    """A decorator that adds --config-file and the settings of these names (all of them) to a command."""
    chosen = None if names is None else set(names)

    def add(command: click.Command) -> click.Command:
        command.params.append(CONFIG_FILE)
        command.params.extend(_option(row) for row in settings.table() if chosen is None or row.name in chosen)
        return command

    return add


def _option(row: Setting) -> click.Option:
    # The value stays text: settings.read converts it, and says the same of a bad one whatever its source.
    more: dict[str, Any] = {"metavar": (row.unit or METAVARS[row.type]).upper()} if row.type is not bool else {}
    if row.choices:
        more = {"type": click.Choice(row.choices)}
    elif row.type is bool:
        more = {"is_flag": True}
    flag = f"{row.flag}/--no-{row.flag[2:]}" if row.type is bool else row.flag
    # Not a value of ours: the default is the file's or the environment's turn.
    return click.Option([row.name, *MORE_FLAGS.get(row.name, []), flag], default=None, help=_help(row), **more)


def _help(row: Setting) -> str:
    text = row.help[:1].upper() + row.help[1:]
    if row.secret:
        aliases = [alias for alias in (row.environment, settings.ENVIRONMENT_ALIASES.get(row.name)) if alias]
        return f"{text}.  [better: set {' or '.join(aliases)}]"
    default = ("on" if row.default else "off") if row.type is bool else row.default
    shown = f"{default:g}" if isinstance(default, float) else str(default)
    return f"{text}.  [default: {shown}]" if shown else f"{text}."


def key_value(option: str, text: str, form: str) -> tuple[str, str]:
    """Of KEY=VALUE. Raises click.UsageError."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise click.UsageError(f"{option} is {text!r}; give {form}")
    return key, value


def duration(text: str) -> float:
    """In seconds; the `type` of an option. Raises click.BadParameter."""
    match = FORM.fullmatch(text.strip())
    if match is None or not math.isfinite(float(match[1])):
        raise click.BadParameter(f"{text!r} is not a time; give seconds, or 300s, 5m, 1.5h")
    return float(match[1]) * SECONDS[match[2]]
