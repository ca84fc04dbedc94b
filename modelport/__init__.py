"""modelport: write a model once as a plugin of three functions; a generic wrapper gives it every door."""

from __future__ import annotations

from typing import Callable

__version__ = "0.1.0"
__all__ = ["__version__", "progress"]

# Set by the worker for the time of a call; a plugin that runs elsewhere (a notebook, deepaas) reports to nobody.
_report: Callable[[float, str], None] | None = None


def progress(fraction: float, message: str = "") -> None:
    """Tell whoever waits how far `predict` or `train` is: `fraction` from 0 to 1, and a short text."""
    report = _report  # it may be reset meanwhile: threads report, too
    if report is not None:
        report(min(max(0.0, float(fraction)), 1.0), str(message))  # max() in this order makes 0 of NaN
