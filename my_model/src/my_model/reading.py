"""A grey picture → the digits in it, in reading order."""

from dataclasses import dataclass

import numpy as np

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
# Two boxes are on one line if they share half of the lower one's height.
SHARED_HEIGHT = 0.5


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


def read(grey: darkness.Bytes, classifier: Classifier) -> list[Digit]:
    """All digits of a picture; grey: (height, width)."""
    found = pieces(darkness.ink(grey))
    reads = _whole(_mended(_asked(found, found.found, classifier), found, classifier))
    return [_digit(one) for one in in_reading_order(reads)]


def _digit(one: _Read) -> Digit:
    piece = one.piece
    return Digit(int(one.probabilities.argmax()), one.confidence, piece.left, piece.top, piece.right, piece.bottom)


def _asked(found: Pieces, asked: list[Piece], classifier: Classifier) -> list[_Read]:
    """What the classifier says to each piece."""
    if not asked:
        return []
    pictures = np.stack([glyphs.glyph(found.cut(piece)) for piece in asked])
    answers = classifier.probabilities(features.describe(pictures))
    return [_Read(piece, answer) for piece, answer in zip(asked, answers, strict=True)]


def _whole(reads: list[_Read]) -> list[_Read]:
    """Those that have a digit's size and shape."""
    return [
        one
        for one in reads
        if max(one.piece.height, one.piece.width) >= SMALLEST_PX
        and one.piece.width <= WIDEST * one.piece.height
        and one.piece.height <= NARROWEST * one.piece.width
    ]


def _mended(reads: list[_Read], found: Pieces, classifier: Classifier) -> list[_Read]:
    """Broken digits put together: a part goes to the neighbour that it may have broken off from, if that reads well."""
    reads = sorted(reads, key=lambda one: -one.piece.height * one.piece.width)
    whole: list[_Read] = []
    for one in reads:
        place = _broken_off(one.piece, whole)
        if place is not None:
            joined = _asked(found, [whole[place].piece.joined(one.piece)], classifier)[0]
            if _reads_better(joined, whole[place], one):
                whole[place] = joined
                continue
        whole.append(one)
    return whole


def _reads_better(joined: _Read, whole: _Read, part: _Read) -> bool:
    """A crumb may cost a little confidence; what could be a digit by itself has to make the other one plainer."""
    crumb = max(part.piece.height, part.piece.width) < max(SMALLEST_PX, CRUMB_SHARE * whole.piece.height)
    if crumb:
        return joined.confidence >= whole.confidence - 0.1
    return joined.confidence >= whole.confidence and joined.confidence > part.confidence


def _broken_off(part: Piece, whole: list[_Read]) -> int | None:
    """Position of the nearest piece that `part` may have broken off from: smaller, near, and above or below it."""
    best, best_gap = None, 0.0
    for place, one in enumerate(whole):
        height = one.piece.height
        gap = part.gap(one.piece) / max(1, height)
        beside = max(part.left, one.piece.left) - min(part.right, one.piece.right)
        limit = BREAK_SHARE if beside <= -0.4 * part.width else BESIDE_SHARE
        smaller = part.height < 0.75 * height and part.width < 1.2 * max(one.piece.width, 0.5 * height)
        if smaller and gap < limit and (best is None or gap < best_gap):
            best, best_gap = place, gap
    return best


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
