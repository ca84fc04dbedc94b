"""What the conformance suites of both kinds ask of a setting.

Not in the package itself, which the module of the suites imports, too, in each of its processes.
"""

from __future__ import annotations

from modelport.extending import Setting
from modelport.settings.declared import UNITS


def check_setting(setting: Setting) -> None:
    """What `--help` and a file of settings show."""
    assert setting.help and not setting.help.endswith("."), setting
    unit = next((unit for ending, unit in UNITS.items() if setting.name.endswith(ending)), setting.unit)
    assert setting.unit == unit, f"{setting.name} has the unit {setting.unit!r}; its name says {unit}"
