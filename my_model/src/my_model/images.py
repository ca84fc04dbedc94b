"""An uploaded file → a picture, or a ValidationError that names `files` and says what is wrong with it."""

import mmap
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from marshmallow import ValidationError
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError, WebPImagePlugin

from my_model.darkness import Bytes

# PIL's names of what we open; other decoders stay out of reach of uploads. PIL loads some of them only when asked, and
# may have been built without some.
Image.preinit()
_LOADED = (TiffImagePlugin, WebPImagePlugin)
FORMATS = tuple(name for name in ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PPM") if name in Image.OPEN)
FORMATS_TEXT = "PNG, JPEG, TIFF, BMP, GIF, WebP or PNM"
# A 7000 by 7000 scan. Decoded in colour it takes 150 MB; checked before anything is decoded.
LIMIT_PIXELS = 50_000_000
# Two metres at 300 dots to the inch. Lines are looked for along both sides, so a thread of one pixel by 40 million took
# 26 s and 1.5 GB.
LIMIT_SIDE_PX = 30_000
# Progressive JPEGs have about ten. Each takes its time, however few bytes it has: 10,000 took three minutes.
LIMIT_SCANS = 100
START_OF_SCAN = b"\xff\xda"  # in compressed data, another byte follows on 0xff
# Above this a picture is halved until it fits before it is searched: 12 MP (a phone's photograph) take 1.2 s.
SEARCHED_PIXELS = 16_000_000
# Below this longer side a picture is enlarged: scikit-learn's own 8 by 8 digits are read so.
SMALLEST_SIDE_PX = 64
_DEEP_MODES = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")


@dataclass(frozen=True)
class Picture:
    """A picture the right way up. scale: pixels of `grey` for one of `image`."""

    image: Image.Image
    grey: Bytes
    scale: float


def refused(reason: str) -> ValidationError:
    """What the caller is told about `files`."""
    return ValidationError({"files": [reason]})


def load(upload: Any) -> Picture:
    """The picture in an upload; upload.filename is its path. Raises ValidationError."""
    image = _opened(upload)
    grey = _flat(image).convert("L")
    scale = 1.0
    side = max(grey.size)
    if side < SMALLEST_SIDE_PX:
        times = -(-SMALLEST_SIDE_PX // side)
        grey, scale = grey.resize((grey.width * times, grey.height * times), Image.Resampling.BICUBIC), float(times)
    while grey.width * grey.height > SEARCHED_PIXELS:
        grey, scale = grey.reduce(2), scale / 2
    return Picture(image, np.asarray(grey), scale)


def _opened(upload: Any) -> Image.Image:
    path = getattr(upload, "filename", None)
    if not isinstance(path, str):
        raise refused("Not a file. Send one image as a file part.")
    try:
        with warnings.catch_warnings():
            # Ours is the lower limit; PIL's own is reached first while it opens files that hold several pictures.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            # PIL warns of odd metadata, which is no reason to refuse the picture.
            warnings.simplefilter("ignore", UserWarning)
            with Image.open(path, formats=FORMATS) as image:
                _check_size(image)
                _check_scans(image, path)
                image.load()
                return _upright(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise refused(f"Too large. At most {LIMIT_PIXELS / 1e6:.0f} million pixels are read.") from None
    except UnidentifiedImageError:
        raise refused(f"Not an image that can be read. Send {FORMATS_TEXT}.") from None
    # What decoders raise on broken files; ValidationError is a ValueError of ours and passes.
    except ValidationError:
        raise
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, OverflowError, MemoryError) as error:
        raise refused(f"The image is damaged or cut short, or of a kind that is not read: {_told(error)}.") from error


def _told(error: BaseException) -> str:
    """PIL's words, without a path of ours in them."""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return type(error).__name__ if "/" in text else text.rstrip(".")


def _check_size(image: Image.Image) -> None:
    if max(image.size) > LIMIT_SIDE_PX:
        raise refused(
            f"Too large: {image.width} x {image.height} pixels. A side may have at most {LIMIT_SIDE_PX:,} pixels."
        )
    if image.width * image.height > LIMIT_PIXELS:
        raise refused(
            f"Too large: {image.width} x {image.height} pixels. "
            f"At most {LIMIT_PIXELS / 1e6:.0f} million pixels are read."
        )


def _check_scans(image: Image.Image, path: str) -> None:
    if image.format == "JPEG" or "jpeg" in str(image.info.get("compression", "")):
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as body:
            scans = _count(body, START_OF_SCAN, LIMIT_SCANS + 1)
        if scans > LIMIT_SCANS:
            raise refused(f"Its JPEG data have more scans than are read: at most {LIMIT_SCANS}.")


def _count(body: mmap.mmap, marker: bytes, enough: int) -> int:
    count, at = 0, body.find(marker)
    while at >= 0 and count < enough:
        count, at = count + 1, body.find(marker, at + len(marker))
    return count


def _upright(image: Image.Image) -> Image.Image:
    """As cameras mean it to be shown; odd metadata leave it as it is."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # any error in EXIF is the same to us: the picture itself is good
        return image.copy()


def _flat(image: Image.Image) -> Image.Image:
    """Any mode → L or RGB, opaque."""
    if image.mode in _DEEP_MODES:
        return _eight_bits(image)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        return _on_ground(image.convert("RGBA"))
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Deep grey: the darkest becomes 0, the lightest 255, for scanners use 10, 12 or 16 of the bits."""
    levels = np.nan_to_num(np.asarray(image, dtype=np.float32), posinf=0.0, neginf=0.0)
    low, high = float(levels.min()), float(levels.max())
    if high <= low:
        return Image.new("L", image.size, 255)
    levels -= np.float32(low)
    levels *= np.float32(255 / (high - low))
    return Image.fromarray(levels.astype(np.uint8))


def _on_ground(image: Image.Image) -> Image.Image:
    """Transparent parts become white under dark writing, black under light writing."""
    grey, cover = np.asarray(image.convert("L")), np.asarray(image.getchannel("A"))
    seen = grey[cover > 127]
    light = bool(seen.size) and float(seen.mean()) > 127
    opaque = bool((cover > 127).all())
    ground = Image.new("RGBA", image.size, (0, 0, 0, 255) if light and not opaque else (255, 255, 255, 255))
    return Image.alpha_composite(ground, image).convert("RGB")


def shown(image: Image.Image) -> Image.Image:
    """The picture in RGB, for drawing upon."""
    return _flat(image).convert("RGB")
