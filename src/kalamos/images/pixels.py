"""Decode pixels with OpenCV and Pillow to one grey, upright uint8 image, within limits on size.

`decode_here` decodes with OpenCV what has been checked. `decode_with_pillow` decodes GIF, BMP, AVIF, animated
WEBP, and TIFF of fewer than 16 bits a sample; it runs in worker processes alone, the only ones in which
kalamos imports Pillow. Pillow is lenient with some damage (a GIF's frame beyond its canvas, missing strips of
a TIFF), which is looked for here. `pillow_to_grey` converts the Pillow images of callers, too.
"""

from __future__ import annotations

import io
import struct
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.errors import (
    CorruptImageError,
    ImageError,
    ImageTooLargeError,
    InvalidArrayError,
    UnsupportedImageError,
)
from kalamos.images.grey import BAND_PIXELS, compose, eight_bits, luminance, to_grey, upright, with_key
from kalamos.images.headers import ImageHeader, damaged, truncated, unsupported

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

__all__ = [
    "MAX_DECODED_BYTES",
    "MAX_GIF_BLOCKS",
    "MAX_PIXELS",
    "PillowImage",
    "check_pixels",
    "check_size",
    "decode_here",
    "decode_with_pillow",
    "is_pillow",
    "out_of_memory",
    "pillow_to_grey",
]

MAX_PIXELS = 50_000_000
"""The default limit on width x height: 5000 x 10000 pixels, ten times an A4 page at 200 dpi."""

MAX_DECODED_BYTES = 256 * 2**20
"""Bytes that the decoded pixels of one image may take, with all channels in their own depth."""

MAX_CROP_PIXELS = 64 * 64
"""Up to this size pictures are decoded with their colours: colours that no screen can show are cut off then,
which changes the luminance by some levels, and the models have seen small crops so."""

_UINT8 = np.dtype(np.uint8)
# Orientation is undone here, for every format alike.
_LUMA = {
    1: cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2 | cv2.IMREAD_IGNORE_ORIENTATION,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4 | cv2.IMREAD_IGNORE_ORIENTATION,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8 | cv2.IMREAD_IGNORE_ORIENTATION,
}
"""OpenCV's flags for decoding the luminance alone, by the factor that sides are divided by."""

