"""Ink → candidates: the connected pieces that may be digits or parts of one."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from my_model.darkness import noise_level
from my_model.render import Floats

# Paper may be this dark, where its grain is weak: faint lines, shadows' edges.
PAPER_INK = 0.12
# Grain above this many deviations is one pixel in a million, and a piece needs several pixels.
GRAIN_DEVIATIONS = 5.0
# What is taken for grain and is coarser than this is rather a picture full of ink.
GRAIN_LIMIT = 0.3
# A stroke's edge is at this share of the page's ink, a digit has at least the second share somewhere.
EDGE_SHARE = 0.3
CORE_SHARE = 0.55
# The smallest digit that can be told: below 10 px the counters of an 8 close. Parts may be smaller.
SMALLEST_PX = 10
SMALLEST_PART_PX = 3


@dataclass(frozen=True)
class Piece:
    """Labels of connected pixels, and the box around them: y1, y2, x1, x2 (half open)."""

    labels: tuple[int, ...]
    top: int
    bottom: int
    left: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def area(self) -> int:
        return self.height * self.width

    @property
    def box(self) -> tuple[int, int, int, int]:
        return self.top, self.bottom, self.left, self.right

    def joined(self, other: "Piece") -> "Piece":
        """Both as one."""
        return Piece(
            self.labels + other.labels,
            min(self.top, other.top),
            max(self.bottom, other.bottom),
            min(self.left, other.left),
            max(self.right, other.right),
        )


@dataclass(frozen=True)
class Pieces:
    """The pieces of a page, with what is needed to cut one out."""

    darkness: Floats
    labels: npt.NDArray[np.int32]
    pieces: list[Piece]

    def cut(self, piece: Piece) -> Floats:
        """The ink of one piece alone, neighbours blanked."""
        where = np.s_[piece.top : piece.bottom, piece.left : piece.right]
        labels = self.labels[where]
        own = labels == piece.labels[0]
        for label in piece.labels[1:]:
            own |= labels == label
        return np.where(own, self.darkness[where], np.float32(0.0))


def pieces(darkness: Floats) -> Pieces:
    """Connected ink, without grain and specks; darkness: (height, width), 0 is paper."""
    floor = max(PAPER_INK, min(GRAIN_LIMIT, GRAIN_DEVIATIONS * noise_level(darkness)))
    inked = darkness[darkness > floor]
    if inked.size == 0:
        return Pieces(darkness, np.zeros(darkness.shape, dtype=np.int32), [])
    level = float(np.partition(inked, int(inked.size * 0.75))[int(inked.size * 0.75)])
    labels, _ = ndimage.label(darkness > max(floor, EDGE_SHARE * level), structure=np.ones((3, 3)))
    kept = []
    for index, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        piece = Piece((index,), rows.start, rows.stop, columns.start, columns.stop)
        # Within a piece's box is hardly anything but the piece, and ndimage.maximum would sort the whole page.
        if max(piece.height, piece.width) >= SMALLEST_PART_PX and darkness[rows, columns].max() >= CORE_SHARE * level:
            kept.append(piece)
    return Pieces(darkness, labels, kept)
