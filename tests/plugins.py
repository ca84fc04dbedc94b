"""Plugins as other programs find them: a module and the record of its installation in one folder of PYTHONPATH."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# Beside this interpreter, with it as their shebang.
DEEPAAS_CLI = Path(sys.executable).with_name("deepaas-cli")
DEEPAAS_RUN = Path(sys.executable).with_name("deepaas-run")


def installed_plugin(folder: Path, name: str, source: str, entry: str = "x") -> Path:
    """The folder to put on PYTHONPATH: it holds a plugin called `name` whose code is `source`.

    entry: what the entry point names, "module" or "module:attribute"; `source` becomes that module. Several plugins may
    share one folder.
    """
    record = folder / f"{name}-1.0.dist-info"
    record.mkdir(parents=True, exist_ok=True)
    (folder / f"{entry.partition(':')[0]}.py").write_text(source)
    (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (record / "entry_points.txt").write_text(f"[deepaas.v2.model]\n{name} = {entry}\n")
    return folder


def environment(folder: Path, model: str = "", **more: str) -> dict[str, str]:
    """The variables with which a program finds the plugins in `folder` and takes the one called `model`.

    stevedore remembers entry points in a cache; it gets one of its own here, so that no test finds another's plugins.
    """
    environ = {**os.environ, "PYTHONPATH": str(folder), "XDG_CACHE_HOME": str(folder / "cache"), **more}
    if model:
        environ["DEEPAAS_V2_MODEL"] = model
    return environ
