"""One asymmetric picture, and that picture in every format."""

from __future__ import annotations

import io
import struct
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from PIL import Image

Grey = np.ndarray


def _picture() -> Grey:
    """12 x 20: light paper, a dark block at top left, a grey bar below. No flip or turn maps it to itself."""
    picture = np.full((12, 20), 230, np.uint8)
    picture[:4, :6] = 20
    picture[9, 2:] = 90
    return picture


def _encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _heic(image: Image.Image) -> bytes:
    import pillow_heif

    buffer = io.BytesIO()
    pillow_heif.from_pillow(image).save(buffer, quality=-1, chroma=444, matrix_coefficients=0)
    return buffer.getvalue()


def _tiff(tags: dict[int, tuple[str, list[int]]], pixels: bytes, order: str = "<") -> bytes:
    """A TIFF of one strip, built by hand. `tags` maps a tag to its struct code (B, H or I) and values."""
    pixels += b"\0" * (len(pixels) % 2)
    tags = {**tags, 273: ("I", [8]), 279: ("I", [len(pixels)])}
    start = 8 + len(pixels)
    heap_start = start + 2 + 12 * len(tags) + 4
    directory, heap = struct.pack(order + "H", len(tags)), b""
    for tag, (code, values) in sorted(tags.items()):
        raw = struct.pack(f"{order}{len(values)}{code}", *values)
        field = raw.ljust(4, b"\0")
        if len(raw) > 4:
            field = struct.pack(order + "I", heap_start + len(heap))
            heap += raw + b"\0" * (len(raw) % 2)
        directory += struct.pack(order + "HHI", tag, {"B": 1, "H": 3, "I": 4}[code], len(values)) + field
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return magic + struct.pack(order + "I", start) + pixels + directory + bytes(4) + heap


@pytest.fixture(scope="session")
def picture() -> Grey:
    return _picture()


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    return _encode


@pytest.fixture(scope="session")
def build_tiff() -> Callable[..., bytes]:
    """(pixels, bits, samples, photometric, **extra tags) -> bytes of a 20 x 12 TIFF."""

    def build(
        pixels: bytes,
        *,
        bits: int = 8,
        samples: int = 1,
        photometric: int = 1,
        order: str = "<",
        tags: dict[int, tuple[str, list[int]]] | None = None,
    ) -> bytes:
        basic: dict[int, tuple[str, list[int]]] = {
            256: ("H", [20]),
            257: ("H", [12]),
            258: ("H", [bits] * samples),
            259: ("H", [1]),
            262: ("H", [photometric]),
            277: ("H", [samples]),
            278: ("H", [12]),
        }
        return _tiff(basic | (tags or {}), pixels, order)

    return build


@pytest.fixture(scope="session")
def samples() -> dict[str, bytes]:
    """The picture in each format and its main variants."""
    grey = Image.fromarray(_picture())
    colour = grey.convert("RGB")
    clear = colour.copy()
    clear.putalpha(Image.fromarray(np.where(_picture() < 200, 255, 0).astype(np.uint8)))
    palette = colour.quantize(16)
    bilevel = grey.point(lambda value: 255 * (value > 128)).convert("1")
    deep = Image.fromarray(_picture().astype(np.uint16) * 257)
    other = colour.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return {
        "png grey": _encode(grey, "PNG"),
        "png rgba": _encode(clear, "PNG"),
        "png palette transparent": _encode(palette, "PNG", transparency=1),
        "png exif": _encode(grey, "PNG", exif=_exif(6)),
        "png 16": _encode(deep, "PNG"),
        "jpeg grey": _encode(grey, "JPEG", quality=95),
        "jpeg progressive": _encode(colour, "JPEG", quality=95, progressive=True),
        "jpeg exif": _encode(colour, "JPEG", quality=95, exif=_exif(6)),
        "jpeg cmyk": _encode(colour.convert("CMYK"), "JPEG", quality=95),
        "gif": _encode(palette, "GIF"),
        "gif transparent": _encode(palette, "GIF", transparency=1),
        "gif animated": _encode(colour, "GIF", save_all=True, append_images=[other]),
        "bmp 1": _encode(bilevel, "BMP"),
        "bmp 8": _encode(grey, "BMP"),
        "bmp 24": _encode(colour, "BMP"),
        "bmp 32": _encode(clear, "BMP"),
        "webp lossy": _encode(colour, "WEBP", quality=95),
        "webp lossless": _encode(clear, "WEBP", lossless=True),
        "webp exif": _encode(colour, "WEBP", lossless=True, exif=_exif(6)),
        "webp animated": _encode(clear, "WEBP", save_all=True, append_images=[other], lossless=True),
        "tiff grey": _encode(grey, "TIFF"),
        "tiff group4": _encode(bilevel, "TIFF", compression="group4"),
        "tiff lzw": _encode(colour, "TIFF", compression="tiff_lzw"),
        "tiff deflate": _encode(clear, "TIFF", compression="tiff_adobe_deflate"),
        "tiff jpeg": _encode(colour, "TIFF", compression="jpeg"),
        "tiff 16": _encode(deep, "TIFF"),
        "tiff big": _encode(grey, "TIFF", big_tiff=True),
        "tiff turned": _encode(grey, "TIFF", tiffinfo={274: 6}),
        "avif": _encode(colour, "AVIF", quality=100, subsampling="4:4:4"),
        "avif exif": _encode(colour, "AVIF", quality=100, subsampling="4:4:4", exif=_exif(6)),
        **({"heic": _heic(colour), "heic alpha": _heic(clear)} if find_spec("pillow_heif") else {}),
    }


def _exif(orientation: int, order: str = "<") -> bytes:
    magic = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(order + "HHHIHHI", 1, 274, 3, 1, orientation, 0, 0)
    return b"Exif\0\0" + magic + struct.pack(order + "I", 8) + entry


@pytest.fixture(scope="session")
def exif() -> Callable[..., bytes]:
    """(orientation, byte order) -> an EXIF block as JPEG's APP1 holds it."""
    return _exif


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make a library look as if it were not installed."""

    def remove(library: str) -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] == library]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, library, None)

    return remove
