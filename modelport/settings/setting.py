"""One setting: its name, default, unit and help, and what its value may be."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from modelport.errors import ModelportError

ENVIRONMENT_PREFIX = "MODELPORT_"

# Paths in front of routes: empty, or with a slash at the start and none at the end.
PATHS = ("base_path", "root_path")


class BadSetting(ModelportError):
    """A setting has a value that it cannot have; the message names the setting, the value and what is allowed."""


@dataclass(frozen=True)
class Setting:
    """One line of the table. An extension declares its own: `Setting("echo_limit", 10, "maximum number of words")`.

    name: of an extension's setting, begins with the extension's name and an underscore. The name ends in the unit where
        there is one: `_s`, `_bytes`.
    default: its type (text, whole number, number or Boolean) is the setting's.
    help: what it does, without a capital and a full stop. section: of the file; of an extension's setting, its name.
    """

    name: str
    default: str | int | float | bool
    help: str
    unit: str = ""
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    secret: bool = False
    section: str = ""
    maximum: float | None = None

    @property
    def type(self) -> type:
        return type(self.default)

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def environment(self) -> str:
        return ENVIRONMENT_PREFIX + self.name.upper()


_SENDABLE = re.compile("[!-~]*")
_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def checked(setting: Setting, value: Any, source: str) -> Any:
    """`value` in the row's type. Raises BadSetting, which does not repeat a secret."""
    shown = "the value given" if setting.secret else repr(value)
    try:
        converted = _converted(setting, value)
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        kind = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}[setting.type]
        raise BadSetting(f"{source}: {shown} is not {kind}") from error
    if setting.choices and converted not in setting.choices:
        raise BadSetting(f"{source}: {shown} is not one of {', '.join(setting.choices)}")
    if setting.minimum is not None and converted < setting.minimum:
        raise BadSetting(f"{source}: {shown} is too small; at least {setting.minimum:g} {setting.unit}".rstrip())
    if setting.maximum is not None and converted > setting.maximum:
        raise BadSetting(f"{source}: {shown} is too large; at most {setting.maximum:g} {setting.unit}".rstrip())
    if setting.name == "token" and not _SENDABLE.fullmatch(converted):
        raise BadSetting(
            f"{source}: {shown} has a blank, a line break or a letter that clients cannot send in a header; use ASCII "
            "letters, digits and punctuation. `openssl rand -hex 32` makes a good one"
        )
    if setting.name not in PATHS:
        return converted
    if converted and not converted.startswith("/"):
        raise BadSetting(f"{source}: {shown} must start with a slash")
    return converted.rstrip("/")


def _converted(setting: Setting, value: Any) -> Any:
    if setting.type is bool:
        return value if isinstance(value, bool) else _WORDS[str(value).strip().lower()]
    if setting.type is str:
        if not isinstance(value, str):
            raise TypeError
        return value
    if isinstance(value, bool):
        raise TypeError
    number = setting.type(value)
    if not math.isfinite(number):  # NaN passes every comparison with a minimum, and nothing waits for ever here
        raise ValueError
    if isinstance(value, float) and number != value:
        raise ValueError  # 5000.7 is no port
    return number
