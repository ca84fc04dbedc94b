"""The progress bars of tqdm, read from what a call prints: how far it is, and a log without what they overwrote.

A bar writes a carriage return and its line again. One that is nested, at position k, goes k lines down first and up
again afterwards: `\\n` k times, `\\r`, the line, `\\x1b[A` k times (tqdm 4, `tqdm.std.Bar` and `status_printer`).
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

# A longer line is no bar.
LINE_LIMIT_BYTES = 4 << 10

# So many of a chunk's lines are looked at, the last: whatever is printed, reading it takes about a millisecond at most.
LINES_AT_ONCE = 64

# Bars nested deeper than this are not looked at.
DEPTH_LIMIT = 8

MESSAGE_CHARS = 300

# Tidying a log may take so much of the event loop's time, after a burst: usual bars need a thousandth of it.
TIDY_SHARE = 0.1
TIDY_BURST_S = 0.2

_COLOUR = re.compile(rb"\x1b\[[0-9;]*m")
UP = b"\x1b[A"
# Each of these takes a time that grows with the length of a line, whatever is in it.
_PERCENT = rb"([0-9]{1,3}(?:\.[0-9]{1,9})?)%"
_NUMBER = rb"([0-9][0-9.e+-]{0,30}[kMGTPEZY]?)"
_OF = rb" *" + _NUMBER + rb"/" + _NUMBER + rb" *(?=\[|$)"
# "desc:  45%|████▌     | 45/100 [00:12<00:15,  3.60it/s, loss=0.1]"
_WITH_BAR = re.compile(_PERCENT + rb"\|[^|]*\|(?:" + _OF + rb")?")
# "desc:  45% 45/100 [00:12<00:15,  3.60it/s]", where it has no width
_WITHOUT_BAR = re.compile(_PERCENT + _OF)
# "desc: 45it [00:12,  3.60it/s]", where the total is not known
_TIMES = re.compile(rb" \[[0-9]{2,4}:[0-9]{2}")
_BRACKET = re.compile(rb"[\[\]]")
_COUNT = re.compile(_NUMBER + rb" ?[^\[]{0,60}")
_SCALE = {letter: 1000.0**power for power, letter in enumerate(" kMGTPEZY")}
# A state that is overwritten by the next one, which is none of blanks alone or of control sequences.
_STATE = rb"\r[^\r\n\x1b]*(?:\x1b\[[0-9;]*m[^\r\n\x1b]*)*"
_NEXT = rb"\r *[^\r\n\x1b ]"
_PASSED = re.compile(_STATE + rb"(?=" + _NEXT + rb")|\n" + _STATE + rb"\x1b\[A(?=\n" + _NEXT + rb")")
# Other lines: up so many, or the line or its rest is erased.
_TOKEN = re.compile(rb"([\r\n]|\x1b\[[0-9]{0,9}[AK])")
# "Epoch 2/6", or "2/6" as ultralytics has it: the description of a bar that is one of several.
_EPOCH = re.compile(r"(?<![\d/.])(\d{1,7})/(\d{1,7})(?![\d/.])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


@dataclass
class _Bar:
    """One bar as it was printed the last time. total: empty where it is not known. rest: what follows the bar."""

    description: str
    number: float
    total: str
    fraction: float | None
    rest: str

    @property
    def message(self) -> str:
        return f"{self.description} {self.rest}".strip()


class _Epochs:
    """Which of several bars the outermost one is, as their descriptions count them. total: 0 where they do not."""

    def __init__(self) -> None:
        self.total = 0
        self._number = 0
        self._first = 1  # some count from 0
        self._inside = False  # the last bar was one that is counted
        self._misleading = False

    def see(self, bar: _Bar, begins: bool) -> bool:
        """Whether the count begins with this bar. begins: it is the first, or begins anew."""
        match = None if self._misleading else _EPOCH.search(bar.description)
        number, total = (int(match[1]), int(match[2])) if match else (0, 0)
        self._inside = 1 < total >= number and match is not None and match[2] != bar.total
        if not self._inside:
            return False
        if not begins and number != self._number:
            self._misleading = True  # one bar for all of them: it knows better
            self._inside, self.total = False, 0
            return False
        new, self.total, self._number = total != self.total, total, number
        self._first = min(self._first, number)
        return new

    def overall(self, fraction: float | None) -> float | None:
        if not self.total:
            return fraction
        done = self._number - self._first + ((fraction or 0.0) if self._inside else 1.0)
        return min(1.0, done / self.total)


class ProgressBars:
    """Follows the outermost bar in what one call prints; those inside it are left out.

    Where bars follow one another, as one for each epoch, their descriptions may count them: "Epoch 2/6". If they do
    not, nobody knows how many are to come, and there is no fraction.
    """

    def __init__(self) -> None:
        self._bar: _Bar | None = None  # the outermost
        self._inside: dict[int, _Bar] = {}  # by position
        self._epochs = _Epochs()
        self._several = False
        self._tail: bytes | None = None  # from the last carriage return on
        self._fell = 0  # so many lines down from a bar, that line began
        self._floor = 0.0
        self._told: tuple[float | None, str] | None = None

    def feed(self, chunk: bytes) -> tuple[float | None, str] | None:
        """How far it is now, from 0 to 1 or None, and in words; None where `chunk` brings no news of that."""
        if self._tail is None and b"\r" not in chunk:
            return None
        pieces = ((self._tail or b"") + chunk).split(b"\r")
        if self._tail is None or len(pieces) > LINES_AT_ONCE:
            pieces = pieces[-LINES_AT_ONCE - 1 :]
            self._fell = _fall(pieces.pop(0))
        for piece in pieces[:-1]:
            self._line(piece, whole=True)
            self._fell = _fall(piece)
        self._line(pieces[-1], whole=False)
        self._tail = pieces[-1] if _may_go_on(pieces[-1]) else None
        return self._news()

    def _news(self) -> tuple[float | None, str] | None:
        if self._bar is None:
            return None
        fraction = self._epochs.overall(self._bar.fraction)
        if self._several and not self._epochs.total:
            fraction = None
        if fraction is not None:
            fraction = self._floor = max(round(fraction, 6), self._floor)
        told = fraction, self._bar.message[:MESSAGE_CHARS]
        if told == self._told:
            return None
        self._told = told
        return told

    def _line(self, piece: bytes, *, whole: bool) -> None:
        """What follows a carriage return. whole: the next one has come."""
        line, end, _ = piece.partition(b"\n")
        position = line.count(UP)
        if len(line) > LINE_LIMIT_BYTES or position > DEPTH_LIMIT:
            return
        text = _COLOUR.sub(b"", line.partition(UP)[0])
        # Else the rest of it is still to come, or how many lines it goes up.
        complete = whole or bool(end) or (not self._fell and text.rstrip().endswith(b"]"))
        if (position or complete) and (bar := _read(text)) is not None:
            if position:
                self._inside[position] = bar
            elif not self._bar or not self._is_inside(bar, self._bar):
                self._place(bar)

    def _is_inside(self, bar: _Bar, outer: _Bar) -> bool:
        """One inside that ends and stays is printed once more, at the outermost place. Of two with the same total: it
        has come to its end, the outer one cannot have."""
        same = {inside.description for inside in self._inside.values() if inside.total == bar.total}
        if bar.total != outer.total or (bar.description != outer.description and bar.description in same):
            return bool(same)
        return bool(same) and bar.fraction == 1.0 and bar.number > outer.number + 1

    def _place(self, bar: _Bar) -> None:
        begins = self._bar is None or bar.number < self._bar.number or bar.total != self._bar.total
        self._several = self._several or (begins and self._bar is not None)
        if self._epochs.see(bar, begins):
            self._floor = 0.0
        self._bar = bar
        if bar.fraction == 1.0:
            self._inside.clear()


def _fall(piece: bytes) -> int:
    """How many lines down from a bar the next one begins; 0 where it begins below what was printed."""
    text = piece.rstrip(b"\n")
    below_bar = not text or text.endswith(UP) or text.rstrip().endswith((b"]", b"|"))
    return len(piece) - len(text) if below_bar else 0


def _may_go_on(piece: bytes) -> bool:
    """Whether what comes next can still be of this line, or of how it ends."""
    return len(piece) <= LINE_LIMIT_BYTES and b"\n" not in piece.rstrip(b"\n")


def _read(line: bytes) -> _Bar | None:
    """The bar that a line shows, if it does."""
    known = _WITH_BAR.search(line) or _WITHOUT_BAR.search(line)
    if known is not None:
        return _known(line, known)
    times = _TIMES.search(line)
    if times is None:
        return None
    description, _, count = line[: times.start()].rpartition(b": ")
    unknown = _COUNT.fullmatch(count.strip())
    if unknown is None:
        return None
    rest = _rest(line, times.start() - len(count))
    return _Bar(_text(description), _number(_text(unknown[1])), "", None, rest)


def _known(line: bytes, match: re.Match[bytes]) -> _Bar:
    percent = min(float(match[1]) / 100, 1.0)
    description = _text(line[: match.start()])
    if not match[2]:
        return _Bar(description, percent, "100%", percent, "")
    total = _text(match[3])
    number, most = _number(_text(match[2])), _number(total)
    exact = number / most if most else percent
    # Large numbers are shown rounded, and their thousands may be 1024.
    fraction = exact if abs(exact - percent) <= 0.01 else percent
    return _Bar(description, number, total, min(fraction, 1.0), _rest(line, match.start(2)))


def _rest(line: bytes, start: int) -> str:
    """From there on to the end of the brackets; something may have been printed after them."""
    depth = 0
    for bracket in _BRACKET.finditer(line, start):
        depth += 1 if bracket[0] == b"[" else -1
        if depth == 0:
            return _text(line[start : bracket.end()])
    return _text(line[start:])


def _number(text: str) -> float:
    scale = _SCALE.get(text[-1:], 1.0)
    try:
        return float(text.rstrip("kMGTPEZY%")) * scale
    except ValueError:
        return 0.0


def _text(raw: bytes) -> str:
    text = _CONTROL.sub(" ", raw.decode(errors="replace"))
    return " ".join(text.split()).rstrip(": ")


def overwritten(log: bytes) -> bytes:
    """The log as a terminal shows it in the end: of what was overwritten after a carriage return, the last state.

    Nothing else is lost. Takes a time that grows with the length of the log.
    """
    if b"\r" not in log and b"\x1b[" not in log:
        return log
    lines, at, returned = [bytearray()], 0, False  # returned: the next text takes the place of the line
    for part in _TOKEN.split(_PASSED.sub(b"", log)):
        if part == b"\r":
            returned = True
        elif part == b"\n":
            returned = False
            at += 1
            if at == len(lines):
                lines.append(bytearray())
        elif _TOKEN.fullmatch(part):
            at = max(0, at - int(part[2:-1] or 1)) if part.endswith(b"A") else at
        elif part:
            if returned:
                lines[at].clear()
            if not returned or not part.isspace():  # else it is erased with blanks
                lines[at] += part
            returned = False
    return b"\n".join(lines)


class LogTail:
    """The end of what a call prints, at most so many bytes, without what was overwritten meanwhile.

    A bar that moves for hours does not push out what was said before it. Where so much comes that tidying would take
    more than TIDY_SHARE of the time, some of it is lost instead.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._tidy = b""
        self._new = bytearray()
        self._credit_s = TIDY_BURST_S
        self._credit_at = time.monotonic()

    def __len__(self) -> int:
        """How long it is at most."""
        return min(len(self._tidy) + len(self._new), self._limit)

    def add(self, chunk: bytes) -> None:
        self._new += chunk
        if len(self._new) <= self._limit:
            return
        now, started = time.monotonic(), time.thread_time()
        self._credit_s = min(self._credit_s + (now - self._credit_at) * TIDY_SHARE, TIDY_BURST_S)
        self._credit_at = now
        if self._credit_s < 0:
            del self._new[: len(self._new) - self._limit // 2]
            return
        self._tidy = self.read()
        self._new.clear()
        self._credit_s -= time.thread_time() - started

    def read(self) -> bytes:
        return overwritten(self._tidy + self._new)[-self._limit :] if self._limit else b""
