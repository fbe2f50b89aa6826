"""Files made to crash, lie, wait or fill the memory: each is a typed error, soon, and the process goes on."""

from __future__ import annotations

import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from kalamos.errors import CorruptImageError, ImageError, ImageTimeoutError, ImageTooLargeError
from kalamos.images import MAX_PIXELS, decode_grey, headers, jpeg, load_grey, png
from kalamos.images.decoding import MAX_BYTES_DECODED_HERE, DecodeOptions, decode_all, fetch
from kalamos.images.pixels import MAX_DECODED_BYTES

SOON = 10.0
"""Seconds. Of the processor's time it is 2 at most, but this machine may be busy."""


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def ihdr(width: int, height: int, depth: int = 8, colour: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))


def png_file(*chunks: bytes) -> bytes:
    return b"".join([png.SIGNATURE, *chunks, chunk(b"IEND", b"")])


def blank_rows(width: int, height: int, bits: int) -> bytes:
    """Compressed rows of white, made without holding them."""
    row = b"\0" + b"\xff" * (width * bits // 8)
    deflater = zlib.compressobj(1)
    parts = [deflater.compress(row) for _ in range(height)]
    return b"".join([*parts, deflater.flush()])


def progressive_jpeg(width: int, height: int, scans: int) -> bytes:
    """A JPEG of many scans, each of which covers the whole picture in some bytes."""

    def segment(code: int, body: bytes) -> bytes:
        return bytes([0xFF, code]) + struct.pack(">H", len(body) + 2) + body

    blocks = -(-width // 8) * -(-height // 8)
    bits, left = "", blocks
    while left > 0:  # runs of blocks without a coefficient
        run = max(min(left, (1 << 15) - 1), 1 << 14)
        bits += "0" + format(run - (1 << 14), "014b")
        left -= run
    bits += "1" * (-len(bits) % 8)
    runs = bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)).replace(b"\xff", b"\xff\0")
    scan = segment(0xDA, bytes([1, 1, 0, 1, 63, 0])) + runs
    return b"".join(
        [
            b"\xff\xd8",
            segment(0xDB, b"\0" + b"\1" * 64),
            segment(0xC2, struct.pack(">BHHB", 8, height, width, 1) + b"\1\x11\0"),
            segment(0xC4, b"\0\1" + bytes(15) + b"\0"),
            segment(0xC4, b"\x10\1" + bytes(15) + b"\xe0"),
            segment(0xDA, bytes([1, 1, 0, 0, 0, 0])) + bytes((blocks + 7) // 8),
            scan * scans,
            b"\xff\xd9",
        ]
    )


def tiff_of(entries: list[tuple[int, int, int, int]], tail: bytes = b"") -> bytes:
    """A little-endian TIFF whose directory has these (tag, type, count, value)."""
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + bytes(4) + tail


def twice_stated(kind: int) -> bytes:
    """A TIFF of 20000 x 20000 and of 40 x 40 pixels, depending on which statement one believes."""
    strip = zlib.compress(bytes(20000 * 100))
    entries = [
        (256, kind, 1, 20000),
        (256, 4, 1, 40),
        (257, kind, 1, 20000),
        (257, 4, 1, 40),
        *((258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 158), (277, 3, 1, 1)),
        *((278, 4, 1, 100), (279, 4, 1, len(strip))),
    ]
    return tiff_of(entries, strip)


def huge_webp() -> bytes:
    """A WEBP of some bytes with a canvas of 16 million columns."""
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\x10\0\0\0" + b"\xff" * 6 + b"VP8L" + struct.pack("<I", 0)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def endless_gif() -> bytes:
    """A GIF with a comment of very many blocks of one byte, which Pillow joins one by one."""
    return b"GIF89a\x20\0\x20\0\0\0\0!\xfe" + b"\1a" * 500_000 + b"\0;"


def frame_of_many_blocks() -> bytes:
    """A GIF whose first frame is a chain of blocks of one byte; the picture is whole long before its end."""
    head = b"GIF89a\x20\0\x20\0\0\0\0" + b"\x2c\0\0\0\0\x20\0\x20\0\0\2"
    return head + b"\1\0" * 2_000_000 + b"\0;"


ANIMATION_CONTROL = chunk(b"acTL", struct.pack(">II", 3, 0))
FRAME_CONTROL = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 1, 33, 40, 0, 0, 1, 100, 0, 0))
COLOUR_ROWS = chunk(b"IDAT", zlib.compress((b"\0" + b"\xff" * 132) * 40))
COLOUR_HEADER = ihdr(33, 40, 8, 6)

