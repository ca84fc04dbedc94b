"""The environment of a deployment's processes."""

from __future__ import annotations

import os
import shutil
import sys

from modelport.executors import ExecutorSpec


def of_child(spec: ExecutorSpec) -> dict[str, str]:
    return {**os.environ, "PATH": _path(spec.python), **spec.environment}


def _path(python: str | None) -> str:
    """With the interpreter's folder first, as in an activated environment: modules start programs that lie there.

    Not that of its real path: the `bin/python` of an environment is a link. Our own interpreter's folder keeps its
    place, if it has one.
    """
    named = python or sys.executable
    folder = os.path.dirname(os.path.abspath(shutil.which(named) or named))
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    if python is None and folder in folders:
        return os.pathsep.join(folders)
    return os.pathsep.join([folder, *(other for other in folders if other != folder)])
