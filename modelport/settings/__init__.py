"""Settings: one table, read from a file, the environment and flags."""

from __future__ import annotations

from modelport.settings.declared import core_table, table
from modelport.settings.reading import FILE_LIMIT_BYTES, check_encoding, read, text_of
from modelport.settings.setting import BadSetting, Setting, checked
from modelport.settings.table import ENVIRONMENT_ALIASES, Settings

__all__ = [
    "ENVIRONMENT_ALIASES",
    "FILE_LIMIT_BYTES",
    "BadSetting",
    "Setting",
    "Settings",
    "check_encoding",
    "checked",
    "core_table",
    "read",
    "table",
    "text_of",
]
