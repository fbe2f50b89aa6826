"""Identify image formats by content and decode them to grey, upright uint8 images, in one of two places.

What a header check proves harmless and cheap is decoded in this process, fast: PNG and JPEG of moderate size
and sound structure. All else is decoded by a worker process, which has limits on memory and time and may die
(`kalamos.isolation`): the other formats, animations, and what is large, deep, unusual or damaged.
"""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kalamos.errors import (
    CorruptImageError,
    ImageError,
    ImageNotFoundError,
    ImageTooLargeError,
    UnsupportedImageError,
)
from kalamos.images import headers, jpeg, png
from kalamos.images.files import display_name, read_file, read_start
from kalamos.images.headers import truncated
from kalamos.images.heif import HEIF_EXTENSIONS, decode_heic, heif_format, require_library
from kalamos.images.pixels import (
    MAX_PIXELS,
    check_size,
    decode_here,
    decode_with_pillow,
    out_of_memory,
)
from kalamos.isolation import MEMORY_BYTES, iterate_isolated

__all__ = [
    "EXTENSIONS",
    "MAX_PIXELS",
    "DecodeOptions",
    "Encoded",
    "decode_all",
    "decode_file",
    "decode_grey",
    "decode_harmless",
    "fetch",
    "image_format",
    "is_pdf",
    "looks_like",
    "memory_beside",
]

Grey = NDArray[np.uint8]

MAX_BYTES_DECODED_HERE = 16 * 2**20
"""The worker alone reads larger files, so that nothing of them is held here."""

HEAD_BYTES = 64 * 1024
"""Files of other formats are read here up to this size, to be sent along in one go."""

BATCH_BYTES = 16 * 2**20
"""Bytes that are sent to a worker at once."""

