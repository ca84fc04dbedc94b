"""What `predict` answers: JSON, PNG, PDF; filters; every kind of image."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from marshmallow import ValidationError
from my_model.render import Floats, Ints
from pictures import Upload, digits, read, rendered, row
from PIL import Image

import my_model
from my_model import pages

Store = Callable[..., Upload]
Held = tuple[Floats, Ints]


@pytest.fixture(scope="session")
def easy(held_out: Held) -> tuple[Image.Image, list[int]]:
    """One plain digit of each of five classes, in a row."""
    cells, labels = held_out
    wanted = [0, 2, 4, 6, 7]
    return row(np.stack([cells[np.flatnonzero(labels == digit)[1]] for digit in wanted])), wanted


def test_a_digit_is_named_with_class_confidence_and_box(upload: Store, easy: tuple[Image.Image, list[int]]) -> None:
    image, wanted = easy
    answers = read(upload(image))
    assert [answer["name"] for answer in answers] == ["zero", "two", "four", "six", "seven"]
    assert digits(answers) == wanted
    assert all(0.5 <= answer["confidence"] <= 1.0 for answer in answers)
    assert all(0 <= answer["box"]["x1"] < answer["box"]["x2"] <= image.width for answer in answers)
    assert all(0 <= answer["box"]["y1"] < answer["box"]["y2"] <= image.height for answer in answers)
    assert my_model.schema().load(answers)


def test_only_the_wanted_classes_and_confidences_are_answered(
    upload: Store, easy: tuple[Image.Image, list[int]]
) -> None:
    file = upload(easy[0])
    assert digits(read(file, classes=[7, 2])) == [2, 7]
    assert read(file, classes=[]) == []
    assert read(file, confidence=1.0) == []
    assert len(read(file, confidence=0.0)) >= 5


def test_png_is_the_same_picture_with_boxes(upload: Store, easy: tuple[Image.Image, list[int]]) -> None:
    answer = rendered(upload(easy[0]), "image/png")
    with Image.open(answer) as drawn:
        drawn.load()
        assert (drawn.format, drawn.size) == ("PNG", easy[0].size)
        assert np.ptp(np.asarray(drawn).astype(int), axis=2).max() > 50, "no colour was drawn"


def test_pdf_is_one_page_and_tells_no_paths(upload: Store, easy: tuple[Image.Image, list[int]]) -> None:
    file = upload(easy[0])._replace(original_filename="C:\\Users\\someone\\scan.png")
    answer = rendered(file, "application/pdf")
    body = answer.read()
    assert body.startswith(b"%PDF-")
    assert body.rstrip().endswith(b"%%EOF")
    assert b"/Count 1" in body
    text = body.decode("utf-16-be", "ignore") + body.decode("latin-1")
    assert "someone" not in text


@pytest.mark.parametrize("accept", ["application/json", "*/*"])
def test_anything_is_json(upload: Store, accept: str) -> None:
    assert read(upload(Image.new("L", (300, 200), 240)), accept=accept) == []


def _deep(image: Image.Image) -> Image.Image:
    """16 bits of which a scanner uses 12."""
    return Image.fromarray(np.asarray(image).astype(np.uint16) * 16)


def _clear(image: Image.Image) -> Image.Image:
    """Black ink on nothing."""
    ink = 255 - np.asarray(image)
    return Image.fromarray(np.dstack([np.zeros_like(ink)] * 3 + [ink]))


def _clear_white(image: Image.Image) -> Image.Image:
    """White ink on nothing."""
    ink = 255 - np.asarray(image)
    return Image.fromarray(np.dstack([np.full_like(ink, 255)] * 3 + [ink]))


KINDS: dict[str, tuple[Callable[[Image.Image], Image.Image], str]] = {
    "grey": (lambda image: image, "PNG"),
    "white on black": (lambda image: image.point(lambda level: 255 - level), "PNG"),
    "colour": (lambda image: image.convert("RGB"), "PNG"),
    "grey with alpha": (lambda image: image.convert("LA"), "PNG"),
    "black on transparent": (_clear, "PNG"),
    "white on transparent": (_clear_white, "PNG"),
    "palette": (lambda image: image.quantize(16), "GIF"),
    "one bit": (lambda image: image.convert("1"), "PNG"),
    "16 bits": (_deep, "PNG"),
    "floats": (lambda image: image.convert("F"), "TIFF"),
    "jpeg": (lambda image: image, "JPEG"),
    "print colours": (lambda image: image.convert("CMYK"), "JPEG"),
    "bmp": (lambda image: image, "BMP"),
    "webp": (lambda image: image.convert("RGB"), "WEBP"),
    "pnm": (lambda image: image, "PPM"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_image_is_read(kind: str, upload: Store, easy: tuple[Image.Image, list[int]]) -> None:
    change, format = KINDS[kind]
    file = upload(change(easy[0]), format)
    assert digits(read(file)) == easy[1]
    assert rendered(file, "image/png")


def test_a_camera_held_sideways_gives_boxes_of_the_upright_picture(
    upload: Store, easy: tuple[Image.Image, list[int]]
) -> None:
    image, wanted = easy
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn me 90 degrees clockwise"
    turned = image.transpose(Image.Transpose.ROTATE_90)
    file = upload(turned, "JPEG", exif=exif)
    answers = read(file)
    assert digits(answers) == wanted
    assert max(answer["box"]["x2"] for answer in answers) <= image.width
    assert max(answer["box"]["y2"] for answer in answers) <= image.height
    with Image.open(rendered(file, "image/png")) as drawn:
        assert drawn.size == image.size


def test_reading_goes_line_by_line(upload: Store, held_out: Held) -> None:
    random = np.random.default_rng(7)
    style = pages.PageStyle(width=700, height=500, largest_px=110, noise=3)
    page = pages.generate(*held_out, 24, style, random)
    answers = read(upload(page.image))
    lefts = [answer["box"]["x1"] for answer in answers]
    truth = [box[0] for box in page.boxes]
    assert len(answers) >= 23
    assert sum(right < left for left, right in itertools.pairwise(lefts)) == sum(
        right < left for left, right in itertools.pairwise(truth)
    )
    assert [abs(left - right) < 8 for left, right in zip(lefts, truth, strict=False)].count(False) <= 1


def test_scikit_learns_own_eight_by_eight_pictures_are_read(upload: Store, held_out: Held) -> None:
    cells, labels = held_out
    right = 0
    for one, label in zip(cells[:40], labels[:40], strict=True):
        answers = read(upload(Image.fromarray((one * 255).astype(np.uint8))))
        right += digits(answers) == [int(label)]
        assert all(answer["box"]["x2"] <= 8 and answer["box"]["y2"] <= 8 for answer in answers)
    assert right >= 38


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (500, 2), (1000, 700)])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_an_empty_picture_of_any_size_holds_nothing(upload: Store, size: tuple[int, int], level: int) -> None:
    assert read(upload(Image.new("L", size, level)), confidence=0.0) == []
    assert rendered(upload(Image.new("L", size, level)), "application/pdf")


def test_grain_and_slanting_light_are_not_digits(upload: Store) -> None:
    random = np.random.default_rng(0)
    light = np.linspace(120, 250, 900)[None, :] * np.ones((700, 1))
    grain = np.clip(light + random.normal(0, 12, light.shape), 0, 255).astype(np.uint8)
    assert read(upload(Image.fromarray(grain)), confidence=0.0) == []


def _png_header(width: int, height: int) -> bytes:
    """A PNG that says it is this large and holds a few bytes."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big")

    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    data = zlib.compress(b"\0" * 5000, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size + b"\x08\0\0\0\0") + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def _message(upload: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        read(upload)
    messages = caught.value.messages_dict
    assert list(messages) == ["files"]
    return str(messages["files"][0])


def test_a_picture_that_claims_to_be_huge_is_refused_unread(upload: Store) -> None:
    assert "9000 x 8000" in _message(upload(_png_header(9_000, 8_000)))
    # From 89 and from 179 million pixels PIL itself speaks up.
    assert "50 million" in _message(upload(_png_header(100_000, 100_000)))
    assert "50 million" in _message(upload(_png_header(12_000, 10_000)))


def test_what_is_no_picture_or_half_of_one_is_refused_by_name(
    upload: Store, easy: tuple[Image.Image, list[int]], tmp_path: Any
) -> None:
    assert "Not an image" in _message(upload(b"%PDF-1.4 no picture"))
    assert "Not an image" in _message(upload(b""))
    whole = upload(easy[0])
    with open(str(whole.filename), "rb") as file:
        body = file.read()
    assert "cut short" in _message(upload(body[: len(body) // 2]))
    jpeg = upload(easy[0], "JPEG")
    with open(str(jpeg.filename), "rb") as file:
        body = file.read()
    assert "cut short" in _message(upload(body[: len(body) // 2]))
    assert "Not a file" in _message("some text")
    assert "Not a file" in _message(bytearray())
    assert "Not a file" in _message(Upload())
    assert str(tmp_path) not in _message(Upload("files", str(tmp_path / "gone")))


@pytest.mark.parametrize("format", ["EPS", "PDF"])
def test_formats_that_run_programs_or_hold_documents_are_not_opened(
    upload: Store, easy: tuple[Image.Image, list[int]], format: str
) -> None:
    assert "Not an image" in _message(upload(easy[0], format))
