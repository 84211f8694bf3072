"""One picture: from the bytes of an image file to RGB pixels of a size."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})

ORIENTATION, BITS, PHOTOMETRIC, SAMPLE_FORMAT = 0x0112, 258, 262, 339  # tags of EXIF and TIFF
SIGNED = 2  # a sample format
DEEPEST = 65535
WITH_ALPHA = {"LA", "La", "PA", "RGBA", "RGBa"}
_DEEP_RAW = re.compile(r";(?:16|32)[BLN]")  # of a raw mode, as Pillow calls what lies in a file
STRAIGHT = {"La": "LA", "RGBa": "RGBA"}  # of colours that were multiplied by alpha


class Remark(StrEnum):
    """What is not read as the file has it, as the end of a sentence about such files."""

    DEEP = "of 16-bit grey, scaled from its whole range to 0..255"
    DEEP_COLOURS = "of more than 8 bits to a colour, of which the upper 8 are read"
    TRANSPARENT = "with transparent parts, read as if they were opaque"
    SEVERAL = "with several pictures in it, the first of which is read"


@dataclass(frozen=True)
class Picture:
    """pixels: uint8 [3, size, size]. remarks: what was left out."""

    pixels: NDArray[np.uint8]
    remarks: tuple[Remark, ...] = ()


def decode(content: bytes, size: int) -> Picture:
    """The upright picture: its shorter side is resized (bilinear, antialiased), the centre is cut out.

    ValueError for what has no 8-bit form that everybody would agree on. Decoders raise anything on damaged files.
    """
    from PIL import Image

    with Image.open(io.BytesIO(content)) as opened:
        deep = _has_deep_colours(opened)
        opened.load()
        looked_at = {**_looked_at(opened), Remark.DEEP_COLOURS: deep}
        remarks = tuple(remark for remark in Remark if looked_at[remark])
        image = _upright(_coloured(opened), opened)
    return Picture(_square(image, size), remarks)


def _looked_at(image: Image) -> dict[Remark, bool]:
    # A camera's JPEG with a preview behind it is one picture.
    several = getattr(image, "n_frames", 1) > 1 and image.format != "MPO"
    return {Remark.DEEP: _is_deep(image), Remark.TRANSPARENT: _is_transparent(image), Remark.SEVERAL: several}


def _is_deep(image: Image) -> bool:
    """Whether it is grey of more than 8 bits, and of a known range."""
    # PGM and, in older Pillow, PNG of 16 bits are opened as 32-bit integers within 0..65535.
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PPM", "PNG"))


def _has_deep_colours(image: Image) -> bool:
    """Whether colours, or grey with alpha, have more bits than the mode that they are opened in. Asked before the
    pixels are read: then what the file holds is forgotten.
    """
    if image.mode[:1] in ("I", "F"):
        return False
    for tile in getattr(image, "tile", ()):
        raw_mode, *more = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        if _DEEP_RAW.search(str(raw_mode)) or (image.format == "PPM" and any(largest > 255 for largest in more)):
            return True
    return False


def _is_transparent(image: Image) -> bool:
    if _is_deep(image) or not (image.mode in WITH_ALPHA or "transparency" in image.info):
        return False
    alpha = image.convert(STRAIGHT.get(image.mode, "RGBA")).getchannel("A")
    return int(np.asarray(alpha).min()) < 255


def _coloured(image: Image) -> Image:
    """As RGB. ValueError for integers and floats without a known range."""
    formats = getattr(image, "tag_v2", {}).get(SAMPLE_FORMAT, ())
    if SIGNED in (formats if isinstance(formats, tuple) else (formats,)):
        raise ValueError("it holds signed integers, whose black and white nobody says; make them unsigned")
    if _is_deep(image):
        return _shallow(image).convert("RGB")
    if image.mode in ("I", "F"):
        kind = "integers" if image.mode == "I" else "floats"
        raise ValueError(f"it holds 32-bit {kind}, whose range for black and white nobody says; make it 8 or 16 bits")
    return image.convert(STRAIGHT.get(image.mode, image.mode)).convert("RGB")


def _shallow(image: Image) -> Image:
    """16-bit grey as 8-bit grey, rounded. A TIFF says how many of the bits it uses and whether 0 is white."""
    from PIL import Image

    tags = getattr(image, "tag_v2", {})
    highest = 2 ** int(np.max(tags.get(BITS, 16))) - 1
    values = np.asarray(image).astype(np.int64).clip(0, highest)
    if tags.get(PHOTOMETRIC) == 0:
        values = highest - values
    return Image.fromarray(((values * 255 + highest // 2) // highest).astype(np.uint8))


def _upright(image: Image, opened: Image) -> Image:
    """Turned and mirrored as the orientation tag says."""
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    try:
        turn = turns.get(opened.getexif().get(ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - damaged tags raise anything, and say nothing
        turn = None
    return image if turn is None else image.transpose(turn)


def _square(image: Image, size: int) -> NDArray[np.uint8]:
    """uint8 [3, size, size]."""
    from PIL import Image

    width, height = image.size
    scale = size / min(width, height)
    if scale != 1:
        scaled = (max(size, round(width * scale)), max(size, round(height * scale)))
        if scaled[0] * scaled[1] > 2 * (Image.MAX_IMAGE_PIXELS or float("inf")):
            raise ValueError(f"it is too long for its width: {width}x{height} would become {scaled[0]}x{scaled[1]}")
        image = image.resize(scaled, Image.Resampling.BILINEAR)
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return np.asarray(image.crop((left, top, left + size, top + size))).transpose(2, 0, 1)
