"""A one-page PDF: the picture with what was read, and a table. Drawn with Pillow, which writes PDF by itself."""

import io
from collections.abc import Sequence
from datetime import UTC, datetime

from PIL import Image, ImageDraw

from my_model import draw
from my_model.reading import Digit

# A4 at 150 dots an inch.
DPI = 150
PAGE = (1240, 1754)
MARGIN = 80
PICTURE_HEIGHT = 820
COLUMNS = 4
ROW_PX = 26
INK, FAINT = (25, 25, 30), (120, 120, 130)


def pdf(image: Image.Image, digits: Sequence[Digit], title: str) -> io.BytesIO:
    """The report, rewound; image: RGB, as uploaded."""
    page = Image.new("RGB", PAGE, "white")
    pen = ImageDraw.Draw(page)
    pen.text((MARGIN, MARGIN), "Handwritten digits", fill=INK, font=draw.font(40))
    about = (
        f"{title} · {image.width} x {image.height} px · {len(digits)} found · {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    )
    pen.text((MARGIN, MARGIN + 58), about, fill=FAINT, font=draw.font(18))
    bottom = _picture(page, draw.boxes(image, digits), MARGIN + 100)
    _line_of_digits(pen, digits, bottom + 24)
    _table(pen, digits, bottom + 70)
    body = io.BytesIO()
    page.save(body, "PDF", resolution=DPI, title=f"Handwritten digits: {title}", quality=88)
    body.seek(0)
    return body


def _picture(page: Image.Image, image: Image.Image, top: int) -> int:
    """Fitted into the page's width and PICTURE_HEIGHT; returns where it ends."""
    scale = min((PAGE[0] - 2 * MARGIN) / image.width, PICTURE_HEIGHT / image.height)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    page.paste(image.resize(size, Image.Resampling.LANCZOS), (MARGIN, top))
    ImageDraw.Draw(page).rectangle((MARGIN - 1, top - 1, MARGIN + size[0], top + size[1]), outline=FAINT)
    return top + size[1]


def _line_of_digits(pen: ImageDraw.ImageDraw, digits: Sequence[Digit], top: int) -> None:
    """All of them in reading order, as far as the line goes."""
    letters = draw.font(22)
    # No more than could fit: a page may have thousands.
    fitting = digits[: int((PAGE[0] - 2 * MARGIN) / pen.textlength("1", font=letters))]
    text = " ".join(str(one.digit) for one in fitting) or "No digits were found."
    text += "" if len(fitting) == len(digits) else " …"
    while pen.textlength(text, font=letters) > PAGE[0] - 2 * MARGIN:
        text = text.rstrip("… ").rsplit(" ", 1)[0] + " …"
    pen.text((MARGIN, top), text, fill=INK, font=letters)


def _table(pen: ImageDraw.ImageDraw, digits: Sequence[Digit], top: int) -> None:
    """Number, digit, confidence and box, in COLUMNS columns; what does not fit is counted."""
    letters = draw.font(14)
    most = (PAGE[1] - MARGIN - top) // ROW_PX - 1
    # At least ten rows before the next column starts: a short table in four columns is hard to follow.
    rows = min(most, max(10, -(-len(digits) // COLUMNS)))
    width = (PAGE[0] - 2 * MARGIN) // COLUMNS
    room = rows * COLUMNS
    for index, one in enumerate(digits[:room]):
        left, line = MARGIN + index // rows * width, top + index % rows * ROW_PX
        pen.text((left, line), f"{index + 1}.", fill=FAINT, font=letters)
        pen.text((left + 34, line - 2), str(one.digit), fill=draw.COLOURS[one.digit], font=draw.font(18))
        box = f"{one.confidence:4.0%}   {one.x1:.0f}, {one.y1:.0f} to {one.x2:.0f}, {one.y2:.0f}"
        pen.text((left + 56, line), box, fill=INK, font=letters)
    if len(digits) > room:
        pen.text((MARGIN, PAGE[1] - MARGIN), f"and {len(digits) - room} more", fill=FAINT, font=letters)
