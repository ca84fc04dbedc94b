"""The environment of a deployment's processes."""

from __future__ import annotations

import os
import shutil

from modelport.environment import child_environment
from modelport.executors import ExecutorSpec


def of_child(spec: ExecutorSpec) -> dict[str, str]:
    path = {} if spec.python is None else {"PATH": _with_folder_of(spec.python)}
    return {**child_environment(), **path, **spec.environment}


def _with_folder_of(python: str) -> str:
    """PATH with the interpreter's folder first, as in an activated environment: modules start programs that lie there.

    Not that of its real path: the `bin/python` of an environment is a link.
    """
    folder = os.path.dirname(os.path.abspath(shutil.which(python) or python))
    return os.pathsep.join([folder, os.environ.get("PATH", os.defpath)])
