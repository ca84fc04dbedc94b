"""The log of an input: what the model printed, and what has become of it. Never empty."""

from __future__ import annotations

from modelport.contract.prediction import Outcome
from modelport.errors import ModelportError
from modelport.observe.logtext import log_text

# A longer value is only in its own object.
RETURN_CHARACTERS = 64 << 10


def success_log(outcome: Outcome, result: str, size_bytes: int) -> bytes:
    """outcome: of a job, whose log is kept without what progress bars overwrote.

    result: the key of the answer's object; empty where there is none, since only the help was asked for.
    """
    text = log_text(outcome.log)
    if not result:
        return text.encode(errors="replace")
    if outcome.text is not None and len(outcome.text) <= RETURN_CHARACTERS:
        text += f"return: {outcome.text}\n"
    text += f"saved: {result} ({outcome.media_type}, {size_bytes} bytes)\n"
    return text.encode(errors="replace")


def failure_log(error: ModelportError, outcome: Outcome) -> bytes:
    """The reason first; without anything that scripts would take for a result."""
    log = log_text(outcome.log)
    text = f"failed ({error.kind}): {error.message}\n" + (f"\nThe log:\n{log}" if log else "")
    return text.replace("return:", "return :").encode(errors="replace")
