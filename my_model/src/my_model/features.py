"""Glyphs → what the classifiers compare: strokes' directions, pooled over the glyph, and the glyph itself."""

import numpy as np

from my_model.glyphs import SIDE
from my_model.render import Floats

BINS = 8
POOLS = 5
# Shares of the two halves. Directions alone read 98.9 % of seed 0's held-out digits, drawn turned; grey values alone
# 98.2 %; both, so weighted, 98.9 % (4 drawings of each digit learnt, support vectors).
GLYPH_WEIGHT = 0.2
# A pool reaches a little beyond its neighbours' centres, so a stroke that moves by a pixel changes little.
REACH_PX = 3.5


def describe(glyphs: Floats) -> Floats:
    """(n, SIDE * SIDE) glyphs → (n, BINS * POOLS² + SIDE²) features, each row of about unit length."""
    pooled = np.sqrt(_pooled_directions(glyphs.reshape(-1, SIDE, SIDE)))
    pooled /= np.linalg.norm(pooled, axis=1, keepdims=True) + 1e-6
    return np.hstack([pooled, GLYPH_WEIGHT / 4 * glyphs]).astype(np.float32)


def _pooled_directions(pictures: Floats) -> Floats:
    """Histograms of oriented gradients (Dalal and Triggs, 2005), both ways round, in POOLS by POOLS places."""
    padded = np.pad(pictures, ((0, 0), (2, 2), (2, 2)))
    right = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]
    down = padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
    strength = np.hypot(right, down)
    turn = (np.arctan2(down, right) * np.float32(BINS / (2 * np.pi))) % BINS
    weights = _pool_weights(strength.shape[1])
    bins = []
    for direction in range(BINS):
        away = np.abs(turn - direction)
        share = np.clip(1 - np.minimum(away, BINS - away), 0, None) * strength
        bins.append(weights @ share @ weights.T)
    return np.stack(bins, axis=1).reshape(len(pictures), -1)


def _pool_weights(side: int) -> Floats:
    """(POOLS, side): how much each row of pixels counts for each pool."""
    centres = np.linspace(2, side - 2, POOLS)
    away = np.abs(np.arange(side) + 0.5 - centres[:, None])
    return np.clip(1 - away / REACH_PX, 0, None).astype(np.float32)
