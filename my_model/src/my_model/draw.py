"""What was read, drawn onto the picture."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from my_model.reading import Digit

# Okabe and Ito's palette, told apart also by the colour-blind, with two darker ones for ten in all.
COLOURS = (
    (0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233),
    (230, 159, 0), (148, 103, 189), (140, 86, 75), (90, 90, 90), (190, 30, 45),
)  # fmt: skip


def font(size_px: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """PIL's own, so that nothing depends on what the machine has installed."""
    return ImageFont.load_default(max(8.0, size_px))


def boxes(image: Image.Image, digits: Sequence[Digit]) -> Image.Image:
    """A copy with a box and a label (digit, confidence) for each; image: RGB."""
    drawn = image.copy()
    pen = ImageDraw.Draw(drawn)
    # A strip of paper has letters as its width wants them: large ones take long to draw.
    side = min(max(image.size), 4 * min(image.size))
    line_px = max(1, round(side / 500))
    letters = font(max(9.0, side / 75))
    for one in digits:
        colour = COLOURS[one.digit]
        pen.rectangle((one.x1, one.y1, one.x2 - 1, one.y2 - 1), outline=colour, width=line_px)
        _label(pen, drawn.size, one, letters)
    return drawn


def _label(
    pen: ImageDraw.ImageDraw, size: tuple[int, int], one: Digit, letters: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> None:
    """Above the box, or inside its top where there is no room above; never off the picture."""
    text = f"{one.digit} {one.confidence:.0%}"
    _, _, width, height = pen.textbbox((0, 0), text, font=letters)
    width, height = width + 4, height + 3
    left = max(0.0, min(one.x1, size[0] - width))
    top = one.y1 - height if one.y1 >= height else one.y1
    pen.rectangle((left, top, left + width, top + height), fill=COLOURS[one.digit])
    pen.text((left + 2, top), text, fill=(255, 255, 255), font=letters)
