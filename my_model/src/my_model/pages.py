"""Generated pages of handwritten digits, with the truth about them: for tests, benchmark and sample data."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from my_model import glyphs, render
from my_model.render import Floats, Ints

Box = tuple[int, int, int, int]
# A digit's box holds the ink that a reader sees: coverage of a third and more.
VISIBLE_INK = 0.33


@dataclass(frozen=True)
class PageStyle:
    """What a page looks like. Sizes in pixels, angles in degrees, shades as shares of the paper's brightness."""

    width: int = 1000
    height: int = 1000
    smallest_px: float = 24.0
    largest_px: float = 160.0
    turn_deg: float = 10.0
    light: float = 0.35
    noise: float = 6.0
    ruled: bool = True
    inverted: bool = False
    blur_px: float = 0.0
    paper: tuple[int, int, int] = (246, 243, 232)
    pen: tuple[int, int, int] = (38, 42, 78)
    line: tuple[int, int, int] = (160, 178, 206)


@dataclass(frozen=True)
class Page:
    """A picture and its truth: the boxes (x1, y1, x2, y2), half open, in reading order, and the digits in them."""

    image: Image.Image
    boxes: list[Box]
    digits: list[int]


@dataclass(frozen=True)
class _Drawn:
    """Ink, and where in it the visible part lies: top, bottom, left, right."""

    ink: Floats
    part: tuple[int, int, int, int]
    digit: int

    @property
    def height(self) -> int:
        return self.part[1] - self.part[0]

    @property
    def width(self) -> int:
        return self.part[3] - self.part[2]


@dataclass(frozen=True)
class _Placed:
    """A drawn digit whose visible part starts at (left, top) of the page."""

    drawn: _Drawn
    left: int
    top: int

    def onto(self, cover: Floats) -> None:
        """Lay the ink over what is there; what would be off the page is cut."""
        top, left = self.top - self.drawn.part[0], self.left - self.drawn.part[2]
        above, before = max(0, -top), max(0, -left)
        ink = self.drawn.ink[above : cover.shape[0] - top, before : cover.shape[1] - left]
        target = cover[top + above :, left + before :][: ink.shape[0], : ink.shape[1]]
        np.maximum(target, ink, out=target)


def generate(cells: Floats, labels: Ints, count: int, style: PageStyle, random: np.random.Generator) -> Page:
    """A page with up to `count` of the given digits, drawn at random; fewer where the page has no more room.

    cells: (n, 8, 8) in [0, 1]. labels: (n,).
    """
    placed = _laid_out(_drawn(cells, labels, count, style, random), style, random)
    cover = np.zeros((style.height, style.width), dtype=np.float32)
    for one in placed:
        one.onto(cover)
    return Page(
        image=_photographed(cover, style, random),
        boxes=[(one.left, one.top, one.left + one.drawn.width, one.top + one.drawn.height) for one in placed],
        digits=[one.drawn.digit for one in placed],
    )


def single(cells: Floats, size_px: float, random: np.random.Generator, turn_deg: float = 10.0) -> Image.Image:
    """One digit on white paper, a little noise, no lines."""
    ink = render.draw(cells, render.random_stroke(random, size_px, turn_deg))
    shade = 245 - 210 * ink + random.normal(0, 3, ink.shape)
    return Image.fromarray(np.clip(shade, 0, 255).astype(np.uint8))


def _drawn(cells: Floats, labels: Ints, count: int, style: PageStyle, random: np.random.Generator) -> list[_Drawn]:
    drawn = []
    for index in random.choice(len(cells), size=count, replace=count > len(cells)):
        size_px = float(np.exp(random.uniform(np.log(style.smallest_px), np.log(style.largest_px))))
        ink = render.draw(cells[index], render.random_stroke(random, size_px, style.turn_deg))
        part = glyphs.bounds(ink, VISIBLE_INK)
        if part is not None:
            drawn.append(_Drawn(ink, part, int(labels[index])))
    return drawn


def _laid_out(drawn: list[_Drawn], style: PageStyle, random: np.random.Generator) -> list[_Placed]:
    """Lines of digits from the top left, as one writes; each line as high as its tallest digit."""
    placed: list[_Placed] = []
    line: list[_Placed] = []
    margin = 20
    left, top, line_height = margin, margin, 0
    for one in drawn:
        if left + one.width > style.width - margin:
            placed += _on_one_line(line, line_height)
            left, top, line_height, line = margin, top + line_height + int(random.integers(10, 24)), 0, []
        if top + one.height > style.height - margin:
            continue
        line.append(_Placed(one, left, top))
        line_height = max(line_height, one.height)
        left += one.width + int(random.integers(8, 20) + 0.15 * one.height)
    return placed + _on_one_line(line, line_height)


def _on_one_line(line: list[_Placed], line_height: int) -> list[_Placed]:
    """Small digits stand at the middle of their line."""
    return [_Placed(one.drawn, one.left, one.top + (line_height - one.drawn.height) // 2) for one in line]


def _photographed(cover: Floats, style: PageStyle, random: np.random.Generator) -> Image.Image:
    """Paper, lines and ink under uneven light, with a camera's blur and noise."""
    paper = np.empty((*cover.shape, 3), dtype=np.float32)
    paper[:] = style.paper
    if style.ruled:
        _rule(paper, style, random)
    scene = paper * (1 - cover[..., None]) + np.asarray(style.pen, np.float32) * cover[..., None]
    scene *= _light(cover.shape, style.light, random)[..., None]
    if style.blur_px:
        blurred = Image.fromarray(np.clip(scene, 0, 255).astype(np.uint8)).filter(
            ImageFilter.GaussianBlur(style.blur_px)
        )
        scene = np.asarray(blurred, dtype=np.float32)
    scene = scene + random.normal(0, style.noise, cover.shape)[..., None]
    if style.inverted:
        scene = 255 - scene
    return Image.fromarray(np.clip(scene, 0, 255).astype(np.uint8))


def _rule(paper: Floats, style: PageStyle, random: np.random.Generator) -> None:
    """Horizontal lines, 1 to 2 px thick, up to half a degree askew, drawn into `paper`."""
    step = random.uniform(28, 60)
    thick = random.uniform(1.0, 2.0)
    slope = np.tan(np.radians(random.uniform(-0.5, 0.5)))
    rows = np.arange(style.height)[:, None] - slope * np.arange(style.width)[None, :]
    away = np.abs((rows - step / 2) % step - step / 2)
    share = np.clip(thick / 2 + 0.5 - away, 0, 1)[..., None].astype(np.float32)
    paper *= 1 - share
    paper += np.asarray(style.line, np.float32) * share


def _light(shape: tuple[int, ...], depth: float, random: np.random.Generator) -> Floats:
    """Brightness from 1 - depth to 1: a slope over the page and a soft shadow."""
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    rows, columns = rows / shape[0], columns / shape[1]
    turn = random.uniform(0, 2 * np.pi)
    slope = np.cos(turn) * (columns - 0.5) + np.sin(turn) * (rows - 0.5)
    spot = np.exp(-((rows - random.uniform(0, 1)) ** 2 + (columns - random.uniform(0, 1)) ** 2) / 0.15)
    dark = (slope - slope.min()) / np.ptp(slope) * 0.6 + spot * 0.4
    return np.asarray(1 - depth * dark, dtype=np.float32)
