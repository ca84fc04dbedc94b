"""Every setting: the server's own, and the attribute `settings` of a front end or executor of another package."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any, cast

from modelport import extensions
from modelport.errors import LoadFailed
from modelport.settings.setting import BadSetting, Setting
from modelport.settings.table import Settings

NAME = re.compile(r"[a-z][a-z0-9_]*")
UNITS = {"_s": "seconds", "_bytes": "bytes"}
CORE = {column.name: column for column in dataclasses.fields(Settings) if column.metadata}


def declared(taken: Collection[str]) -> list[Setting]:
    """By extension. taken: names that are the server's own. Raises BadSetting for a name that cannot be had."""
    settings: dict[str, Setting] = {}
    try:
        others = list(extensions.settings_of_others())
    except LoadFailed:
        return []  # told when the server loads its front ends
    for name, settings_of_it in others:
        for setting in of_extension(name, settings_of_it):
            if setting.name in taken or setting.name in settings:
                raise BadSetting(f"the extension {name} declares the setting {setting.name}, which exists already")
            settings[setting.name] = setting
    return list(settings.values())


def of_extension(name: str, settings: Iterable[Setting]) -> list[Setting]:
    """The settings of the extension `name`, each in the section of that name. Raises BadSetting."""
    section = name.replace("-", "_")
    for setting in settings:
        if not setting.name.startswith(f"{section}_") or not NAME.fullmatch(setting.name):
            raise BadSetting(
                f"the extension {name} declares the setting {setting.name!r}; its name must begin with {section}_ and "
                "have small letters, digits and underscores"
            )
    return [dataclasses.replace(setting, section=section) for setting in settings]


def core_table() -> Iterator[Setting]:
    """The server's own settings, in the order of the file."""
    section = ""
    for column in CORE.values():
        default, facts = cast(Any, column.default), dict(column.metadata)
        section = facts.setdefault("section", section)
        if type(default) in (int, float):
            facts.setdefault("minimum", 0)
        facts.setdefault("unit", next((unit for ending, unit in UNITS.items() if column.name.endswith(ending)), ""))
        yield Setting(column.name, default, **facts)


@functools.cache
def table() -> tuple[Setting, ...]:
    """Every setting, in the order of the file: the server's own, then those of extensions. Raises BadSetting."""
    own = tuple(core_table())
    return *own, *declared({setting.name for setting in own})
