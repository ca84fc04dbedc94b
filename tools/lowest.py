"""Print constraints: the lowest versions that setup.cfg allows of what the server requires.

`make lowest` runs the tests with them. The ranges of the other extras have no such test.
"""

from __future__ import annotations

import configparser
import re
from pathlib import Path

SETUP = Path(__file__).parent.parent / "setup.cfg"
# deepaas, which the tests compare with, asks for newer ones. The lowest are tested where they matter, in the processes
# of models (tests/child/test_versions.py).
LEFT_OUT = ("marshmallow", "webargs")


def lowest() -> list[str]:
    """Lines such as `click==8.1`."""
    setup = configparser.ConfigParser()
    setup.read(SETUP)
    wanted = setup["options"]["install_requires"] + setup["options.extras_require"]["buckets"]
    ranges = re.findall(r"^([\w-]+)(?:\[[\w,]+\])?>=([\d.]+)", wanted, re.MULTILINE)
    return [f"{name}=={version}" for name, version in ranges if name not in LEFT_OUT]


if __name__ == "__main__":
    print(*lowest(), sep="\n")