CASES: dict[str, tuple[Callable[[], bytes], type[ImageError]]] = {
    "an animation whose frame ends in a second header": (
        lambda: png_file(COLOUR_HEADER, ANIMATION_CONTROL, COLOUR_ROWS, FRAME_CONTROL, COLOUR_HEADER),
        CorruptImageError,
    ),
    "a million empty chunks": (
        lambda: png_file(ihdr(8, 8), chunk(b"teXt", b"") * (png.MAX_CHUNKS + 1)),
        CorruptImageError,
    ),
    "16 bits, colours, alpha, 50 million pixels": (
        lambda: png_file(ihdr(10000, 5000, 16, 6), chunk(b"IDAT", b"")),
        ImageTooLargeError,
    ),
    "thousands of scans": (lambda: progressive_jpeg(7000, 5000, 9000), ImageTimeoutError),
    "a JPEG of markers alone": (lambda: b"\xff\xd8\xff" + b"\xd8\xff" * 5_000_000, CorruptImageError),
    "a size stated twice, once as SLONG": (lambda: twice_stated(9), CorruptImageError),
    "a size stated twice": (lambda: twice_stated(3), CorruptImageError),
    "tags of 200 million values": (
        lambda: tiff_of([(tag, 1, 200_000_000, 150) for tag in (256, 257, 258, 259, 262, 273, 278, 279)]),
        CorruptImageError,
    ),
    "a directory of a million entries": (
        lambda: (
            b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, 10**6) + struct.pack("<HHQQ", 4000, 1, 1, 0) * 10**6
        ),
        CorruptImageError,
    ),
    "a canvas of 16 million columns": (huge_webp, ImageError),
    "a comment of very many blocks": (endless_gif, CorruptImageError),
    "a WEBP of chunks alone": (
        lambda: (
            b"RIFF"
            + struct.pack("<I", 8 * headers.MAX_WEBP_CHUNKS + 84)
            + b"WEBP"
            + b"JUNK\0\0\0\0" * (headers.MAX_WEBP_CHUNKS + 10)
        ),
        CorruptImageError,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_typed_error_soon_and_not_a_word(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make, kind = CASES[name]
    data = make()
    (tmp_path / "x").write_bytes(data)
    for source in (data, tmp_path / "x"):
        start = time.monotonic()
        with pytest.raises(kind):
            load_grey(source)
        assert time.monotonic() - start < SOON
    assert capfd.readouterr() == ("", "")


def test_a_frame_of_very_many_blocks_is_read_soon(capfd: pytest.CaptureFixture[str]) -> None:
    start = time.monotonic()
    assert decode_grey(frame_of_many_blocks()).shape == (32, 32)
    assert time.monotonic() - start < SOON
    assert capfd.readouterr() == ("", "")


def test_bounds_leave_room_for_real_files() -> None:
    assert MAX_PIXELS * 4 <= MAX_DECODED_BYTES < MAX_PIXELS * 6
    assert headers.MAX_TIFF_ENTRIES > 100
    assert jpeg.MAX_SEGMENTS > 1000


def test_the_timeout_is_the_callers() -> None:
    slow = progressive_jpeg(1000, 1000, 1000) + bytes(4_000_000)  # more bytes have more time
    with pytest.raises(ImageTimeoutError, match=r"the limit is 0\.05 s"):
        decode_grey(slow, timeout=0.05)


def test_an_animation_is_read_and_one_that_crashes_the_decoder_is_a_row(
    encode: Callable[..., bytes],
) -> None:
    from PIL import Image

    frames = [Image.new("L", (20, 12), tone) for tone in (10, 200, 90)]
    data = encode(frames[0], "PNG", save_all=True, append_images=frames[1:])
    assert b"acTL" in data
    assert (decode_grey(data) == 10).all()
    # Several in one go: the worker dies of some, and the others are read all the same.
    with_header = png_file(COLOUR_HEADER, ANIMATION_CONTROL, COLOUR_ROWS, FRAME_CONTROL)
    outcomes = list(decode_all([*map(encoded, [data, with_header, data, b"", data])], DecodeOptions()))
    assert [isinstance(outcome, ImageError) for outcome in outcomes][::2] == [False, False, False]
    assert isinstance(outcomes[3], CorruptImageError)


def encoded(data: bytes) -> object:
    from kalamos.images.decoding import Encoded

    return Encoded("x", data)


def test_text_and_profiles_are_not_unpacked(picture: np.ndarray) -> None:
    """Their decompression would take 200 MB each; libpng would print that it gives up."""
    rows = zlib.compress(b"".join(b"\0" + row.tobytes() for row in picture))
    bomb = b"k\0\0" + zlib.compress(bytes(30_000_000), 9)
    extras = [chunk(kind, bomb) for kind in (b"iCCP", b"zTXt")] + [
        chunk(b"hIST", b"a"),
        chunk(b"PLTE", bytes(6)),
    ]
    data = png_file(ihdr(20, 12), *extras, chunk(b"IDAT", rows))
    assert np.array_equal(decode_grey(data), picture)


@pytest.mark.parametrize(
    ("body", "harmless"),
    [
        (b"\0\0\1\2\3" * 2, True),
        (b"\0\0\1\2\3" * 3, True),
        (b"\0\0\1\2\3", False),
        (b"\5\0\1\2\3" * 2, False),
    ],
    ids=["right", "too much", "too little", "no such filter"],
)
def test_pixels_are_looked_at_before_libpng_sees_them(body: bytes, harmless: bool) -> None:
    data = png_file(ihdr(4, 2), chunk(b"IDAT", zlib.compress(body)))
    assert (png.inspect_png(data, "x").harmless(data) is not None) == harmless


def test_ordinary_files_need_no_worker(
    monkeypatch: pytest.MonkeyPatch, picture: np.ndarray, encode: Callable[..., bytes]
) -> None:
    from PIL import Image

    def no_worker(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr("kalamos.images.decoding.iterate_isolated", no_worker)
    grey = Image.fromarray(picture)
    for mode in ("L", "RGB", "RGBA", "P", "1", "LA"):
        assert decode_grey(encode(grey.convert(mode), "PNG")).shape == picture.shape
    for mode in ("L", "RGB"):
        for options in ({}, {"progressive": True}, {"restart_marker_blocks": 1}, {"subsampling": 1}):
            assert decode_grey(encode(grey.convert(mode), "JPEG", **options)).shape == picture.shape
    for suffix in (".png", ".jpg"):
        assert decode_grey(cv2.imencode(suffix, picture)[1].tobytes()).shape == picture.shape
    with pytest.raises(AssertionError):
        decode_grey(encode(grey, "TIFF"))


WITHOUT_PILLOW = """
import sys
import kalamos
from kalamos.images.decoding import DecodeOptions, Encoded, decode_all
images = [Encoded(path, open(path, "rb").read()) for path in sys.argv[1:]]
print([outcome.shape for outcome in decode_all(images, DecodeOptions())])
samples = ["samples/0-pen.png", "samples/2-photo.jpg"]
print([result.label for result in kalamos.load("digits").predict_batch(samples)])
print("PIL" in sys.modules)
"""


def test_pillow_is_loaded_by_workers_alone(
    tmp_path: Path, picture: np.ndarray, encode: Callable[..., bytes]
) -> None:
    from PIL import Image

    for kind in ("gif", "bmp", "webp", "tiff"):
        (tmp_path / f"a.{kind}").write_bytes(encode(Image.fromarray(picture), kind.upper()))
    command = [sys.executable, "-c", WITHOUT_PILLOW, *sorted(map(str, tmp_path.iterdir()))]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [str([picture.shape] * 4), "['0', '2']", "False"], done.stderr


def test_large_files_are_not_read_here(tmp_path: Path, picture: np.ndarray) -> None:
    rows = zlib.compress(b"".join(b"\0" + row.tobytes() for row in picture))
    padding = chunk(b"tEXt", b"a\0" + bytes(MAX_BYTES_DECODED_HERE))
    path = tmp_path / "a.png"
    path.write_bytes(png_file(ihdr(20, 12), padding, chunk(b"IDAT", rows)))
    assert fetch(path).source == str(path)
    assert np.array_equal(load_grey(path), picture)


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/fd")
def test_a_large_file_that_this_process_alone_can_open(tmp_path: Path, picture: np.ndarray) -> None:
    _, data = cv2.imencode(".bmp", cv2.resize(picture, (400, 300)))
    (tmp_path / "a.bmp").write_bytes(data.tobytes())
    with (tmp_path / "a.bmp").open("rb") as file:
        load_grey(tmp_path / "a.bmp")  # a worker that has not inherited the file is there
        assert load_grey(f"/dev/fd/{file.fileno()}").shape == (300, 400)


SHORT_OF_MEMORY = """
import resource, sys
import numpy as np
import kalamos
reader = kalamos.load("digits")
reader.predict_batch([sys.argv[1]])
used = int(open("/proc/self/statm").read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (used + 12 * 2**20,) * 2)
for result in reader.predict_batch([sys.argv[2], sys.argv[1]]):
    print(result.label, type(result.error).__name__, result.error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited on Linux alone")
def test_too_little_memory_is_told_as_such_and_ends_no_batch(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (2000, 2000), "white").save(tmp_path / "large.png")
    sample = Path(__file__).parents[2] / "samples" / "0-pen.png"
    command = [sys.executable, "-c", SHORT_OF_MEMORY, sample, tmp_path / "large.png"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    first, second = told.stdout.splitlines()
    assert first.startswith("None ImageTooLargeError")
    assert "too large to decode here" in first
    assert second == "0 NoneType None"
