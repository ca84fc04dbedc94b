"""A grey picture → how much ink there is at each pixel: light evened out, paper lines taken away, either polarity."""

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from my_model.render import Floats

Bytes = npt.NDArray[np.uint8]

# The paper's brightness is measured on blocks; a digit hides it over at most the strokes' width (see `_paper`).
BLOCK_PX = 16
# A 160 px digit may be solid ink over half its side and more; closing must look beyond it.
BRIDGED_PX = 240
BRIDGED_SHARE = 0.35
DEEPEST_SHADOW = 0.45
# Printed lines: at most this thick, and seen in this share of neighbouring strips.
LINE_PX = 7
LINE_STRIPS = 0.45
# Rise over run of the steepest line: 1.5 degrees, a page laid on a scanner by hand.
LINE_SLOPE = 0.026
STRIP_PX = 36
# Which way round a page is can be told from every fourth pixel.
COARSE = 4


def ink(grey: Bytes) -> Floats:
    """Darkness against the paper around it, in [0, 1]: 0 is bare paper, 1 is black on white.

    grey: (height, width). Light writing on a dark ground counts as ink just the same.
    """
    smooth = _blurred(grey)
    if _is_light_on_dark(smooth[::COARSE, ::COARSE]):
        smooth = 255 - smooth
    return _without_lines(_against(_paper(smooth), smooth))


def noise_level(darkness: Floats) -> float:
    """Standard deviation of bare paper, from the smaller half of the cross differences between pixels 4 px apart.

    Cross differences, because straight edges and slopes of light leave none. Four, because the smoothing above ties
    nearer neighbours together; the smaller ones, because a small picture may be half ink.
    """
    step = 4
    if min(darkness.shape) <= step:
        return 0.0
    down = darkness[:-step:5] - darkness[step::5]
    crossed = np.abs(down[:, :-step] - down[:, step:]).ravel()
    place = int(0.4 * crossed.size)
    # Of four normal numbers, each cut off at 0 as darkness is, two fifths cross to less than 0.530 deviations.
    return float(np.partition(crossed, place)[place]) / 0.530


def _is_light_on_dark(coarse: Bytes) -> bool:
    """Writing covers less of a page than the ground does: take the way round that finds less of it."""
    return _mass(255 - coarse) < _mass(coarse)


def _mass(coarse: Bytes) -> float:
    """How much there is that is clearly darker than the paper around it."""
    difference = _paper(coarse, COARSE).astype(np.float32) - coarse
    return float(difference[difference > 0.2 * np.ptp(coarse)].sum())


def _blurred(grey: Bytes) -> Bytes:
    """The mean of 3 by 3 pixels: a camera's noise falls to a third. PIL's BoxBlur takes four times as long."""
    wide = np.pad(grey, 1, mode="edge").astype(np.uint16)
    rows = wide[:-2] + wide[1:-1] + wide[2:]
    total = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    # 7282 / 65536 is a ninth, to the last bit of a byte; numpy divides integers slowly.
    mean: Bytes = (np.multiply(total, 7282, dtype=np.uint32) >> 16).astype(np.uint8)
    return mean


def _against(paper: Bytes, grey: Bytes) -> Floats:
    # 8: on black ground a ratio to the brightness around would blow up the noise.
    darkness = np.subtract(paper, grey, dtype=np.float32)
    darkness /= np.maximum(paper, 8)
    return np.clip(darkness, 0.0, 1.0, out=darkness)


