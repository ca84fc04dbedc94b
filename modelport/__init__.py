"""modelport: write a model once as a plugin of three functions; it is served by every interface."""

from __future__ import annotations

from typing import Callable

__version__ = "0.1.0"
__all__ = ["__version__", "progress"]

# Set by the worker for the time of a call; a plugin that runs elsewhere (a notebook, deepaas) reports to nobody.
_report: Callable[[float | None, str], None] | None = None


def progress(fraction: float | None, message: str = "") -> None:
    """Tell whoever waits how far `predict` or `train` is.

    fraction: from 0 to 1; None where it is not known. message: a short text.
    May be called from any thread, and as often as one likes: what comes too fast to be read is passed over, but the
    last is always told. Elsewhere, also in processes that the call itself forks, nothing happens.
    """
    if fraction is not None:
        fraction = min(max(0.0, float(fraction)), 1.0)  # max() in this order makes 0 of NaN
    message = str(message)
    report = _report  # it may be reset meanwhile: threads report, too
    if report is not None:
        report(fraction, message)
