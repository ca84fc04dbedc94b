"""Grey pictures → the digits in each, in reading order."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from my_model import darkness, features, glyphs
from my_model.classify import Classifier
from my_model.render import Floats
from my_model.segment import SMALLEST_PX, Piece, Pieces, pieces

# A digit is at most so many times as wide as high (a turned 1 with its base: 1.0), and so many times as high as wide.
WIDEST = 1.8
NARROWEST = 9.0
# Two pieces may be one broken digit if they are closer than this share of the larger one's height: above or below it,
# beside it (where the next digit stands).
BREAK_SHARE = 0.15
BESIDE_SHARE = 0.05
# A part so much lower than its neighbour is too small to be a digit beside it.
CRUMB_SHARE = 0.2
# What is lower and narrower than a cell of the glyph changes nothing about it. It is rather a digit in a frame.
CELL_SHARE = 1 / glyphs.SIDE
# A page of digits has some thousand pieces. The boxes of all together overlap a little.
LIMIT_PIECES = 10_000
LIMIT_BOXES = 10.0
# So many pixels are looked at to put parts together; it takes about two seconds. Beyond, parts stay parts.
JOINED_PIXELS = 100_000_000
# Two boxes are on one line if they share half of the lower one's height.
SHARED_HEIGHT = 0.5


class TooMuch(Exception):
    """There is more on the picture than is read; says which limit that is."""


@dataclass(frozen=True)
class Digit:
    """A digit that was read; x1, y1, x2, y2 in pixels, half open."""

    digit: int
    confidence: float
    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True)
class _Read:
    piece: Piece
    probabilities: Floats

    @property
    def confidence(self) -> float:
        return float(self.probabilities.max())


def read(greys: Sequence[darkness.Bytes], classifier: Classifier) -> list[list[Digit] | TooMuch]:
    """All digits of each picture, (height, width), or why it is not read. The classifier is asked once for all."""
    searched = [_searched(grey) for grey in greys]
    readable = [page for page in searched if isinstance(page, Pieces)]
    if sum(len(page.pieces) for page in readable) > LIMIT_PIECES and len(greys) > 1:
        return [digits for grey in greys for digits in read([grey], classifier)]
    asked = iter(_asked([(page, page.pieces) for page in readable], classifier))
    return [page if isinstance(page, TooMuch) else _digits(page, next(asked), classifier) for page in searched]


def _searched(grey: darkness.Bytes) -> Pieces | TooMuch:
    page = pieces(darkness.ink(grey))
    try:
        _check_amount(page)
    except TooMuch as reason:
        return reason
    return page


def _digits(page: Pieces, reads: list[_Read], classifier: Classifier) -> list[Digit]:
    return [_digit(one) for one in in_reading_order(_whole(_mended(reads, page, classifier)))]


def _check_amount(page: Pieces) -> None:
    if len(page.pieces) > LIMIT_PIECES:
        raise TooMuch(f"Too much on it: {len(page.pieces):,} marks. At most {LIMIT_PIECES:,} are read.")
    share = sum(piece.area for piece in page.pieces) / max(1, page.darkness.size)
    if share > LIMIT_BOXES:
        raise TooMuch(
            f"Too much on it: its marks' boxes cover it {share:.0f} times. At most {LIMIT_BOXES:.0f} times are read."
        )


def _digit(one: _Read) -> Digit:
    piece = one.piece
    return Digit(int(one.probabilities.argmax()), one.confidence, piece.left, piece.top, piece.right, piece.bottom)


def _asked(asked: Sequence[tuple[Pieces, list[Piece]]], classifier: Classifier) -> list[list[_Read]]:
    """What the classifier says to each piece, picture by picture."""
    cut = [glyphs.glyph(page.cut(piece)) for page, some in asked for piece in some]
    answers = iter(classifier.probabilities(features.describe(np.stack(cut))) if cut else ())
    return [[_Read(piece, next(answers)) for piece in some] for _, some in asked]


def _whole(reads: list[_Read]) -> list[_Read]:
    """Those that have a digit's size and shape."""
    return [
        one
        for one in reads
        if max(one.piece.height, one.piece.width) >= SMALLEST_PX
        and one.piece.width <= WIDEST * one.piece.height
        and one.piece.height <= NARROWEST * one.piece.width
    ]


def _mended(reads: list[_Read], page: Pieces, classifier: Classifier) -> list[_Read]:
    """Broken digits put together: a part goes to the neighbour that it may have broken off from, if that reads well."""
    whole: list[_Read] = []
    boxes = np.zeros((len(reads), 4), dtype=np.int64)
    pixels = 0
    for one in sorted(reads, key=lambda one: -one.piece.area):
        place = _broken_off(one.piece, boxes[: len(whole)])
        if place is not None:
            together = whole[place].piece.joined(one.piece)
            pixels += together.area
            joined = _asked([(page, [together])], classifier)[0][0] if pixels <= JOINED_PIXELS else None
            if joined is not None and _reads_better(joined, whole[place], one):
                whole[place], boxes[place] = joined, joined.piece.box
                continue
        boxes[len(whole)] = one.piece.box
        whole.append(one)
    return whole


def _reads_better(joined: _Read, whole: _Read, part: _Read) -> bool:
    """A crumb may cost a little confidence; what could be a digit by itself has to make the other one plainer."""
    crumb = max(part.piece.height, part.piece.width) < max(SMALLEST_PX, CRUMB_SHARE * whole.piece.height)
    if crumb:
        return joined.confidence >= whole.confidence - 0.1
    return joined.confidence >= whole.confidence and joined.confidence > part.confidence


def _broken_off(part: Piece, boxes: npt.NDArray[np.int64]) -> int | None:
    """Position of the nearest piece that `part` may have broken off from: smaller, near, and above or below it.

    boxes: of the pieces, each top, bottom, left, right.
    """
    top, bottom, left, right = boxes.T
    height, width = bottom - top, right - left
    beside = np.maximum(part.left, left) - np.minimum(part.right, right)
    above = np.maximum(part.top, top) - np.minimum(part.bottom, bottom)
    gap = np.maximum(0, np.maximum(beside, above)) / np.maximum(1, height)
    limit = np.where(beside <= -0.4 * part.width, BREAK_SHARE, BESIDE_SHARE)
    smaller = (part.height < 0.75 * height) & (part.width < 1.2 * np.maximum(width, 0.5 * height))
    near = smaller & (gap < limit) & (max(part.height, part.width) >= CELL_SHARE * height)
    return int(np.where(near, gap, np.inf).argmin()) if near.any() else None


def in_reading_order(reads: list[_Read]) -> list[_Read]:
    """Lines from top to bottom, each from left to right.

    Each box, from the left, goes on the line whose last box shares most of its height, so a line may be askew and its
    digits of different sizes.
    """
    lines: list[list[_Read]] = []
    for one in sorted(reads, key=lambda one: one.piece.left):
        shares = [_shared_height(line[-1].piece, one.piece) for line in lines]
        best = max(range(len(lines)), key=shares.__getitem__, default=None)
        if best is not None and shares[best] >= SHARED_HEIGHT:
            lines[best].append(one)
        else:
            lines.append([one])
    lines.sort(key=lambda line: float(np.median([one.piece.top + one.piece.bottom for one in line])))
    return [one for line in lines for one in line]


def _shared_height(first: Piece, second: Piece) -> float:
    shared = min(first.bottom, second.bottom) - max(first.top, second.top)
    return shared / max(1, min(first.height, second.height))