def _paper(grey: Bytes, reduced: int = 1) -> Bytes:
    """Brightness of the paper at each pixel: blocks, closed over the ink, smoothed and scaled up again.

    reduced: how many pixels of the original one of these stands for.
    """
    height, width = grey.shape
    block = max(1, min(BLOCK_PX // reduced, min(height, width) // 8))
    small = (-(-width // block), -(-height // block))
    # The median of a block is not moved by thin strokes; a mean would mix them in.
    padded = np.pad(grey, ((0, small[1] * block - height), (0, small[0] * block - width)), mode="edge")
    blocks = padded.reshape(small[1], block, small[0], block)[:, ::2, :, ::2]
    levels = _median(blocks.swapaxes(1, 2).reshape(small[1], small[0], -1)).astype(np.float32)
    bridged = max(BRIDGED_PX / reduced, BRIDGED_SHARE * min(height, width))
    side = max(3, min(round(bridged / block), 2 * max(small) + 1))
    # Without its slope, or at the picture's dark side the closing would see only what is brighter.
    slope = _slope(levels)
    closed = ndimage.grey_closing(levels - slope, size=(side, side), mode="nearest")
    even = ndimage.gaussian_filter(closed, side / 6, mode="nearest") + slope
    # Wider strokes than that: below this share of the page's light nothing is a shadow.
    brightest = float(np.percentile(levels, 95))
    return _enlarged(np.maximum(even, DEEPEST_SHADOW * brightest), width, height)


def _slope(levels: Floats) -> Floats:
    """The plane through the paper's brightness: fitted, then without what lies clearly below it, which is ink."""
    # A page has some 4,000 blocks; a thousand of them tell three numbers as well.
    every = 2 if min(levels.shape) >= 32 else 1
    rows, columns = np.indices(levels.shape)[:, ::every, ::every].reshape(2, -1)
    points = np.stack([rows, columns, np.ones(rows.size)], axis=1)
    values = levels[::every, ::every].ravel()
    kept = values >= np.median(values)
    plane = np.zeros(3, dtype=np.float64)
    for _ in range(3):
        seen = points[kept]
        # The least squares' own equations. A breath of 1e-6 keeps them solvable where all blocks are in one row.
        solved = np.linalg.solve(seen.T @ seen + 1e-6 * np.eye(3), seen.T @ values[kept])
        plane = np.asarray(solved, dtype=np.float64)
        below = points @ plane - values
        kept = below <= max(4.0, 1.5 * float(np.median(np.abs(below))))
    down, right, start = (np.float32(part) for part in plane)
    across = np.arange(levels.shape[1], dtype=np.float32) * right + start
    return np.asarray(np.arange(levels.shape[0], dtype=np.float32)[:, None] * down + across, dtype=np.float32)


def _enlarged(levels: npt.NDArray[Any], width: int, height: int) -> Bytes:
    """Bilinear, in whole grey levels: PIL does it three times as fast as in floats."""
    small = Image.fromarray(np.rint(np.clip(levels, 0, 255)).astype(np.uint8))
    return np.asarray(small.resize((width, height), Image.Resampling.BILINEAR))


def _median(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The upper median along the last axis, several times faster than numpy's."""
    middle = values.shape[-1] // 2
    return np.partition(values, middle, axis=-1)[..., middle]


def _without_lines(darkness: Floats) -> Floats:
    """Ruled and squared paper: its lines, horizontal then vertical, are taken off in place; ink upon them stays."""
    return _without_rows(_without_rows(darkness).T).T


def _without_rows(darkness: Floats) -> Floats:
    height, width = darkness.shape
    strips = width // STRIP_PX
    if strips < 5 or height < 4 * LINE_PX:
        return darkness
    # What most of a strip's columns hold in a row is not a digit's stroke, or it is thick as one.
    cut = darkness[:, : strips * STRIP_PX : STRIP_PX // 9].reshape(height, strips, 3, 3)
    rows = _middle(*np.moveaxis(_middle(*np.moveaxis(cut, -1, 0)), -1, 0))
    thin = rows - ndimage.grey_opening(rows, size=(LINE_PX, 1))
    lines = _long_lines(thin, 3.0 * float(np.median(thin)) + 0.015)
    if lines is None:
        return darkness
    touched = np.flatnonzero(lines.any(axis=1))
    spread = np.repeat(lines[touched], STRIP_PX, axis=1)
    spread = np.pad(spread, ((0, 0), (0, width - spread.shape[1])), mode="edge")
    darkness[touched] = np.maximum(darkness[touched] - np.float32(1.2) * spread, 0.0)
    return darkness


def _middle(first: Floats, second: Floats, third: Floats) -> Floats:
    """The middle one of three, at each place. Three such of three: near the median of nine, without sorting."""
    return np.maximum(np.minimum(first, second), np.minimum(np.maximum(first, second), third))


def _long_lines(thin: Floats, floor: float) -> Floats | None:
    """Of the thin rows, by strip, those on straight lines over the page; None where there is no such line.

    A Hough transform with few angles: each strip is moved by what the angle says, then rows are counted.
    """
    height, strips = thin.shape
    marked = np.ascontiguousarray(ndimage.maximum_filter1d((thin > floor).astype(np.int16), 3, axis=0).T)
    reach = round(LINE_SLOPE * strips * STRIP_PX)
    across = np.arange(strips) / (strips - 1) - 0.5
    # Every second px of rise: a line 1 px off at the page's side still falls on its marks, which are 3 px and more.
    rises = np.arange(-reach, reach + 1, 2)
    moves = np.rint(rises[:, None] * across).astype(np.int64)
    counts = np.stack([_counted(marked, one) for one in moves])
    best = counts.argmax(axis=0)
    lines = np.zeros_like(thin)
    taken = np.zeros(height, dtype=bool)
    for row in np.argsort(-counts.max(axis=0), kind="stable"):
        if counts[best[row], row] < LINE_STRIPS * strips:
            break
        if not taken[row]:
            taken[max(0, row - LINE_PX // 2) : row + LINE_PX // 2 + 1] = True
            _copy_line(thin, floor, lines, np.clip(row + moves[best[row]], 0, height - 1))
    return lines if taken.any() else None


def _counted(marked: npt.NDArray[np.int16], moves: npt.NDArray[np.int64]) -> npt.NDArray[np.int16]:
    """How many strips are marked on the line through each middle row; marked: (strips, height)."""
    total = np.zeros(marked.shape[1], dtype=np.int16)
    for strip, move in zip(marked, moves, strict=True):
        if abs(move) >= len(total):
            continue  # a picture so low and wide that the line leaves it
        if move >= 0:
            total[: len(total) - move] += strip[move:]
        else:
            total[-move:] += strip[:move]
    return total


def _copy_line(thin: Floats, floor: float, lines: Floats, rows: npt.NDArray[np.int64]) -> None:
    """Into `lines`: what `thin` holds on and beside the given row of each strip.

    A line is equally dark all along: what is much darker is a stroke that happens to lie upon it, and where a strip
    is full of strokes the line goes on beneath them as it does elsewhere.
    """
    strips = np.arange(len(rows))
    beside = np.stack([np.clip(rows + step, 0, len(thin) - 1) for step in (-2, -1, 0, 1, 2)])
    values = thin[beside, strips]
    seen = values.max(axis=0) > floor
    usual = np.median(values[:, seen], axis=1, keepdims=True) if seen.any() else np.zeros((len(beside), 1))
    values = np.where(seen, np.minimum(values, 1.5 * usual.max()), usual)
    lines[beside, strips] = np.maximum(lines[beside, strips], values)