_ORIENTATION = 274
_WIDE = ("I", "F")
"""How modes of more than 8 bits a channel begin: their values are scaled by the range of all of them."""
_PLAIN = frozenset({"1", "L", "LA", "RGB", "RGBA", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"})
"""Modes whose array holds what `to_grey` expects."""
_CONVERTED = {
    "P": "RGBA",
    "PA": "RGBA",
    "La": "LA",
    "RGBa": "RGBA",
    "RGBX": "RGB",
    "CMYK": "RGB",
    "YCbCr": "RGB",
    "HSV": "RGB",
}
_KEYED = {"1": "LA", "L": "LA", "RGB": "RGBA"}
"""Modes in which one colour can stand for "nothing here", and what to convert them to then."""

_MAX_BMP_SIDE = 1 << 31
"""Pixels; Pillow takes a BMP's negative width for a larger one."""
_BYTE_MODES = frozenset({"1", "L", "P"})
"""Pillow's modes of one byte a pixel; the others take four at most."""
_TIFF_PARTS = ((273, 279), (324, 325))
"""The tags with the offsets and the sizes of strips, and those of tiles."""
MAX_GIF_BLOCKS = 10_000
"""Blocks of extensions and comments before a GIF's picture; each holds 255 bytes at most."""
_WEBP_FLAGS, _WEBP_ALPHA = 20, 0x10


def check_pixels(width: int, height: int, max_pixels: int, where: str) -> None:
    """Raise ImageTooLargeError if width x height exceeds `max_pixels`."""
    if width * height > max_pixels:
        raise ImageTooLargeError(
            f"{where}: {width} x {height} pixels are more than the limit of {max_pixels:,}",
            remedy="scale it down or raise max_pixels",
        )


def check_size(header: ImageHeader, max_pixels: int, where: str) -> None:
    """Raise ImageTooLargeError over `max_pixels`, or if decoding takes over `MAX_DECODED_BYTES`."""
    check_pixels(header.width, header.height, max_pixels, where)
    if header.decoded_bytes > MAX_DECODED_BYTES:
        raise ImageTooLargeError(
            f"{where}: too large to decode here: its {header.width} x {header.height} pixels take "
            f"{header.decoded_bytes:,} bytes of memory, more than the limit of {MAX_DECODED_BYTES:,}",
            remedy="scale it down, or save it in grey with 8 bits a pixel",
        )


def out_of_memory(error: BaseException, where: str) -> ImageTooLargeError | None:
    """Make the error for an image on which memory ran out; None if `error` means something else.

    >>> out_of_memory(MemoryError(), "a.tif").problem
    'a.tif: too large to decode here: memory ran out'
    >>> out_of_memory(ValueError("odd"), "a.tif") is None
    True
    """
    text = str(error).lower()
    signs = ("insufficient memory", "failed to allocate", "bad_alloc", "out of memory")
    if isinstance(error, MemoryError) or any(sign in text for sign in signs):
        return ImageTooLargeError(
            f"{where}: too large to decode here: memory ran out", remedy="scale it down, or free some memory"
        )
    return None


def decode_here(
    data: bytes, header: ImageHeader, *, where: str, min_decode_pixels: int | None = None
) -> NDArray[np.uint8]:
    """Decode an image whose header is `header` to grey uint8 [H, W], C-contiguous and upright.

    Raises:
        UnsupportedImageError: values that are no grey values.
        CorruptImageError: it cannot be decoded, or to another size than its header announces.
        ImageTooLargeError: memory ran out.
    """
    try:
        pixels = _decode(data, header, where, min_decode_pixels)
        if pixels.dtype == _UINT8 and pixels.ndim == 2 and header.transparent is None:
            # Most character images; to_grey would return them as they are.
            grey: NDArray[np.uint8] = pixels
        else:
            pixels, premultiplied = _with_alpha(pixels, header, where)
            grey = to_grey(
                pixels, order="BGR", premultiplied=premultiplied, where=where, refuse=UnsupportedImageError
            )
        if header.inverted:
            grey = 255 - grey
        if header.orientation != 1:
            grey = upright(grey, header.orientation)
        return grey if grey.flags.c_contiguous else np.ascontiguousarray(grey)
    except (MemoryError, cv2.error) as error:
        raise out_of_memory(error, where) or damaged(where, header.format, "it cannot be decoded") from error


def _decode(data: bytes, header: ImageHeader, where: str, min_decode_pixels: int | None) -> NDArray[Any]:
    """Decode with OpenCV to [H, W] or [H, W, 3 or 4] in BGR(A) order, in the stored orientation."""
    flags, factor = cv2.IMREAD_UNCHANGED, 1
    if header.has_luma and header.width * header.height > MAX_CROP_PIXELS:
        factor = _reduction(header, min_decode_pixels)
        flags = _LUMA[factor]
    encoded = np.frombuffer(data, np.uint8)
    if header.page:
        _, pages = cv2.imdecodemulti(encoded, flags, range=(header.page, header.page + 1))
        pixels = pages[0] if len(pages) else None
    else:
        pixels = cv2.imdecode(encoded, flags)
    # Mypy's stubs do not know that imdecode answers None for what it cannot decode.
    if pixels is None:
        raise _failure(header, where)
    # Rounded up, as JPEG decoders do.
    if pixels.shape[:2] != (-(-header.height // factor), -(-header.width // factor)):
        raise damaged(where, header.format, "its size is not the one its header announces")
    return pixels


def _failure(header: ImageHeader, where: str) -> ImageError:
    """Make the error for a failure of OpenCV, which does not say whether memory ran out: try."""
    try:
        np.empty(header.decoded_bytes, np.uint8)
    except MemoryError as error:
        return out_of_memory(error, where) or damaged(where, header.format, "it cannot be decoded")
    return damaged(where, header.format, "it cannot be decoded")


def _reduction(header: ImageHeader, min_decode_pixels: int | None) -> int:
    """Return the largest factor to divide both sides by that leaves enough pixels."""
    if min_decode_pixels is None:
        return 1
    return next(
        (factor for factor in (8, 4, 2) if header.width * header.height >= min_decode_pixels * factor**2), 1
    )


def _with_alpha(pixels: NDArray[Any], header: ImageHeader, where: str) -> tuple[NDArray[Any], bool]:
    """Return the pixels, with the alpha channel that the header tells of, and whether it is premultiplied."""
    if header.transparent is not None and pixels.ndim == 2:
        return with_key(pixels, header.transparent, where=where, refuse=UnsupportedImageError), False
    if header.alpha == "ignored" and pixels.ndim == 3:
        return pixels[..., :3], False
    return pixels, header.alpha == "premultiplied"


class PillowImage(Protocol):
    """The part of `PIL.Image.Image` that is used."""

    info: dict[Any, Any]

    @property
    def mode(self) -> str: ...
    @property
    def size(self) -> tuple[int, int]: ...
    def load(self) -> Any: ...
    def getexif(self) -> Any: ...
    def convert(self, mode: str) -> Any: ...
    def crop(self, box: tuple[int, int, int, int]) -> Any: ...
    def getchannel(self, channel: int) -> Any: ...


def is_pillow(source: object) -> TypeGuard[PillowImage]:
    # Whoever holds a Pillow image has imported Pillow already.
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(source, module.Image)


def pillow_to_grey(
    image: PillowImage, *, where: str = "the PIL image", max_pixels: int = MAX_PIXELS
) -> NDArray[np.uint8]:
    """Make a Pillow image grey: uint8 [H, W], C-contiguous, upright by its EXIF.

    All common modes are read, with transparency in any of Pillow's three ways.

    Raises:
        ImageTooLargeError: over `max_pixels`, seen before the pixels are loaded.
        CorruptImageError: a lazily opened file that proves truncated or damaged.
        InvalidArrayError: of no size, or values out of range in modes I and F.
        UnsupportedImageError: an unusual mode.
    """
    width, height = image.size
    if not (width and height):
        raise InvalidArrayError(f"{where}: {width} x {height} pixels hold nothing")
    check_pixels(width, height, max_pixels, where)
    try:
        image.load()
        if image.mode.startswith(_WIDE):
            grey = to_grey(_pixels(image, where), order="RGB", where=where, refuse=InvalidArrayError)
        else:
            grey = _grey_in_bands(image, where)
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, OverflowError) as error:
        raise CorruptImageError(f"{where}: its pixels cannot be loaded ({error})") from error
    return np.array(upright(grey, _orientation(image)), order="C")


def _grey_in_bands(image: PillowImage, where: str) -> NDArray[np.uint8]:
    """Convert some rows of an image of 8 bits a channel at a time: Pillow and NumPy would copy it twice."""
    width, height = image.size
    grey = np.empty((height, width), np.uint8)
    alpha = None
    rows = max(1, BAND_PIXELS // width)
    for top in range(0, height, rows):
        band = slice(top, min(top + rows, height))
        part = image if rows >= height else image.crop((0, band.start, width, band.stop))
        pixels = eight_bits(_pixels(part, where), where=where, refuse=InvalidArrayError)
        if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
            alpha = np.empty_like(grey) if alpha is None else alpha
            alpha[band] = pixels[..., -1]
            pixels = pixels[..., :-1]
        grey[band] = luminance(pixels, "RGB")
    return grey if alpha is None else compose(grey, alpha)


def _pixels(image: PillowImage, where: str) -> NDArray[Any]:
    if image.mode == "LAB":
        # Pillow cannot convert LAB without a colour profile; its first channel is the lightness.
        return np.asarray(image.getchannel(0))
    key = image.info.get("transparency")
    if key is not None and image.mode in _KEYED:
        return np.asarray(image.convert(_KEYED[image.mode]))
    if image.mode in _CONVERTED:
        return np.asarray(image.convert(_CONVERTED[image.mode]))
    if image.mode not in _PLAIN:
        raise UnsupportedImageError(
            f"{where}: mode {image.mode!r} cannot be read", remedy="convert it: image.convert('RGB')"
        )
    pixels = np.asarray(image)
    if isinstance(key, int) and pixels.ndim == 2:
        return with_key(pixels, key, where=where, refuse=InvalidArrayError)
    return pixels


def _orientation(image: PillowImage) -> int:
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - a damaged EXIF block fails in many ways, none of which matters
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def decode_with_pillow(
    data: bytes, kind: str, header: ImageHeader | None, *, where: str, max_pixels: int
) -> NDArray[np.uint8]:
    """Decode an image of the format `kind` to grey uint8 [H, W], C-contiguous and upright.

    Args:
        header: what is known already (TIFF, of which it says the page; WEBP).

    Raises:
        UnsupportedImageError: a variant that Pillow does not know.
        CorruptImageError: truncated or damaged.
        ImageTooLargeError: over `max_pixels`, or over `kalamos.images.pixels.MAX_DECODED_BYTES`.
    """
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # `max_pixels` is the limit here
    try:
        image = _open(data, kind)
        if header is not None and header.page:
            image.seek(header.page)
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        if kind == "BMP" and "bitfields" in str(error):
            return _decode_masked_bmp(data, where, max_pixels)
        if kind == "TIFF" and header is not None and "unknown" in str(error):
            raise unsupported(where, header.layout) from error
        if kind == "AVIF" and "not installed" in str(error):
            raise unsupported(where, "AVIF, for which this Pillow has no decoder,") from error
        if "Unsupported" in str(error):
            raise unsupported(where, f"this {kind} ({error})") from error
        raise damaged(where, kind, f"its header cannot be read ({error})") from error
    width, height = image.size
    if max(width, height) >= _MAX_BMP_SIDE:
        raise damaged(where, kind, f"its size is {width} x {height} pixels")
    decoded_bytes = width * height * (1 if image.mode in _BYTE_MODES else 4)
    check_size(ImageHeader(kind, width, height, decoded_bytes=decoded_bytes), max_pixels, where)
    picture: Image.Image = image
    if kind == "GIF":
        picture = _on_canvas(image, data, where)
    elif kind == "TIFF" and not _strips_are_inside(image, len(data)):
        raise truncated(where, kind, "pixel data are missing")
    return pillow_to_grey(picture, where=where, max_pixels=max_pixels)


def _open(data: bytes, kind: str) -> ImageFile:
    """Open by the plugin itself: `PIL.Image.open` would load others too, and hide what was wrong."""
    name = {"GIF": "Gif", "BMP": "Bmp", "TIFF": "Tiff", "WEBP": "WebP", "AVIF": "Avif"}[kind]
    plugin = import_module(f"PIL.{name}ImagePlugin")
    if kind == "TIFF":
        # Pillow's own reader leaves missing strips black.
        plugin.READ_LIBTIFF = True  # type: ignore[attr-defined]
    elif kind == "AVIF":
        plugin.DEFAULT_MAX_THREADS = 1  # type: ignore[attr-defined]
    elif kind == "WEBP":
        # With the flag for alpha, what the first frame does not cover is transparent, and not black.
        data = data[:_WEBP_FLAGS] + bytes([data[_WEBP_FLAGS] | _WEBP_ALPHA]) + data[_WEBP_FLAGS + 1 :]
    opener = getattr(plugin, f"{name}ImageFile")
    image: ImageFile = (_bounded_gif(opener) if kind == "GIF" else opener)(io.BytesIO(data))
    return image


def _bounded_gif(opener: Any) -> Any:
    """Make Pillow's class for GIF refuse floods of blocks: it joins those of a comment one by one."""

    class BoundedGif(opener):  # type: ignore[misc]
        blocks = 0

        def data(self) -> bytes | None:
            self.blocks += 1
            if self.blocks > MAX_GIF_BLOCKS:
                raise SyntaxError(f"it has more than {MAX_GIF_BLOCKS:,} blocks before its picture")
            block: bytes | None = super().data()
            return block

    return BoundedGif


def _on_canvas(image: ImageFile, data: bytes, where: str) -> Image:
    """Load a GIF's first frame, on a transparent canvas if it does not fill it.

    Pillow would fill the canvas with the first colour, which may be that of the ink.
    """
    left, top, right, bottom = image.tile[0][1] or (0, 0, 0, 0)
    # Pillow enlarges the canvas for a frame that lies beyond it.
    if struct.unpack_from("<HH", data, 6) != image.size or left >= right or top >= bottom:
        raise damaged(where, "GIF", "its first frame does not lie on the canvas")
    if (left, top, right, bottom) == (0, 0, *image.size):
        return image
    try:
        frame = image.crop((left, top, right, bottom)).convert("RGBA")
    except (OSError, SyntaxError, ValueError) as error:
        raise damaged(where, "GIF", f"it cannot be decoded ({error})") from error
    from PIL import Image

    canvas = Image.new("RGBA", image.size)
    canvas.paste(frame, (left, top))
    return canvas


def _strips_are_inside(image: ImageFile, size: int) -> bool:
    """Return whether a TIFF's strips or tiles lie in the file: libtiff leaves some that do not blank."""
    tags = image.tag_v2  # type: ignore[attr-defined]
    parts = [
        zip(tags[offsets], tags[sizes], strict=False) for offsets, sizes in _TIFF_PARTS if offsets in tags
    ]
    return bool(parts) and all(offset + length <= size for offset, length in parts[0])


def _decode_masked_bmp(data: bytes, where: str, max_pixels: int) -> NDArray[np.uint8]:
    """Decode a BMP whose colour masks Pillow does not know: OpenCV reads them at 32 bits in long headers."""
    start, size, width, height, _, bits = struct.unpack_from("<IIiiHH", data, 10)
    if size < 56 or bits != 32:
        raise unsupported(where, "a BMP with unusual colour masks")
    height = abs(height)
    check_pixels(width, height, max_pixels, where)
    if start + 4 * width * height > len(data):
        raise truncated(where, "BMP", "pixel rows are missing")
    return decode_here(data, ImageHeader("BMP", width, height, decoded_bytes=4 * width * height), where=where)
