"""The classifier that this process uses: loaded once, fitted where there is none, exchanged when a newer is stored."""

import logging
from dataclasses import dataclass

from my_model import confusion, storage, training
from my_model.classify import Classifier

_log = logging.getLogger(__name__)


@dataclass
class _Held:
    """What `predict` keeps between calls; one call at a time runs in a worker, so there is no lock."""

    classifier: Classifier | None = None
    stamp: tuple[str, str, tuple[int, int, int] | None] | None = None


_held = _Held()


def classifier(name: str = "") -> Classifier:
    """The one that a training has stored by this name, or the last; costs one stat where nothing has changed.

    Raises FileNotFoundError, Unreadable for a name.
    """
    stamp = str(storage.home()), name, storage.stamp(name)
    if _held.classifier is None or _held.stamp != stamp:
        _held.classifier = storage.load(name).classifier if name else _loaded_or_fitted()
        _held.stamp = str(storage.home()), name, storage.stamp(name)
    return _held.classifier


def _loaded_or_fitted() -> Classifier:
    try:
        return storage.load().classifier
    except FileNotFoundError:
        _log.info("no fitted model yet; fitting one")
    except storage.Unreadable as reason:
        _log.warning("%s; fitting anew", reason)
    fitted = training.fit(training.Recipe(), lambda fraction, message, metrics: None)
    try:
        storage.save(fitted, confusion.picture(fitted.metrics["confusion_matrix"]))
    except OSError as error:
        # A read-only container predicts all the same; it fits again at its next start.
        _log.warning("the fitted model cannot be kept: %s", error)
    return fitted.classifier
