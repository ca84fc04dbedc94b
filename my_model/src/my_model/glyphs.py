"""A candidate's ink → the small picture of fixed size that classifiers see."""

import numpy as np
from PIL import Image

from my_model.render import Floats

# 16 cells a side hold twice the detail of the digits that we learn from (8 by 8).
SIDE = 16
# Changes when glyphs change: a stored classifier fits only the glyphs that it was fitted on.
VERSION = 1
# Grey level, as a share of a digit's darkest ink, from which a pixel counts as its ink.
EDGE = 0.3


def bounds(ink: Floats, edge: float = EDGE) -> tuple[int, int, int, int] | None:
    """Top, bottom, left, right (half open) of the pixels darker than `edge` of the darkest; None where all is blank."""
    peak = float(ink.max(initial=0.0))
    if peak <= 0.0:
        return None
    mask = ink >= edge * peak
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def glyph(ink: Floats) -> Floats:
    """The ink's own box, its longer side scaled to SIDE, centred; the darkest is 1.

    ink: (height, width), any scale, 0 where there is none. Returns (SIDE * SIDE,), in [0, 1].
    """
    box = bounds(ink)
    flat = np.zeros((SIDE, SIDE), dtype=np.float32)
    if box is None:
        return flat.ravel()
    top, bottom, left, right = box
    crop = ink[top:bottom, left:right]
    peak = float(np.partition(crop.ravel(), -max(1, crop.size // 20))[-max(1, crop.size // 20)])
    height, width = crop.shape
    scale = SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # PIL's bilinear widens its support when it shrinks, so a large digit is averaged, not sampled.
    small = np.asarray(Image.fromarray(crop).resize(size, Image.Resampling.BILINEAR))
    row, column = (SIDE - size[1]) // 2, (SIDE - size[0]) // 2
    flat[row : row + size[1], column : column + size[0]] = np.clip(small / max(peak, 1e-6), 0.0, 1.0)
    return flat.ravel()
