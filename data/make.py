"""Makes the sample inputs in this folder anew, the same bytes each time: python data/make.py

Digits are scikit-learn's (UCI "Optical recognition of handwritten digits", CC BY 4.0); all are from the part that
my_model's default training holds out, so that reading them proves something. Sound and film are computed.
"""

import io
import math
import struct
import wave
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from my_model import pages, render

HERE = Path(__file__).parent
# The defaults of my_model.train.
HELD_OUT, SEED = 0.2, 0
RATE_HZ, TONE_HZ = 8000, 440
FILM_PX, FILM_FRAMES, FILM_FPS = 64, 12, 12


def main() -> None:
    cells, labels = render.load()
    _, held = render.split(labels, HELD_OUT, SEED)
    cells, labels = cells[held], labels[held]
    random = np.random.default_rng(2024)
    paper = pages.PageStyle(width=800, height=560, smallest_px=30, largest_px=90, noise=1.5, light=0.25)
    _few_colours(pages.generate(cells, labels, 34, paper, random).image).save(HERE / "digits_page.png", optimize=True)
    photo = pages.PageStyle(width=1000, height=640, smallest_px=40, largest_px=130, noise=7, light=0.5, blur_px=1.0)
    pages.generate(cells, labels, 30, photo, random).image.save(HERE / "digits_photo.jpg", quality=72)
    board = pages.PageStyle(
        width=640, height=420, smallest_px=40, largest_px=110, ruled=False, inverted=True, noise=1.0
    )
    image = pages.generate(cells, labels, 18, board, random).image
    _few_colours(image).save(HERE / "digits_board.png", optimize=True)
    seven = cells[np.flatnonzero(labels == 7)[0]]
    pages.single(seven, 96, random).save(HERE / "digit.png", optimize=True)
    (HERE / "tone.wav").write_bytes(tone())
    (HERE / "bounce.avi").write_bytes(film())


def _few_colours(image: Image.Image) -> Image.Image:
    """32 colours: a third of the size, and nobody sees it."""
    return image.quantize(32, dither=Image.Dither.NONE)


def tone() -> bytes:
    """Half a second of 440 Hz, 8 kHz, 8 bits, one channel."""
    turns = [math.sin(2 * math.pi * TONE_HZ * step / RATE_HZ) for step in range(RATE_HZ // 2)]
    body = io.BytesIO()
    with wave.open(body, "wb") as file:
        file.setparams((1, 1, RATE_HZ, 0, "NONE", "not compressed"))
        file.writeframes(bytes(round(128 + 100 * level) for level in turns))
    return body.getvalue()


def film() -> bytes:
    """A second of a bouncing ball: AVI (RIFF) with Motion JPEG, which any player shows and no encoder is needed for.

    Layout: Microsoft's "AVI RIFF File Reference" (hdrl with avih and one video stream, movi, idx1).
    """
    frames = [_frame(index) for index in range(FILM_FRAMES)]
    chunks = [_chunk(b"00dc", frame) for frame in frames]
    offsets = np.cumsum([4] + [len(chunk) for chunk in chunks])
    # 16: a key frame, as every JPEG is.
    index = b"".join(
        struct.pack("<4sIII", b"00dc", 16, offset, len(frame))
        for frame, offset in zip(frames, offsets[:-1].tolist(), strict=True)
    )
    largest = max(map(len, frames))
    head = struct.pack(
        "<14I",
        1_000_000 // FILM_FPS,
        largest * FILM_FPS,
        0,
        0x10,
        FILM_FRAMES,
        0,
        1,
        largest,
        FILM_PX,
        FILM_PX,
        0,
        0,
        0,
        0,
    )
    stream = struct.pack(
        "<4s4sIHHIIIIIIIIHHHH",
        b"vids", b"MJPG", 0, 0, 0, 0, 1, FILM_FPS, 0, FILM_FRAMES, largest, 0xFFFFFFFF, 0, 0, 0, FILM_PX, FILM_PX,
    )  # fmt: skip
    picture = struct.pack("<IiiHH4sIiiII", 40, FILM_PX, FILM_PX, 1, 24, b"MJPG", FILM_PX * FILM_PX * 3, 0, 0, 0, 0)
    strl = _list(b"strl", _chunk(b"strh", stream) + _chunk(b"strf", picture))
    hdrl = _list(b"hdrl", _chunk(b"avih", head) + strl)
    return _chunk(b"RIFF", b"AVI " + hdrl + _list(b"movi", b"".join(chunks)) + _chunk(b"idx1", index))


def _frame(index: int) -> bytes:
    """A ball at its height at this time, as JPEG."""
    image = Image.new("RGB", (FILM_PX, FILM_PX), (24, 32, 56))
    height = abs(math.sin(math.pi * index / FILM_FRAMES)) * (FILM_PX - 20)
    bottom = FILM_PX - 4 - height
    ImageDraw.Draw(image).ellipse((24, bottom - 16, 40, bottom), fill=(240, 180, 40))
    body = io.BytesIO()
    image.save(body, "JPEG", quality=70)
    return body.getvalue()


def _chunk(name: bytes, body: bytes) -> bytes:
    """RIFF: name, length, body, padded to an even length."""
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def _list(name: bytes, body: bytes) -> bytes:
    return _chunk(b"LIST", name + body)


if __name__ == "__main__":
    main()
