"""modelport: write a model once as a plugin of three functions; it is served by every interface."""

from __future__ import annotations

import os
from typing import Callable, Mapping

__version__ = "0.1.0"
__all__ = ["__version__", "artifact", "progress"]

# Set by the worker for the time of a call; a plugin that runs elsewhere (a notebook, deepaas) reports to nobody.
_report: Callable[[float | None, str, Mapping[str, float]], None] | None = None
_keep: Callable[[str, str | None], None] | None = None


def progress(fraction: float | None, message: str = "", metrics: Mapping[str, float] | None = None) -> None:
    """Tell whoever waits how far `predict` or `train` is.

    fraction: from 0 to 1; None where it is not known. message: a short text.
    metrics: numbers of this moment, such as {"epoch": 3, "loss": 0.21}; of a job they are kept, and drawn as curves
        over `epoch`, `step`, `iteration` or `batch`, where one of these is there.
    May be called from any thread, and as often as one likes: what comes too fast to be read is passed over, but the
    last is always told. Elsewhere, also in processes that the call itself forks, nothing happens.
    """
    if fraction is not None:
        fraction = min(max(0.0, float(fraction)), 1.0)  # max() in this order makes 0 of NaN
    message = str(message)
    numbers = {str(name): float(value) for name, value in (metrics or {}).items()}
    report = _report  # it may be reset meanwhile: threads report, too
    if report is not None:
        report(fraction, message, numbers)


def artifact(path: str | os.PathLike[str], name: str | None = None) -> None:
    """Keep a copy of a file with the job that runs now: a plot, weights, a table.

    name: by which it is shown and downloaded; None: the file's own. A file of a name that was given before takes its
    place. The copy is made before this returns, so the file may be changed or deleted afterwards.
    May be called from any thread. In a call that is not a job, and elsewhere, nothing happens.
    Raises OSError where the file cannot be read or copied. One that is too large is left out, and the log says so.
    """
    keep = _keep
    if keep is not None:
        keep(os.fspath(path), name)
