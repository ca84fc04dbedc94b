"""Settings from their sources, later over earlier: the default, a file, the environment, flags."""

from __future__ import annotations

import codecs
import logging
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelport.settings.declared import CORE, table
from modelport.settings.setting import BadSetting, Setting, checked
from modelport.settings.table import ENVIRONMENT_ALIASES, Settings

logger = logging.getLogger(__name__)

# Sections by the name that they had in files of before.
RENAMED = {"doors": "frontends"}
# Every setting with its help takes a hundredth of it. A device would never end.
FILE_LIMIT_BYTES = 1 << 20


def read(
    file: str | Path | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Settings:
    """The settings from all sources.

    flags: by field name; None means not given. Raises BadSetting.
    """
    rows = {row.name: row for row in table()}
    by_name: dict[str, Any] = {}
    if file is not None:
        by_name.update(_from_file(Path(file), rows))
    by_name.update(_from_environment(os.environ if environ is None else environ, rows))
    for name, value in (flags or {}).items():
        if value is not None:
            by_name[name] = checked(rows[name], value, f"{rows[name].flag}")
    own = {name: value for name, value in by_name.items() if name in CORE}
    return Settings(**own, extensions={name: value for name, value in by_name.items() if name not in CORE})


def _from_file(path: Path, rows: Mapping[str, Setting]) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(FILE_LIMIT_BYTES + 1)
        if len(data) > FILE_LIMIT_BYTES:
            raise BadSetting(f"the settings file {path} is larger than {FILE_LIMIT_BYTES} bytes; is it another file?")
        document = tomllib.loads(text_of(data))
    except FileNotFoundError as error:
        raise BadSetting(f"the settings file {path} does not exist") from error
    except (OSError, ValueError) as error:
        raise BadSetting(f"the settings file {path} cannot be read: {error}") from error
    by_name = {}
    for heading, values in document.items():
        section = RENAMED.get(heading, heading)
        if section != heading:
            logger.warning("%s: the section [%s] is now called [%s]; please rename it", path, heading, section)
        if not isinstance(values, dict):
            raise BadSetting(f"{path}: {section} stands outside a section; sections are {_sections(rows)}")
        known = [row.name for row in rows.values() if row.section == section]
        if not known:
            raise BadSetting(f"{path}: there is no section {section}; sections are {_sections(rows)}")
        for name, value in values.items():
            row = rows.get(name)
            if row is None or row.section != section:
                raise BadSetting(f"{path}: [{section}] has no setting {name}; it has {', '.join(known)}")
            by_name[name] = checked(row, value, f"{path}: {name}")
    return by_name


def text_of(data: bytes) -> str:
    """UTF-8, with or without a byte-order mark. Raises ValueError, which names another encoding that is recognised."""
    check_encoding(data)
    return data.decode("utf-8-sig")


def check_encoding(head: bytes) -> None:
    """head: how a text begins. Raises ValueError for UTF-16 and UTF-32, with a byte-order mark or before ASCII."""
    for name, marks, shape in _WIDE:
        if head.startswith(marks) or (len(head) > 3 and tuple(map(bool, head[:4])) in shape):
            raise ValueError(f"it is in {name}; save it as UTF-8")


# UTF-32's mark begins as UTF-16's; then which of the first four bytes are not zero.
_WIDE = (
    ("UTF-32", (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE), ((1, 0, 0, 0), (0, 0, 0, 1))),
    ("UTF-16", (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE), ((1, 0, 1, 0), (0, 1, 0, 1))),
)


def _sections(rows: Mapping[str, Setting]) -> str:
    return ", ".join(dict.fromkeys(row.section for row in rows.values()))


def _from_environment(environ: Mapping[str, str], rows: Mapping[str, Setting]) -> dict[str, Any]:
    by_name = {}
    for name, row in rows.items():
        for variable in (ENVIRONMENT_ALIASES.get(name), row.environment):
            if variable and variable in environ:
                by_name[name] = checked(row, environ[variable], variable)
    return by_name
