"""The confusion matrix as a picture."""

from collections.abc import Sequence

from PIL import Image, ImageDraw

from my_model import draw

CELL_PX = 48
EDGE_PX = 64
INK = (25, 25, 30)


def picture(matrix: Sequence[Sequence[int]]) -> Image.Image:
    """matrix: rows are the truth, columns the answers. Right answers in blue, wrong ones in red, by their share."""
    side = CELL_PX * len(matrix)
    image = Image.new("RGB", (EDGE_PX + side + 16, EDGE_PX + side + 16), "white")
    pen = ImageDraw.Draw(image)
    pen.text((EDGE_PX + side / 2, 14), "read as", fill=INK, font=draw.font(16), anchor="mm")
    pen.text((26, EDGE_PX - 22), "is", fill=INK, font=draw.font(16), anchor="mm")
    for row, counts in enumerate(matrix):
        middle = EDGE_PX + CELL_PX * (row + 0.5)
        pen.text((middle, EDGE_PX - 22), str(row), fill=INK, font=draw.font(18), anchor="mm")
        pen.text((26, middle), str(row), fill=INK, font=draw.font(18), anchor="mm")
        for column, count in enumerate(counts):
            _cell(pen, row, column, count, max(1, sum(counts)))
    return image


def _cell(pen: ImageDraw.ImageDraw, row: int, column: int, count: int, total: int) -> None:
    left, top = EDGE_PX + CELL_PX * column, EDGE_PX + CELL_PX * row
    # One mistake in forty must be seen, so wrong cells start darker.
    strength = count / total if row == column else min(1.0, 0.15 + 4 * count / total) if count else 0.0
    full = (0, 114, 178) if row == column else (200, 40, 40)
    fill = tuple(round(255 + (level - 255) * strength) for level in full)
    pen.rectangle((left, top, left + CELL_PX, top + CELL_PX), fill=fill, outline=(220, 220, 225))
    if count:
        text = (255, 255, 255) if strength > 0.5 else INK
        pen.text((left + CELL_PX / 2, top + CELL_PX / 2), str(count), fill=text, font=draw.font(15), anchor="mm")
