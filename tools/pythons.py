"""Test under every Python that is supported, and say which were not there.

python tools/pythons.py     `make pythons` does it: the gateway under 3.11 to 3.13, plugins under 3.8 to 3.13

Each gateway gets an environment of its own (.venv-3.12), made by the Makefile; the environments for plugins are made by
the tests. Exit status 1 where a test failed, 0 otherwise, also where a Python is missing.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.environments import interpreter  # noqa: E402

GATEWAY = ("3.11", "3.12", "3.13")
# The newest versions of Python come before all constrained packages have wheels for them.
PLUGINS = "tests/executors/test_interpreters.py tests/executors/test_web_errors.py tests/child/test_versions.py"


def make(target: str, *variables: str) -> str:
    """The closing line of pytest."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", "--no-print-directory", target, *variables]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    last = ""
    for line in process.stdout:
        print(line, end="", flush=True)
        last = line.strip("= \n") or last
    return f"{'passed' if process.wait() == 0 else 'FAILED'}: {last}"


def main() -> int:
    results = {}
    for version in GATEWAY:
        python = interpreter(version)
        quick = (f"PYTHON={python}", f"VENV=.venv-{version}", "MARKS=not slow and not thorough")
        results[f"gateway {version}"] = make("tests", *quick) if python else "not there"
    results["plugins 3.8 to 3.13"] = make("tests", "MARKS=slow or thorough", f"ARGS={PLUGINS} -rs")
    print()
    for name, result in results.items():
        print(f"{name}: {result}")
    return int(any(result.startswith("FAILED") for result in results.values()))


if __name__ == "__main__":
    sys.exit(main())
