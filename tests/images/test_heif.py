"""HEIC and AVIF are images like the others; without its library HEIC is one error that names the extra."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from kalamos.errors import CorruptImageError, ImageError, ImageTooLargeError, UnsupportedImageError
from kalamos.images import decode_grey, image_format, load_grey
from kalamos.images.decoding import DecodeOptions, Encoded, decode_all, fetch
from kalamos.images.heif import heif_format
from kalamos.isolation.pool import worker_pool

pillow_heif = pytest.importorskip("pillow_heif")

EXACT, LOSSY = 1, 8
"""Levels of grey: of files without loss, whose colours are still made YCbCr, and of others."""


def heic(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    exif = options.pop("exif", None)
    file = pillow_heif.from_pillow(image)
    file.info["exif"] = exif
    file.save(buffer, **{"quality": -1, "chroma": 444, "matrix_coefficients": 0, **options})
    return buffer.getvalue()


def avif(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "AVIF", **{"quality": 100, "subsampling": "4:4:4", **options})
    return buffer.getvalue()


def ftyp(*brands: bytes) -> bytes:
    return (
        (16 + 4 * len(brands[1:])).to_bytes(4, "big") + b"ftyp" + brands[0] + bytes(4) + b"".join(brands[1:])
    )


@pytest.mark.parametrize(
    ("brands", "kind"),
    [
        ((b"heic", b"mif1", b"heic"), "HEIC"),
        ((b"mif1", b"heic"), "HEIC"),
        ((b"mif1", b"miaf"), "HEIC"),
        ((b"heix",), "HEIC"),
        ((b"msf1", b"hevc"), "HEIC"),
        ((b"avif", b"mif1", b"miaf"), "AVIF"),
        ((b"mif1", b"avif", b"heic"), "AVIF"),
        ((b"avis", b"msf1"), "AVIF"),
        ((b"isom", b"mp42"), None),
        ((b"qt  ",), None),
    ],
)
def test_formats_are_told_by_their_brands(brands: tuple[bytes, ...], kind: str | None) -> None:
    data = ftyp(*brands)
    assert heif_format(data + bytes(99)) == kind
    assert heif_format(data) == kind
    if kind is None:
        with pytest.raises(UnsupportedImageError):
            image_format(data + bytes(99))
    else:
        assert image_format(data + bytes(99)) == kind


def test_a_film_is_not_taken_for_an_image() -> None:
    with pytest.raises(UnsupportedImageError, match="looks like nothing known"):
        decode_grey(ftyp(b"isom", b"iso2", b"mp41") + bytes(200))


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_heic(picture: np.ndarray, mode: str) -> None:
    read = decode_grey(heic(Image.fromarray(picture).convert(mode)))
    assert read.shape == picture.shape
    assert read.flags.c_contiguous
    assert np.abs(read.astype(int) - picture).max() <= EXACT


def test_heic_of_ten_bits(picture: np.ndarray) -> None:
    deep = np.dstack([picture.astype(np.uint16) * 257] * 3)
    file = pillow_heif.from_bytes("RGB;16", (20, 12), deep.tobytes())
    buffer = io.BytesIO()
    file.save(buffer, quality=-1, chroma=444, matrix_coefficients=0)
    assert np.abs(decode_grey(buffer.getvalue()).astype(int) - picture).max() <= EXACT


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_avif(picture: np.ndarray, mode: str) -> None:
    read = decode_grey(avif(Image.fromarray(picture).convert(mode)))
    assert read.shape == picture.shape
    assert np.abs(read.astype(int) - picture).max() <= LOSSY


@pytest.mark.parametrize("encode", [heic, avif])
def test_ink_under_alpha_is_kept(picture: np.ndarray, encode: Callable[..., bytes]) -> None:
    ink = Image.fromarray(np.zeros((12, 20, 3), np.uint8))
    ink.putalpha(Image.fromarray(np.where(picture < 200, 255, 0).astype(np.uint8)))
    read = decode_grey(encode(ink))
    assert (read[picture < 200] < 40).all()
    assert (read[picture >= 200] > 200).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_heic_is_turned_by_its_own_word(
    picture: np.ndarray, exif: Callable[..., bytes], orientation: int
) -> None:
    """A camera turns by `irot` and `imir`, and says so in the EXIF once more."""
    large = np.kron(picture, np.ones((8, 8), np.uint8))
    data = heic(Image.fromarray(large), exif=exif(orientation))
    assert (b"irot" in data or b"imir" in data) == (orientation != 1)
    block = io.BytesIO()
    Image.fromarray(large).save(block, "PNG", exif=exif(orientation))
    assert np.abs(decode_grey(data).astype(int) - load_grey(block.getvalue())).max() <= EXACT


@pytest.mark.parametrize("orientation", range(1, 9))
def test_avif_is_turned(picture: np.ndarray, exif: Callable[..., bytes], orientation: int) -> None:
    large = np.kron(picture, np.ones((8, 8), np.uint8))
    data = avif(Image.fromarray(large), exif=exif(orientation))
    block = io.BytesIO()
    Image.fromarray(large).save(block, "PNG", exif=exif(orientation))
    assert np.abs(decode_grey(data).astype(int) - load_grey(block.getvalue())).mean() <= LOSSY / 4


def test_of_several_images_the_primary_one_is_read(picture: np.ndarray) -> None:
    file = pillow_heif.from_pillow(Image.fromarray(picture))
    file.add_from_pillow(Image.new("L", (50, 50)))
    buffer = io.BytesIO()
    file.save(buffer, quality=-1, primary_index=0)
    assert decode_grey(buffer.getvalue()).shape == picture.shape


@pytest.mark.parametrize("encode", [heic, avif])
def test_sizes_and_damage(picture: np.ndarray, encode: Callable[..., bytes]) -> None:
    data = encode(Image.fromarray(picture).convert("RGB"))
    with pytest.raises(ImageTooLargeError, match="20 x 12 pixels are more than the limit of 239"):
        decode_grey(data, max_pixels=239)
    for cut in (len(data) - 9, len(data) // 2, 60):
        with pytest.raises(CorruptImageError, match=r"^x: "):
            decode_grey(data[:cut], where="x")
    sizes = [at + 8 for at in range(len(data)) if data[at : at + 4] == b"ispe"]
    assert sizes
    lie = data
    for at in sizes:
        lie = lie[:at] + b"\x7f\xff\xff\xff" * 2 + lie[at + 8 :]
    with pytest.raises(ImageError):
        decode_grey(lie)


def test_without_the_library_the_error_names_the_extra(
    picture: np.ndarray, tmp_path: Path, absent: Callable[[str], None]
) -> None:
    data = heic(Image.fromarray(picture))
    path = tmp_path / "IMG_0042.HEIC"
    path.write_bytes(data)
    big = tmp_path / "big.heic"
    big.write_bytes(data + bytes(100_000))
    absent("pillow_heif")
    remedy = "install it with: pip install 'kalamos[forms]'"
    for read in (
        lambda: load_grey(path),
        lambda: load_grey(big),
        lambda: load_grey(data),
        lambda: fetch(big),
    ):
        with pytest.raises(UnsupportedImageError, match="reading HEIC needs pillow_heif") as caught:
            read()
        assert caught.value.remedy == remedy
    assert load_grey(avif(Image.fromarray(picture))).shape == picture.shape


def test_a_worker_without_the_library_says_so_for_each_image(
    picture: np.ndarray, encode: Callable[..., bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken installation: the library is there, and cannot be imported."""
    data = heic(Image.fromarray(picture))
    (tmp_path / "pillow_heif.py").write_text("raise ImportError('broken')")
    monkeypatch.syspath_prepend(tmp_path)
    worker_pool.close()
    other = encode(Image.fromarray(picture), "GIF")
    try:
        one, two, three = decode_all(
            [Encoded("a", data), Encoded("b", other), Encoded("c", data)], DecodeOptions()
        )
    finally:
        worker_pool.close()
    assert isinstance(one, UnsupportedImageError)
    assert str(one).startswith("a: reading HEIC needs pillow_heif")
    assert isinstance(two, np.ndarray)
    assert str(three).startswith("c: reading HEIC")
