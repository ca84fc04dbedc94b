"""The file of a large answer, which lies where the model could still put something else in its place."""

from __future__ import annotations

import os
import stat
from typing import BinaryIO

from modelport.errors import ModelFailed


def open_answer(path: str) -> BinaryIO:
    """The file, for reading. A pipe would keep whoever opens it, a link lead to files of others.

    Raises ModelFailed.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ModelFailed(f"the model has deleted its answer: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ModelFailed("the model has put something else in the place of its answer, which was a file")
    return os.fdopen(descriptor, "rb")
