"""Our log: lines on stderr."""

from __future__ import annotations

import logging
import sys

from modelport.contract.visible import visible

FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


class Visible(logging.Formatter):
    """Lines may hold what a model or a client has written."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


def set_up(*, debug: bool, otherwise: int = logging.INFO) -> None:
    """debug: modelport's own loggers tell all, and libraries what they think worth knowing."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Visible(FORMAT))
    logging.basicConfig(level=logging.INFO if debug else otherwise, handlers=[handler])
    if debug:
        logging.getLogger("modelport").setLevel(logging.DEBUG)
