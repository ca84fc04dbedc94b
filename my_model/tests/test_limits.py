"""Pictures that would take long or much memory are refused by name: by size, by shape, by what is on them."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from marshmallow import ValidationError
from my_model.render import Floats, Ints
from pictures import Upload, digits, read, row
from PIL import Image

import my_model
from my_model import images

Store = Callable[..., Upload]

# Each took half a minute and more. On an idle machine they take less than three seconds.
LIMIT_S = 20.0
SIDE_PX = images.LIMIT_SIDE_PX


def refusal(upload: Any) -> str:
    """What is said of `files`, and of nothing else, before much work was done."""
    started = time.process_time()
    with pytest.raises(ValidationError) as caught:
        read(upload)
    assert time.process_time() - started < LIMIT_S
    assert list(caught.value.messages_dict) == ["files"]
    return str(caught.value.messages_dict["files"][0])


@pytest.mark.parametrize("size", [(100_000, 499), (1, 4_000_000), (4_000_000, 1), (SIDE_PX + 1, 1)])
@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_a_side_that_is_too_long_is_refused_whatever_the_area(upload: Store, size: tuple[int, int], mode: str) -> None:
    message = refusal(upload(Image.new(mode, size, 1), compress_level=1))
    assert message == f"Too large: {size[0]} x {size[1]} pixels. A side may have at most 30,000 pixels."


@pytest.mark.parametrize("format", ["JPEG", "TIFF", "BMP", "PPM"])
def test_in_every_format(upload: Store, format: str) -> None:
    assert "30,000 pixels" in refusal(upload(Image.new("L", (40_000, 10)), format))


def test_also_where_the_picture_is_to_be_turned(upload: Store) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    assert "30,000 pixels" in refusal(upload(Image.new("L", (40_000, 10)), "JPEG", exif=turned))


@pytest.mark.parametrize("side", [1, 28, pytest.param(300, marks=pytest.mark.thorough)])
@pytest.mark.parametrize("across", [True, False])
@pytest.mark.parametrize("mode", ["L", "RGBA", "I;16", "F"])
def test_every_shape_within_the_limits_is_read(upload: Store, side: int, across: bool, mode: str) -> None:
    """Of a low one, lines that are looked for leave the picture: that was a ValueError."""
    size = (SIDE_PX, side) if across else (side, SIDE_PX)
    assert read(upload(Image.new(mode, size), "TIFF" if mode == "F" else "PNG")) == []


@pytest.mark.slow
@pytest.mark.parametrize("accept", ["application/json", "image/png", "application/pdf"])
@pytest.mark.parametrize("across", [True, pytest.param(False, marks=pytest.mark.thorough)])
def test_long_strips_full_of_digits_are_answered_soon_in_every_type(upload: Store, accept: str, across: bool) -> None:
    """Labels as large as the strip is long, and a line of digits cut one by one, took a minute and a half."""
    strip = np.full((400, 20_000), 255, dtype=np.uint8)
    for top in range(20, 340, 70):
        for left in range(20, 19_960, 70):
            strip[top : top + 24, left + 8 : left + 14] = 0
            strip[top : top + 6, left : left + 14] = 0
    file = upload(Image.fromarray(strip if across else strip.T), compress_level=1)
    started = time.process_time()
    my_model.predict(files=file, accept=accept, confidence=0.0)
    assert time.process_time() - started < LIMIT_S


def noise() -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 256, (2000, 2000), dtype=np.uint8)


def diagonals() -> np.ndarray[Any, Any]:
    rows, columns = np.indices((2000, 2000))
    return np.where((rows + columns) % 28 < 9, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("picture", "told"),
    [(noise, "marks. At most 10,000 are read."), (diagonals, "times. At most 10 times are read.")],
)
def test_a_picture_with_too_much_on_it_is_refused(upload: Store, picture: Callable[[], Any], told: str) -> None:
    assert told in refusal(upload(Image.fromarray(picture()), compress_level=1))


def test_a_frame_around_a_page_costs_neither_the_digits_nor_the_time(upload: Store) -> None:
    """Each digit was tried as a part of the frame, and most were taken for one: minutes for a large page."""
    page = np.full((1500, 1500), 255, dtype=np.uint8)
    for top in range(200, 1300, 110):
        for left in range(200, 1300, 110):
            page[top : top + 40, left + 8 : left + 14] = 0
            page[top : top + 6, left : left + 20] = 0
    bare = len(read(upload(Image.fromarray(page)), confidence=0.0))
    page[50:60, 50:-50] = page[-60:-50, 50:-50] = 0
    page[50:-50, 50:60] = page[50:-50, -60:-50] = 0
    started = time.process_time()
    framed = len(read(upload(Image.fromarray(page)), confidence=0.0))
    assert bare == 100 and framed in (100, 101)  # the frame may look like a digit, too
    assert time.process_time() - started < LIMIT_S


def progressive(scans: int) -> bytes:
    """A JPEG whose last scan comes again and again."""
    body = io.BytesIO()
    Image.new("L", (2000, 2000), 128).save(body, "JPEG", progressive=True)
    whole = body.getvalue()
    last = whole[whole.rfind(b"\xff\xda") : -2]
    return whole[:-2] + last * scans + whole[-2:]


def test_a_jpeg_of_very_many_scans_is_refused(upload: Store) -> None:
    assert read(upload(progressive(20))) == []
    assert refusal(upload(progressive(5000))) == "Its JPEG data have more scans than are read: at most 100."


def test_of_a_moving_picture_only_the_first_part_is_read(upload: Store) -> None:
    frames = [Image.new("L", (400, 400), shade) for shade in range(1, 100)]
    for format in ("GIF", "TIFF", "PNG"):
        assert read(upload(Image.new("L", (400, 400)), format, save_all=True, append_images=frames)) == []


def test_sixteen_bits_are_read_as_eight_are(upload: Store, held_out: tuple[Floats, Ints]) -> None:
    grey = row(held_out[0][:6])
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 16)
    assert digits(read(upload(deep))) == digits(read(upload(grey))) != []
