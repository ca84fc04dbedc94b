"""The digits of scikit-learn, drawn at any size as ink would be: shared by training, sample pages and benchmark."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

# load_digits counts ink in 4 by 4 blocks of a bitmap: 0 to 16.
FULL_INK = 16.0
# Room around the 8 by 8 cells: at 12 degrees and 20 % of shear a corner moves by about 1.5 cells.
MARGIN_CELLS = 2


@dataclass(frozen=True)
class Stroke:
    """How one digit is drawn.

    size_px: the side that its 8 by 8 cells get. angle_deg: counter-clockwise. slant: shear, dx/dy. squeeze: width over
    height. gain, bite: steepness of the pen's edge and the share of ink at which it lies (gain 1 leaves grey as it is).
    """

    size_px: float
    angle_deg: float = 0.0
    slant: float = 0.0
    squeeze: float = 1.0
    gain: float = 1.0
    bite: float = 0.5
    resample: Image.Resampling = Image.Resampling.BICUBIC


def load() -> tuple[Floats, Ints]:
    """scikit-learn's digits: images (1797, 8, 8) in [0, 1], 1 is ink; labels (1797,), 0 to 9."""
    # Only training and generated pages need scikit-learn; its import takes seconds, so a prediction goes without.
    from sklearn.datasets import load_digits

    digits = load_digits()
    return (digits.images / FULL_INK).astype(np.float32), digits.target.astype(np.int64)


def split(labels: Ints, held_out: float, seed: int) -> tuple[Ints, Ints]:
    """Positions to train on and positions held out, each class in proportion; the same for the same seed."""
    random = np.random.default_rng(seed)
    kept, held = [], []
    for label in np.unique(labels):
        positions = random.permutation(np.flatnonzero(labels == label))
        count = max(1, round(held_out * len(positions)))
        held.append(positions[:count])
        kept.append(positions[count:])
    return np.sort(np.concatenate(kept)), np.sort(np.concatenate(held))


def draw(cells: Floats, stroke: Stroke) -> Floats:
    """Ink coverage in [0, 1] of one digit; cells: (8, 8) in [0, 1]. Returns a square a half larger than size_px."""
    padded = np.pad(cells, MARGIN_CELLS)
    side_cells = padded.shape[0]
    side_px = max(4, math.ceil(stroke.size_px * side_cells / cells.shape[0]))
    scale = cells.shape[0] / stroke.size_px
    turn = math.radians(stroke.angle_deg)
    # PIL asks for the map from output to input: undo the turn, then the slant and the squeeze, then scale to cells.
    undo_turn = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    undo_shape = np.array([[1 / stroke.squeeze, stroke.slant / stroke.squeeze], [0.0, 1.0]])
    matrix = scale * undo_shape @ undo_turn
    offset = side_cells / 2 - matrix @ np.array([side_px / 2, side_px / 2])
    coefficients = (*matrix[0], offset[0], *matrix[1], offset[1])
    image = Image.fromarray(padded).transform(
        (side_px, side_px), Image.Transform.AFFINE, coefficients, resample=stroke.resample
    )
    ink = np.asarray(image, dtype=np.float32)
    return np.asarray(np.clip((ink - stroke.bite) * stroke.gain + stroke.bite, 0.0, 1.0), dtype=np.float32)


def random_stroke(random: np.random.Generator, size_px: float, turn_deg: float = 10.0) -> Stroke:
    """A digit as people write: turned up to `turn_deg` either way, the pen's edge soft or sharp."""
    return Stroke(
        size_px=size_px,
        angle_deg=random.uniform(-turn_deg, turn_deg),
        slant=random.uniform(-0.06, 0.06),
        squeeze=random.uniform(0.92, 1.08),
        gain=random.uniform(1.0, 3.0),
        bite=random.uniform(0.3, 0.5),
        resample=Image.Resampling.BICUBIC if random.random() < 0.7 else Image.Resampling.BILINEAR,
    )
