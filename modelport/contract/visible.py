"""Text that a model has written, as a terminal may be given it."""

from __future__ import annotations

import codecs
import re

# Colours are left out, and what progress bars use to go up a line and to clear it. Of all other sequences the escape
# character is shown, which makes them text.
_HARMLESS = re.compile(r"\x1b\[[0-9;:]*[mAK]")
# What a terminal may obey: C0 without line end and tab, DEL, C1; and what turns the writing around.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_BUT_RETURN = re.compile(_CONTROL.pattern.replace("\x0b-\x1f", "\x0b\x0c\x0e-\x1f"))


def visible(text: str, *, returns: bool = False) -> str:
    """`text` with its control characters written out, as Python does it: \\x1b. Line ends and tabs stay.

    returns: so do carriage returns, as progress bars need it.
    """
    if text.isprintable():
        return text
    return (_BUT_RETURN if returns else _CONTROL).sub(_written_out, _HARMLESS.sub("", text))


def visible_json(text: str) -> str:
    """The same for a JSON document, which means the same as before."""
    return text if text.isprintable() else _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _written_out(match: re.Match[str]) -> str:
    return ascii(match[0])[1:-1]


class VisibleStream:
    """A stream of bytes that may be cut anywhere, as text of the same kind. What is not UTF-8 is written out, too."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("backslashreplace").decode

    def __call__(self, chunk: bytes, *, last: bool = False) -> str:
        return visible(self._decode(chunk, last), returns=True)