EXTENSIONS = (
    frozenset({".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".gif", ".webp", ".tif", ".tiff"})
    | HEIF_EXTENSIONS
)
"""Lower-case file name endings under which to look for images in a folder."""

BMP_HEADER_SIZES = frozenset({12, 40, 52, 56, 64, 108, 124})
GIF_SIGNATURES = (b"GIF87a", b"GIF89a")

PDF = "a PDF"
_PDF_REMEDY = "name the PDF itself to have its pages read, or save them as PNG"

_FOREIGN_SIGNATURES = (
    (0, b"%PDF", PDF),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"PK\x05\x06", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip file"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"PAR1", "a Parquet file"),
    (0, b"\x7fELF", "a program"),
)
"""Where a signature lies, the signature, and what it is the signature of: kinds of files that
`kalamos.inputs.files` gives its own advice for."""

_SIGNATURES = (png.SIGNATURE, jpeg.SIGNATURE, *GIF_SIGNATURES, *headers.TIFF_SIGNATURES, b"RIFF", b"BM")

_TEXT_BYTES = bytes({9, 10, 12, 13, *range(32, 127), *range(128, 256)})
"""Bytes of text in ASCII, UTF-8 or a legacy encoding: all but control codes."""


class Encoded(NamedTuple):
    """An encoded image: its bytes, or the file that holds them."""

    where: str
    """What it is called in errors."""
    source: bytes | str
    """The bytes; or an absolute path, which the worker opens."""

    def to_send(self) -> Encoded:
        """Prepare the image for a message to a worker: bytes travel without being copied into it."""
        if isinstance(self.source, str):
            return self
        return self._replace(source=pickle.PickleBuffer(self.source))  # type: ignore[arg-type]

    @property
    def size(self) -> int:
        """In bytes; 0 for a file that does not exist."""
        if isinstance(self.source, bytes):
            return len(self.source)
        try:
            return os.stat(self.source).st_size  # noqa: PTH116
        except (OSError, ValueError):
            return 0


class DecodeOptions(NamedTuple):
    """What a caller asks of decoding."""

    max_pixels: int = MAX_PIXELS
    """The limit on width x height, seen before decoding."""
    min_decode_pixels: int | None = None
    """A JPEG may be decoded at a half, a quarter or an eighth of its size, several times as fast, if it has
    at least so many pixels then; None decodes all of them. Other formats are always decoded whole."""
    timeout: float | None = None
    """Seconds that decoding one image may take; None takes `kalamos.isolation.TIMEOUT_SECONDS`."""
    stopping: threading.Event | None = None
    """Once set, decoding that takes long is given up."""


def image_format(data: bytes, where: str = "the bytes") -> str:
    r"""Name the format of an encoded image by its start: PNG, JPEG, BMP, GIF, WEBP, TIFF, HEIC or AVIF.

    Args:
        data: the file, or at least its first 64 bytes.
        where: what the source is called in errors.

    Raises:
        UnsupportedImageError: none of these.
        CorruptImageError: empty, or too short to tell.

    >>> image_format(b"GIF89a\2\0\1\0\0\0\0,")
    'GIF'
    """
    if data.startswith(png.SIGNATURE):
        return "PNG"
    if data.startswith(jpeg.SIGNATURE):
        return "JPEG"
    if data.startswith(b"BM") and int.from_bytes(data[14:18], "little") in BMP_HEADER_SIZES:
        return "BMP"
    if data.startswith(GIF_SIGNATURES):
        return "GIF"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data.startswith(headers.TIFF_SIGNATURES):
        return "TIFF"
    if (heif := heif_format(data)) is not None:
        return heif
    raise _refusal(data, where)


def is_pdf(head: bytes) -> bool:
    r"""Tell whether a file that begins with `head` is a PDF; white space before the signature is common.

    >>> is_pdf(b"\n%PDF-1.7\n"), is_pdf(b"PDF")
    (True, False)
    """
    return head.lstrip(b"\xef\xbb\xbf\0 \t\r\n").startswith(b"%PDF-")


def is_decoded_here(data: bytes) -> bool:
    """Return whether a file starts as a PNG or JPEG, which may be decoded outside a worker."""
    return data.startswith((png.SIGNATURE, jpeg.SIGNATURE))


def _require_decoder(kind: str, where: str) -> None:
    """Raise `UnsupportedImageError` for a format whose decoder is of an extra that is not installed."""
    if kind == "HEIC":
        require_library("pillow_heif", kind, where)


def _refusal(data: bytes, where: str) -> CorruptImageError | UnsupportedImageError:
    if not data:
        return CorruptImageError(f"{where}: the file is empty", remedy="use a complete copy")
    may_go_on = any(signature.startswith(data[:12]) for signature in _SIGNATURES)
    if may_go_on or (len(data) < 18 and _is_start(data)):
        return truncated(where, "image", f"it is only {len(data)} bytes long")
    kind = looks_like(data)
    return UnsupportedImageError(
        f"{where}: this is not an image kalamos reads; it looks like {kind}",
        remedy=_PDF_REMEDY if kind == PDF else "convert it to PNG or JPEG",
    )


def _is_start(data: bytes) -> bool:
    """Return whether these few bytes could be the start of a BMP, a WEBP or an ISO base media file."""
    if data[:3] == bytes(min(3, len(data))):
        return b"ftyp".startswith(data[4:8])
    return data[:2] == b"BM" or (data[:4] == b"RIFF" and b"WEBP".startswith(data[8:12]))


def looks_like(data: bytes) -> str:
    """Say what bytes in none of the formats of images begin like, for people; else "nothing known"."""
    for offset, signature, name in _FOREIGN_SIGNATURES:
        if data.startswith(signature, offset):
            return name
    head = data[:1024]
    if b"<svg" in head.lower():
        return "SVG"
    if head.lstrip()[:1] == b"<":
        return "HTML or XML"
    if head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace():
        return "a PNM image"
    if not head.translate(None, _TEXT_BYTES):
        return "text"
    return "nothing known"


def decode_grey(
    data: bytes,
    *,
    where: str = "the bytes",
    max_pixels: int = MAX_PIXELS,
    min_decode_pixels: int | None = None,
    timeout: float | None = None,
    stopping: threading.Event | None = None,
) -> Grey:
    """Decode an encoded image to grey uint8 [H, W], C-contiguous and upright.

    PNG, JPEG, BMP, GIF, WEBP, TIFF, AVIF and HEIC (with the extra `kalamos[forms]`) are recognised by
    content. Of several frames or pages the first is taken; transparent pictures are composed so that their
    ink shows; dark and light are as in the picture.

    Args:
        data: a whole file.
        where: what the source is called in errors.
        max_pixels, min_decode_pixels, timeout, stopping: see `DecodeOptions`. Decoded pixels may take at
            most `kalamos.images.pixels.MAX_DECODED_BYTES`, whatever `max_pixels` says.

    Raises:
        UnsupportedImageError: another format, or a variant that loses ink.
        CorruptImageError: empty, truncated or damaged.
        ImageTooLargeError: over a limit on pixels or memory.
        ImageTimeoutError: it takes longer than it may.

    >>> import cv2
    >>> _, encoded = cv2.imencode(".png", np.full((2, 3), 200, np.uint8))
    >>> decode_grey(encoded.tobytes())
    array([[200, 200, 200],
           [200, 200, 200]], dtype=uint8)
    """
    return _decode(Encoded(where, data), DecodeOptions(max_pixels, min_decode_pixels, timeout, stopping))


def decode_harmless(data: bytes, *, where: str = "the bytes", max_pixels: int = MAX_PIXELS) -> Grey | None:
    """Decode what is harmless and cheap, in this process; return None for what a worker has to decode.

    For a thread that must not wait long. Raises as `decode_grey` does, what is known without a worker.

    >>> import cv2
    >>> white = np.full((2, 3), 255, np.uint8)
    >>> decode_harmless(cv2.imencode(".png", white)[1].tobytes()).shape
    (2, 3)
    >>> decode_harmless(cv2.imencode(".webp", white)[1].tobytes()) is None
    True
    """
    return _decode_harmless(Encoded(where, data), DecodeOptions(max_pixels))


def decode_file(path: str | os.PathLike[str], options: DecodeOptions) -> Grey:
    """Decode a file, as `decode_grey` does; of a large one nothing is held in this process.

    Raises as `decode_grey` does, and `ImageNotFoundError`.
    """
    return _decode(fetch(path), options)


def decode_all(images: Sequence[Encoded | ImageError], options: DecodeOptions) -> Iterator[Grey | ImageError]:
    """Decode some images, in order; one that cannot be decoded gives its error.

    As `decode_grey` for each; those that a worker decodes go to it together, and it works ahead.
    """
    by_worker = _decode_by_workers([image for image in images if _needs_worker(image)], options)
    for image in images:
        if isinstance(image, ImageError):
            yield image
        elif _needs_worker(image):
            yield next(by_worker)
        else:
            try:
                yield _decode(image, options)
            except ImageError as error:
                yield error


def fetch(path: str | os.PathLike[str]) -> Encoded:
    """Read a file that will be decoded here, or that is small; name any other for the worker to read.

    Raises:
        ImageNotFoundError: missing, not readable, or a folder, FIFO or device.
        ImageTooLargeError: over `kalamos.images.files.MAX_FILE_BYTES`.
        UnsupportedImageError: none of the formats that kalamos reads.
    """
    where = display_name(path)
    try:
        data, size = read_start(path, HEAD_BYTES)
        if len(data) >= size:
            return Encoded(where, data)
        _require_decoder(image_format(data, where), where)
        if size <= MAX_BYTES_DECODED_HERE and is_decoded_here(data):
            return Encoded(where, read_file(path))
        try:
            return Encoded(where, os.path.abspath(path))  # noqa: PTH100  (as it is, links and all)
        except OSError:  # a relative one in a folder that is gone: what could be read above can be read now
            return Encoded(where, read_file(path))
    except MemoryError as error:
        raise out_of_memory(error, where) or error from None


def _needs_worker(image: Encoded | ImageError) -> bool:
    """Return whether the size and the signature alone send an image to a worker."""
    if isinstance(image, ImageError):
        return False
    source = image.source
    return isinstance(source, str) or len(source) > MAX_BYTES_DECODED_HERE or not is_decoded_here(source)


def _decode(image: Encoded, options: DecodeOptions) -> Grey:
    quick = _decode_harmless(image, options)
    if quick is not None:
        return quick
    [outcome] = _decode_by_workers([image], options)
    if isinstance(outcome, ImageError):
        raise outcome
    return outcome


def _decode_harmless(image: Encoded, options: DecodeOptions) -> Grey | None:
    """Decode what is harmless and cheap; return None for anything else that is an image.

    Raises what the header says.
    """
    where, data = image
    if isinstance(data, str):
        return None
    try:
        if len(data) > MAX_BYTES_DECODED_HERE or not is_decoded_here(data):
            _require_decoder(image_format(data, where), where)
        elif data.startswith(png.SIGNATURE):
            file = png.inspect_png(data, where)
            check_size(file.header, options.max_pixels, where)
            if (harmless_file := file.harmless(data)) is not None:
                return decode_here(harmless_file, file.header, where=where)
        else:
            header, harmless = jpeg.inspect_jpeg(data, where)
            check_size(header, options.max_pixels, where)
            if harmless:
                return decode_here(data, header, where=where, min_decode_pixels=options.min_decode_pixels)
    except MemoryError as error:
        raise out_of_memory(error, where) or error from None
    return None


def _decode_by_workers(
    images: Sequence[Encoded | ImageError], options: DecodeOptions
) -> Iterator[Grey | ImageError]:
    """Decode images in a worker process, another one after each that it died of."""
    left = [image for image in images if isinstance(image, Encoded)]
    while left:
        sizes = [image.size for image in left]
        batch = _batch(sizes)
        sent = sum(size for image, size in zip(left[:batch], sizes, strict=False) if _is_held(image))
        done = 0
        try:
            outcomes = iterate_isolated(
                _decode_each,
                [image.to_send() for image in left[:batch]],
                options._replace(timeout=None, stopping=None),  # an event cannot travel
                where=[image.where for image in left[:batch]],
                size=sizes[:batch],
                timeout=options.timeout,
                stopping=options.stopping,
                # Counted twice: they are held here, and there.
                memory=memory_beside(2 * sent, left[0].where),
            )
            for outcome in outcomes:
                image = left[done]
                done += 1
                if done == batch:
                    # The caller leaves once it has all outcomes, and leaving before the end kills the worker.
                    for _ in outcomes:
                        pass
                if isinstance(outcome, ImageNotFoundError):
                    outcome = _decode_unreachable(image, options)  # noqa: PLW2901
                yield outcome
        except ImageError as error:
            done += 1
            yield error
        left = left[done:]


def _decode_unreachable(image: Encoded, options: DecodeOptions) -> Grey | ImageError:
    """Decode a file that only this process can open, `/dev/fd/3` for one."""
    try:
        data = read_file(str(image.source))
    except ImageError as error:
        return type(error)(error.problem.replace(str(image.source), image.where), remedy=error.remedy)
    [outcome] = _decode_by_workers([Encoded(image.where, data)], options)
    return outcome


def _is_held(image: Encoded) -> bool:
    return isinstance(image.source, bytes)


def _batch(sizes: Sequence[int]) -> int:
    """Count the images that go to a worker together: at least one, and not more than `BATCH_BYTES`."""
    total = 0
    for count, size in enumerate(sizes):
        total += size
        if total > BATCH_BYTES:
            return max(count, 1)
    return len(sizes)


def memory_beside(held: int, where: str) -> int:
    """Return the bytes that a worker may take beside `held`."""
    if held > MEMORY_BYTES // 4 * 3:
        raise ImageTooLargeError(
            f"{where}: too large to decode here: it needs more memory than one image may take",
            remedy="scale it down, or put it into a file of its own",
        )
    return MEMORY_BYTES - held


def _decode_each(images: Sequence[Encoded], options: DecodeOptions) -> Iterator[Grey | ImageError]:
    """Decode images, in a worker."""
    for image in images:
        try:
            yield _decode_any(image, options)
        except ImageError as error:
            yield error.with_traceback(None)
        except Exception as error:  # noqa: BLE001  (decoders raise anything)
            yield out_of_memory(error, image.where) or CorruptImageError(
                f"{image.where}: it is damaged: it cannot be decoded", remedy="use an intact copy"
            )


def _decode_any(image: Encoded, options: DecodeOptions) -> Grey:
    """Decode an image whatever its header says, as long as that is an image's, in a worker."""
    where = image.where
    data = image.source if isinstance(image.source, bytes) else read_file(image.source)
    if data.startswith(png.SIGNATURE):
        file = png.inspect_png(data, where)
        check_size(file.header, options.max_pixels, where)
        return decode_here(data if file.animated else file.essential(data), file.header, where=where)
    kind = image_format(data, where)
    if kind == "JPEG":
        header = jpeg.inspect_jpeg(data, where).header
    elif kind == "WEBP":
        header = headers.read_webp(data, where)
    elif kind == "TIFF":
        header = headers.read_tiff(data, where)
    else:
        header = None
    if header is not None:
        check_size(header, options.max_pixels, where)
    if kind == "HEIC":
        return decode_heic(data, where=where, max_pixels=options.max_pixels)
    if header is None or header.animated or (kind == "TIFF" and not header.deep):
        return decode_with_pillow(data, kind, header, where=where, max_pixels=options.max_pixels)
    return decode_here(data, header, where=where, min_decode_pixels=options.min_decode_pixels)
