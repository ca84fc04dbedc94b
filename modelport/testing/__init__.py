"""Conformance suites for packages that extend modelport, to be run by pytest in the package's own tests.

    from modelport.testing.executors import ExecutorConformance
    from modelport.testing.frontends import FrontendConformance

    class TestEcho(FrontendConformance):
        name = "echo"

    class TestThreads(ExecutorConformance):
        executor = ThreadExecutor

An executor that runs calls together has `modelport.testing.batches.BatchConformance` instead.
Their version is `modelport.extending.VERSION`. They need pytest and none of its plugins.
"""

from modelport.extending import Setting
from modelport.settings.declared import UNITS


def check_setting(setting: Setting) -> None:
    """What `--help` and a file of settings show."""
    assert setting.help and not setting.help.endswith("."), setting
    unit = next((unit for ending, unit in UNITS.items() if setting.name.endswith(ending)), setting.unit)
    assert setting.unit == unit, f"{setting.name} has the unit {setting.unit!r}; its name says {unit}"
