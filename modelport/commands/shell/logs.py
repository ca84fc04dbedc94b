"""Our log: lines on stderr."""

from __future__ import annotations

import logging
import sys

FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


def set_up(*, debug: bool, otherwise: int = logging.INFO) -> None:
    """debug: modelport's own loggers tell all, and libraries what they think worth knowing."""
    logging.basicConfig(level=logging.INFO if debug else otherwise, format=FORMAT, stream=sys.stderr)
    if debug:
        logging.getLogger("modelport").setLevel(logging.DEBUG)
