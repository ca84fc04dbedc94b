"""docs/settings.md and etc/modelport.toml, made from the table in modelport/settings/table.py.

python tools/settings_docs.py           write both
python tools/settings_docs.py --check   change nothing; exit status 1 where a file is not as the table says
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

from modelport.settings import ENVIRONMENT_ALIASES, Setting, core_table

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/settings.md"
FILE = ROOT / "etc/modelport.toml"

PAGE_HEAD = """# Settings

You can set each setting in a TOML file (`modelport serve --config-file FILE`), as an environment variable, and as an
option of `modelport serve`. Environment variables win over the file, and options win over both. If a value is not
allowed, the server does not start; the message names the setting, the value and what is allowed.
[etc/modelport.toml](../etc/modelport.toml) is a file with all settings at their defaults.

The option has the name of the setting with dashes: `listen_port` is `--listen-port 5000`. A setting that is true or
false is `--warm` or `--no-warm`.

This page is made from the table in `modelport/settings/table.py` by `tools/settings_docs.py`.
"""
FILE_HEAD = """# All settings of modelport, at their defaults. Remove the # in front of those that you change.
#
#     modelport serve --config-file modelport.toml
#
# The environment variable named with a setting wins over this file, and an option wins over both.
# This file is made from the table in modelport/settings/table.py by tools/settings_docs.py, like docs/settings.md.
"""


def page() -> str:
    """docs/settings.md"""
    parts = [PAGE_HEAD]
    for section, rows in groupby(core_table(), key=lambda row: row.section):
        lines = [f"## [{section}]", "", "| Setting | Default | Meaning | Environment variable |", "|---|---|---|---|"]
        for row in rows:
            shown = f"`{_toml(row.default)}`" + (f" {row.unit}" if row.unit else "")
            meaning = row.help + (f" ({allowed(row)})" if allowed(row) else "")
            variables = ", ".join(f"`{variable}`" for variable in _variables(row))
            lines.append(f"| `{row.name}` | {shown} | {_cell(meaning)} | {variables} |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def file() -> str:
    """etc/modelport.toml"""
    parts = [FILE_HEAD]
    for section, rows in groupby(core_table(), key=lambda row: row.section):
        parts.append(f"[{section}]\n")
        for row in rows:
            facts = [row.unit and f"Unit: {row.unit}.", allowed(row) and f"Allowed: {allowed(row)}."]
            notes = [f"{row.help[:1].upper()}{row.help[1:]}.", *filter(None, facts)]
            notes.append(f"Environment: {', '.join(_variables(row))}.")
            parts.append("".join(f"# {note}\n" for note in notes) + f"# {row.name} = {_toml(row.default)}\n")
    return "\n".join(parts)


def allowed(row: Setting) -> str:
    """What a value may be, beyond its type; empty where that is all."""
    if row.choices:
        return " or ".join(row.choices)
    if row.maximum is not None:
        return f"{row.minimum:g} to {row.maximum:g}"
    if row.minimum is not None:
        return f"{row.minimum:g} or more"
    return ""


def _variables(row: Setting) -> list[str]:
    return [row.environment, *filter(None, [ENVIRONMENT_ALIASES.get(row.name)])]


def _toml(value: Any) -> str:
    """A string, number or Boolean of TOML is one of JSON."""
    return json.dumps(value, ensure_ascii=False)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing")
    check = parser.parse_args().check
    stale = [path for path, text in ((PAGE, page()), (FILE, file())) if not path.is_file() or path.read_text() != text]
    if check:
        for path in stale:
            print(
                f"{path.relative_to(ROOT)} is not as the table says: run python tools/settings_docs.py", file=sys.stderr
            )
        return 1 if stale else 0
    for path, text in ((PAGE, page()), (FILE, file())):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
