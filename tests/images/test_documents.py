"""Pages of PDF and TIFF come one by one, as they look; a bad page is one error, and a bad file is one."""

from __future__ import annotations

import io
import os
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from fuzz.documents import SQUARE, pages_of, pdf_file, stream, tiff_of_pages
from fuzz.images.pictures import long_zlib
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from kalamos.errors import (
    CorruptImageError,
    ImageError,
    ImageNotFoundError,
    ImageTimeoutError,
    ImageTooLargeError,
    UnsupportedImageError,
    UsageError,
)
from kalamos.images import documents, load_grey
from kalamos.images.documents import DocumentPage, holds_pages, read_pages
from kalamos.images.pdf import MAX_SCAN_PIXELS
from kalamos.isolation.pool import memory_figure, worker_pool

pytest.importorskip("pypdfium2")

SOON = 20.0
"""Seconds by the clock; of the processor's time it is 1.5, but this machine may be busy."""

HEAVY = b"0 0 595 842 re f " * 20_000
"""A page's content that takes minutes."""

WITH_PICTURE = b"/Resources << /XObject << /I 3 0 R >> >>"


def drawn(number: int, height: int = 420, width: int = 300) -> np.ndarray:
    """A page with its number on it."""
    page = np.full((height, width), 240, np.uint8)
    cv2.putText(page, str(number), (30, 200), cv2.FONT_HERSHEY_SIMPLEX, 5, 20, 12)
    page[:9, :40] = 0  # the upper left corner
    return page


def scan_of(
    pixels: np.ndarray, place: bytes, *, before: bytes = b"", more: bytes = b"", **options: object
) -> bytes:
    """A PDF of one page with one losslessly kept picture on it."""
    height, width = pixels.shape
    picture = stream(
        zlib.compress(pixels.tobytes()),
        b"/Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /DeviceGray /BitsPerComponent 8 "
        b"/Filter /FlateDecode" % (width, height),
    )
    content = b"q %s%s cm /I Do Q %s" % (before, place, more)
    entries = WITH_PICTURE + bytes(options.pop("entries", b""))
    return pdf_file(pages_of(content, entries=entries, more=[picture], **options))


def tiff(*pages: np.ndarray | Image.Image, **options: object) -> bytes:
    first, *others = [page if isinstance(page, Image.Image) else Image.fromarray(page) for page in pages]
    buffer = io.BytesIO()
    first.save(buffer, "TIFF", save_all=True, append_images=others, **options)
    return buffer.getvalue()


def outcomes(pages: Iterator[DocumentPage]) -> list[str]:
    """Each page's name, and `ok` or its error's class."""
    return [
        f"{page.name} {'ok' if isinstance(page.image, np.ndarray) else type(page.image).__name__}"
        for page in pages
    ]


class TestPdf:
    def test_a_drawn_page_is_rendered_at_the_resolution_asked_for(self) -> None:
        data = pdf_file(pages_of(b"0 0 0 rg 36 36 72 72 re f", size=(144, 216)))
        for dpi in (72, 100, 300):
            [page] = read_pages(data, dpi=dpi)
            assert isinstance(page.image, np.ndarray)
            assert page.image.shape == (3 * dpi, 2 * dpi)
            assert (page.number, page.dpi) == (1, dpi)
            assert page.image.dtype == np.uint8
            assert page.image.flags.c_contiguous
            # The square is an inch wide, half an inch from the left and from the bottom of the page.
            rows, columns = np.nonzero(page.image < 128)
            inch = [rows.min(), rows.max() + 1, columns.min(), columns.max() + 1]
            assert np.abs(np.array(inch) / dpi - [1.5, 2.5, 0.5, 1.5]).max() < 1.5 / dpi
            assert set(np.unique(page.image)) >= {0, 255}

    @pytest.mark.parametrize("resolution", [60, 100, 204, 300])
    def test_a_page_that_is_a_scan_keeps_its_pixels(self, resolution: int) -> None:
        pixels = np.random.default_rng(resolution).integers(0, 256, (421, 297), np.uint8)
        size = 297 / resolution * 72, 421 / resolution * 72
        [page] = read_pages(scan_of(pixels, b"%f 0 0 %f 0 0" % size, size=size))
        assert isinstance(page.image, np.ndarray)
        assert page.image.shape == pixels.shape
        assert np.abs(page.image.astype(int) - pixels).max() <= 2
        assert page.dpi == pytest.approx(resolution, abs=0.1)

    def test_a_scan_of_many_pixels_keeps_them_too(self) -> None:
        """Sizes in points have six digits here, as in many files."""
        pixels = np.random.default_rng(1).integers(0, 256, (2338, 1653), np.uint8)
        size = 1653 / 200 * 72, 2338 / 200 * 72
        [page] = read_pages(scan_of(pixels, b"%g 0 0 %g 0 0" % size, size=size))
        assert isinstance(page.image, np.ndarray)
        assert np.array_equal(page.image, pixels)

    @pytest.mark.parametrize(
        ("more", "entries"),
        [
            (b"", b"/CropBox [100 0 300 420]"),
            (b"q 0 0 0 rg 100 0 200 420 re f Q", b""),
            (b"/I Do", b""),
            (b"", b"/Annots [<< /Type /Annot /Subtype /Stamp /Rect [0 0 9 9] /F 4 >>]"),
        ],
    )
    def test_what_hides_or_covers_a_scan_is_rendered(self, more: bytes, entries: bytes) -> None:
        pixels = np.random.default_rng(1).integers(0, 256, (420, 300), np.uint8)
        data = scan_of(pixels, b"300 0 0 420 0 0", size=(300, 420), more=more, entries=entries)
        [page] = read_pages(data, dpi=72)
        assert isinstance(page.image, np.ndarray)
        expected = pixels[:, 100:] if b"Crop" in entries else pixels.copy()
        if b"re f" in more:
            expected[:, 100:] = 0
        assert page.image.shape == expected.shape
        assert (page.image[:, :90] == expected[:, :90]).mean() > 0.99
        assert (page.image == expected).mean() > 0.98

    def test_a_clipped_scan_shows_no_more_than_the_page(self) -> None:
        pixels = np.full((420, 300), 9, np.uint8)
        clip = b"0 0 9 9 re W n "
        [page] = read_pages(scan_of(pixels, b"300 0 0 420 0 0", before=clip, size=(300, 420)))
        assert isinstance(page.image, np.ndarray)
        assert (page.image == 255).mean() > 0.99

    def test_a_scan_in_strips_keeps_its_resolution(self) -> None:
        strip = stream(
            zlib.compress(bytes(range(250)) * 10),
            b"/Type /XObject /Subtype /Image /Width 250 /Height 10 /ColorSpace /DeviceGray "
            b"/BitsPerComponent 8 /Filter /FlateDecode",
        )
        content = b"".join(b"q 60 0 0 2.4 0 %f cm /I Do Q " % (2.4 * number) for number in range(25))
        [page] = read_pages(pdf_file(pages_of(content, size=(60, 60), entries=WITH_PICTURE, more=[strip])))
        assert page.dpi == pytest.approx(300)

    def test_a_scan_turned_by_the_page_is_upright(self) -> None:
        pixels = drawn(7)
        data = scan_of(pixels, b"300 0 0 420 0 0", size=(300, 420), entries=b"/Rotate 90")
        [page] = read_pages(data)
        assert isinstance(page.image, np.ndarray)
        assert np.array_equal(page.image, np.rot90(pixels, -1))

    def test_an_invisible_layer_of_text_does_not_make_a_scan_a_drawing(self) -> None:
        text = b"BT 3 Tr /F 9 Tf 10 10 Td (seven) Tj ET"
        pixels, size = drawn(7), (300, 420)
        [hidden] = read_pages(scan_of(pixels, b"300 0 0 420 0 0", size=size, more=text))
        [shown] = read_pages(
            scan_of(pixels, b"300 0 0 420 0 0", size=size, more=text.replace(b"3 Tr", b"0 Tr"))
        )
        assert hidden.dpi == 72
        assert shown.dpi == 200

    def test_a_large_scan_is_reduced_though_not_below_what_is_asked_for(self) -> None:
        pixels = np.full((6_000, 4_000), 255, np.uint8)
        pixels[100:200] = 0
        place, size = b"480 0 0 720 0 0", (480, 720)  # 600 dpi
        [page] = read_pages(scan_of(pixels, place, size=size))
        assert isinstance(page.image, np.ndarray)
        assert page.image.size == pytest.approx(MAX_SCAN_PIXELS, rel=0.01)
        [page] = read_pages(scan_of(pixels, place, size=size), dpi=550)
        assert page.dpi == pytest.approx(550)

    def test_a_page_has_no_more_than_so_many_pixels(self) -> None:
        data = pdf_file(pages_of(SQUARE, size=(1_000, 14_000)))
        [page] = read_pages(data, max_pixels=1_000_000)
        assert isinstance(page.image, np.ndarray)
        assert 990_000 < page.image.size <= 1_000_000
        assert page.dpi is not None
        assert page.image.shape[0] == pytest.approx(14_000 / 72 * page.dpi, abs=1)

    def test_comments_and_filled_fields_are_seen(self) -> None:
        appearance = stream(b"0 g 0 0 50 50 re f", b"/Type /XObject /Subtype /Form /BBox [0 0 50 50]")
        for kind in (b"/Stamp", b"/Ink", b"/Widget /FT /Tx /T (name) /V (7) /DA (/Helv 9 Tf 0 g)"):
            note = b"<< /Type /Annot /Subtype %s /Rect [50 50 100 100] /F 4 /AP << /N 3 0 R >> >>" % kind
            objects = pages_of(b"", entries=b"/Annots [4 0 R]", more=[appearance, note])
            objects[0] = objects[0].replace(b">>", b"/AcroForm << /Fields [4 0 R] >> >>")
            [page] = read_pages(pdf_file(objects))
            assert isinstance(page.image, np.ndarray)
            assert (page.image < 128).sum() == pytest.approx((50 / 72 * 200) ** 2, rel=0.05)

    def test_colours_become_grey_as_those_of_images_do(self) -> None:
        [page] = read_pages(pdf_file(pages_of(b"1 0 0 rg 0 0 99 99 re f", size=(99, 99))))
        assert isinstance(page.image, np.ndarray)
        assert page.image[9, 9] == load_grey(np.full((1, 1, 3), (255, 0, 0), np.uint8))[0, 0]

    def test_what_lies_before_the_signature(self) -> None:
        assert outcomes(read_pages(b"\r\n\n" + pdf_file(pages_of(SQUARE)))) == ["the bytes#1 ok"]


class TestTiff:
    def test_pages_of_every_kind_are_read_as_alone(self) -> None:
        bilevel = Image.fromarray(drawn(1)).convert("1")
        deep = Image.fromarray(drawn(3).astype(np.uint16) * 257)
        pages = [bilevel, Image.fromarray(drawn(2)).convert("RGB"), deep, Image.fromarray(drawn(4))]
        data = tiff(*pages)
        read = [page.image for page in read_pages(data)]
        for page, image in zip(pages, read, strict=True):
            assert isinstance(image, np.ndarray)
            assert np.array_equal(image, load_grey(tiff(page)))
        assert [np.abs(image.astype(int) - drawn(number)).max() for number, image in enumerate(read, 1)][
            1:
        ] == [0, 0, 0]

    @pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", None])
    @pytest.mark.parametrize("big", [False, True])
    def test_compressed_pages(self, compression: str | None, big: bool) -> None:
        data = tiff(drawn(1), drawn(2), drawn(3), compression=compression, big_tiff=big)
        for number, page in enumerate(read_pages(data), 1):
            assert isinstance(page.image, np.ndarray)
            assert np.abs(page.image.astype(int) - drawn(number)).mean() < 3
        assert number == 3

    def test_the_resolution_is_what_the_page_says(self) -> None:
        assert [page.dpi for page in read_pages(tiff(drawn(1), drawn(2), dpi=(300, 300)))] == [300, 300]
        assert [page.dpi for page in read_pages(tiff(drawn(1), drawn(2)))] == [None, None]
        centimetres = {282: 100.0, 283: 100.0, 296: 3}
        [one, _] = read_pages(tiff(drawn(1), drawn(2), tiffinfo=centimetres))
        assert one.dpi == pytest.approx(254)

    def test_a_turned_page_is_upright(self) -> None:
        [one, two] = read_pages(tiff(drawn(1), drawn(2), tiffinfo={274: 6}))
        assert isinstance(one.image, np.ndarray)
        assert np.array_equal(one.image, np.rot90(drawn(1), -1))
        assert isinstance(two.image, np.ndarray)

    def test_smaller_copies_of_pages_are_no_pages(self) -> None:
        one, copy, two = (Image.fromarray(drawn(number)) for number in (1, 9, 2))
        buffer = io.BytesIO()
        copy.encoderinfo = {"tiffinfo": {254: 1}}
        one.save(buffer, "TIFF", save_all=True, append_images=[copy, two])
        read = list(read_pages(buffer.getvalue()))
        assert [page.name for page in read] == ["the bytes#1", "the bytes#2"]
        assert isinstance(read[1].image, np.ndarray)
        assert np.array_equal(read[1].image, drawn(2))

    def test_one_page_has_the_name_of_the_file(self, tmp_path: Path) -> None:
        path = tmp_path / "a.tif"
        path.write_bytes(tiff(drawn(1)))
        assert outcomes(read_pages(path)) == [f"{path.as_posix()} ok"]

    def test_a_page_too_large_or_damaged_is_one_error(self) -> None:
        data = tiff(drawn(1), drawn(2, 1000, 1000), drawn(3))
        assert outcomes(read_pages(data, max_pixels=500_000)) == [
            "the bytes#1 ok",
            "the bytes#2 ImageTooLargeError",
            "the bytes#3 ok",
        ]
        cut = tiff(drawn(1), drawn(2), drawn(3), compression="tiff_lzw")
        [*_, last] = read_pages(cut[:-9])
        assert isinstance(last.image, CorruptImageError)
        assert last.image.problem.startswith(f"{last.name}: ")

    @pytest.mark.parametrize(
        ("last", "problem"), [(8, "lead in a circle"), (2**31, "a directory is incomplete")]
    )
    def test_directories_that_lead_astray(self, last: int, problem: str) -> None:
        *pages, lost = read_pages(tiff_of_pages(3, last=last), name="a.tif")
        assert outcomes(iter(pages)) == ["a.tif#1 ok", "a.tif#2 ok", "a.tif#3 ok"]
        assert isinstance(lost.image, CorruptImageError)
        assert str(lost.image).startswith("a.tif#4: the TIFF is ")
        assert problem in str(lost.image)


class TestOther:
    def test_an_image_is_one_page(self) -> None:
        sample = Path("samples/2-photo.jpg")
        [page] = read_pages(sample)
        assert page[:2] == ("samples/2-photo.jpg", 1)
        assert isinstance(page.image, np.ndarray)
        assert np.array_equal(page.image, load_grey(sample))
        for source in (sample.read_bytes(), io.BytesIO(sample.read_bytes()), page.image):
            [other] = read_pages(source, name="x")
            assert other.name == "x"
            assert isinstance(other.image, np.ndarray)
            assert np.array_equal(other.image, page.image)

    def test_every_door_leads_to_the_same_pages(self, tmp_path: Path) -> None:
        data = pdf_file(pages_of(SQUARE, b""))
        path = tmp_path / "scan.png"  # whatever it is called
        path.write_bytes(data)
        expected = [page.image for page in read_pages(data)]
        with path.open("rb") as file:
            for source, name in (
                (path, path.as_posix()),
                (str(path), str(path)),
                (bytearray(data), "the bytes"),
                (file, "the open file"),
            ):
                pages = list(read_pages(source))
                assert [page.name for page in pages] == [f"{name}#1", f"{name}#2"]
                for page, image in zip(pages, expected, strict=True):
                    assert np.array_equal(page.image, image)

    @pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="there is no /dev/fd here")
    def test_a_file_that_only_this_process_can_open(self, tmp_path: Path) -> None:
        path = tmp_path / "a.pdf"
        path.write_bytes(pdf_file(pages_of(SQUARE)))
        with path.open("rb") as file:
            # Of this number the worker has another file, or none.
            os.dup2(file.fileno(), 97)
        try:
            assert outcomes(read_pages("/dev/fd/97")) == ["/dev/fd/97#1 ok"]
        finally:
            os.close(97)

    def test_what_holds_pages(self, tmp_path: Path) -> None:
        one, two, pdf = tiff(drawn(1)), tiff(drawn(1), drawn(2)), pdf_file(pages_of(b""))
        assert [holds_pages(data) for data in (one, two, pdf, b"", two[:9], two[:-1])] == [
            *(False, True, True, False, False),
            two[:-1] is not None,
        ]
        assert holds_pages(tiff(drawn(1), drawn(2), big_tiff=True))
        (tmp_path / "a").write_bytes(two)
        assert holds_pages(tmp_path / "a")
        assert not holds_pages(tmp_path)
        assert not holds_pages(tmp_path / "none")

    @pytest.mark.parametrize(
        "options", [{"dpi": 0}, {"dpi": 1e6}, {"dpi": float("nan")}, {"max_pages": 0}, {"max_pixels": 0}]
    )
    def test_options_out_of_range_are_refused_at_once(self, options: dict[str, float]) -> None:
        with pytest.raises(UsageError):
            read_pages("no-such-file.pdf", **options)

    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(ImageNotFoundError, match="no such file"):
            next(read_pages(tmp_path / "none.pdf"))


class TestHostile:
    @pytest.mark.parametrize(
        ("data", "kind", "problem"),
        [
            (pdf_file([b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Count 0 /Kids [] >>"]),
             CorruptImageError, "it has no pages"),
            (pdf_file(pages_of(SQUARE))[:-9], CorruptImageError, "the PDF is truncated"),
            (pdf_file(pages_of(SQUARE))[:300], CorruptImageError, "the PDF is truncated"),
            (b"%PDF-1.7\n%%EOF", CorruptImageError, "cannot be opened"),
            (b"%PDF-1.7\n" + os.urandom(3_000) + b"%%EOF", CorruptImageError, "cannot be opened"),
            (pdf_file([*pages_of(SQUARE), b"[" * 1_000_000]).replace(b"/Pages 2 0 R", b"/Pages 5 0 R"),
             CorruptImageError, "cannot be opened"),
        ],
    )  # fmt: skip
    def test_a_bad_file_is_one_typed_error(self, data: bytes, kind: type[ImageError], problem: str) -> None:
        start = time.monotonic()
        with pytest.raises(kind, match=problem) as caught:
            list(read_pages(data, name="scan.pdf"))
        assert str(caught.value).startswith("scan.pdf: ")
        assert caught.value.remedy
        assert time.monotonic() - start < SOON

    def test_a_password(self) -> None:
        """A file that pypdfium2 can open only with a password (40 bit RC4, made by hand)."""
        lock = b"/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O <%s> /U <%s> >> /ID [<00> <00>]" % (
            b"5a" * 32,
            b"a5" * 32,
        )
        with pytest.raises(UnsupportedImageError, match="locked by a password") as caught:
            list(read_pages(pdf_file(pages_of(SQUARE), trailer=lock)))
        assert "save a copy without" in caught.value.remedy
        other = lock.replace(b"/Standard", b"/Unheard")
        with pytest.raises(UnsupportedImageError, match="encrypted in a way that cannot be read"):
            list(read_pages(pdf_file(pages_of(SQUARE), trailer=other)))

    def test_more_pages_than_allowed(self) -> None:
        for data in (pdf_file(pages_of(SQUARE, SQUARE, SQUARE)), tiff(drawn(1), drawn(2), drawn(3))):
            with pytest.raises(ImageTooLargeError, match="3 pages are more than the limit of 2; split it"):
                next(read_pages(data, max_pages=2))
        million = pages_of(SQUARE)
        million[1] = million[1].replace(b"/Count 1", b"/Count 1000000")
        with pytest.raises(ImageTooLargeError, match="1,000,000 pages are more than"):
            next(read_pages(pdf_file(million)))

    @pytest.mark.parametrize(
        ("entries", "kind", "problem"),
        [
            (b"/MediaBox [0 0 1000000 1000000]", ImageTooLargeError, "1,000,000 x 1,000,000 points"),
            (b"/MediaBox [0 0 100 14401]", ImageTooLargeError, "more than the limit of 14,400"),
        ],
    )
    def test_an_absurd_page(self, entries: bytes, kind: type[ImageError], problem: str) -> None:
        objects = pages_of(SQUARE, SQUARE, SQUARE)
        objects[4] = objects[4].replace(b"/MediaBox [0 0 595 842]", entries)
        one, two, three = read_pages(pdf_file(objects), name="scan.pdf")
        assert isinstance(two.image, kind)
        assert str(two.image).startswith("scan.pdf#2: ")
        assert problem in str(two.image)
        assert two.image.remedy
        assert isinstance(one.image, np.ndarray)
        assert np.array_equal(one.image, three.image)

    def test_a_page_that_is_not_there(self) -> None:
        objects = pages_of(SQUARE, SQUARE, SQUARE)
        objects[4] = b"null"
        assert outcomes(read_pages(pdf_file(objects), name="a")) == [
            "a#1 ok",
            "a#2 CorruptImageError",
            "a#3 ok",
        ]

    @pytest.mark.parametrize("name", [b"/DCTDecode", b"/FlateDecode", b"/JPXDecode", b"/JBIG2Decode"])
    def test_a_scan_that_cannot_be_decoded_is_no_blank_page(self, name: bytes) -> None:
        entries = b"/Type /XObject /Subtype /Image /Width 90 /Height 90 /ColorSpace /DeviceGray "
        picture = stream(b"\xff\xd8\xff" + bytes(50), entries + b"/BitsPerComponent 8 /Filter " + name)
        for size in ((595, 842), (500, 500)):
            content = b"q %d 0 0 %d 0 0 cm /I Do Q" % size
            data = pdf_file(pages_of(content, SQUARE, size=size, entries=WITH_PICTURE, more=[picture]))
            one, two = read_pages(data)
            assert isinstance(one.image, CorruptImageError), one
            assert isinstance(two.image, np.ndarray)

    def test_an_empty_page_is_white(self) -> None:
        [page] = read_pages(pdf_file(pages_of(b"")))
        assert isinstance(page.image, np.ndarray)
        assert page.image.min() == 255

    @pytest.mark.skipif(sys.platform != "linux", reason="processor time is looked at on Linux alone")
    def test_pages_that_take_for_ever_are_errors_and_few_are_tried(self) -> None:
        start = time.monotonic()
        pages = list(read_pages(pdf_file(pages_of(SQUARE, HEAVY, SQUARE)), name="a"))
        assert outcomes(iter(pages)) == ["a#1 ok", "a#2 ImageTimeoutError", "a#3 ok"]
        assert str(pages[1].image).startswith("a#2: decoding it takes too long")
        many = pages_of(SQUARE, *[HEAVY] * 20, SQUARE)
        pages = list(read_pages(pdf_file(many), name="a", timeout=0.5))
        assert len(pages) == 22
        tried = documents.MAX_LOST_WORKERS
        assert all(isinstance(page.image, ImageTimeoutError) for page in pages[1:])
        given_up = [str(page.image) for page in pages if "not read: " in str(page.image)]
        assert len(given_up) == 21 - tried
        assert given_up[-1].startswith(f"a#22: not read: {tried} pages before it")
        assert time.monotonic() - start < 3 * SOON

    def test_a_page_that_kills_its_worker_is_one_error(self) -> None:
        """Stands in for a crash of PDFium, of which none is known: the worker is killed between two pages."""
        data = pdf_file(pages_of(*[SQUARE] * 20, size=(1_000, 1_000)))
        found = []
        for page in read_pages(data, name="a"):
            found.append(page)
            if page.number == 2:
                for worker in list(worker_pool._all):
                    worker._process.kill()
        assert len(found) == 20
        lost = [page for page in found if isinstance(page.image, ImageError)]
        assert len(lost) == 1
        assert str(lost[0].image).startswith(f"a#{lost[0].number}: ")

    @pytest.mark.skipif(sys.platform != "linux", reason="memory is limited by the system on Linux alone")
    @pytest.mark.parametrize("filters", [1, 2])
    def test_a_stream_that_is_blown_up(self, filters: int) -> None:
        content = long_zlib(3_000_000_000 // 1000 * 300)
        for _ in range(filters - 1):
            content = zlib.compress(content)
        objects = pages_of(SQUARE, SQUARE)
        objects[3] = stream(content, b"/Filter [%s]" % b" ".join([b"/FlateDecode"] * filters))
        one, two = read_pages(pdf_file(objects))
        assert isinstance(one.image, np.ndarray | ImageError)
        assert isinstance(two.image, np.ndarray)

    @pytest.mark.parametrize("levels", [1_000, 200_000])
    def test_very_many_levels(self, levels: int) -> None:
        form = stream(b"/I Do /I Do", b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] " + WITH_PICTURE)
        for objects in (
            pages_of(b"q " * levels + SQUARE, SQUARE),
            pages_of(b"/I Do", SQUARE, entries=WITH_PICTURE, more=[form]),
            [*pages_of(SQUARE, SQUARE), b"[" * levels + b"]" * levels],
        ):
            one, two = read_pages(pdf_file(objects))
            assert isinstance(one.image, np.ndarray | ImageError)
            assert isinstance(two.image, np.ndarray)

    def test_a_tree_of_pages_that_holds_itself(self) -> None:
        objects = pages_of(SQUARE)
        objects[1] = b"<< /Type /Pages /Count 3 /Kids [2 0 R 3 0 R 2 0 R] >>"
        found = outcomes(read_pages(pdf_file(objects), name="a"))
        assert len(found) in {1, 2, 3}

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(data=st.data())
    def test_mutants_are_pages_or_errors(self, data: st.DataObject) -> None:
        mutant = bytearray(pdf_file(pages_of(SQUARE, SQUARE, size=(60, 60))))
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(mutant) - 1))
            match data.draw(st.sampled_from(["change", "drop", "splice"])):
                case "change":
                    mutant[at] = data.draw(st.integers(0, 255))
                case "drop":
                    del mutant[at : at + data.draw(st.integers(1, 16))]
                case _:
                    other = data.draw(st.integers(0, len(mutant) - 1))
                    mutant[at:at] = mutant[other : other + 24]
        found: list[np.ndarray | ImageError] = []
        try:
            found += [page.image for page in islice(read_pages(bytes(mutant)), 50)]
        except ImageError as error:
            found.append(error)
        assert found
        for image in found:
            assert image.ndim == 2 if isinstance(image, np.ndarray) else str(image).isprintable()

    def test_reading_is_given_up_when_the_run_ends(self) -> None:
        stopping = threading.Event()
        pages = read_pages(pdf_file(pages_of(*[SQUARE] * 500)), stopping=stopping)
        next(pages)
        stopping.set()
        with pytest.raises(ImageTimeoutError, match="interrupted"):
            list(pages)

    def test_leaving_early_ends_the_work(self) -> None:
        pages = read_pages(pdf_file(pages_of(*[SQUARE] * 500)))
        next(pages)
        busy = set(worker_pool._all) - set(worker_pool._idle)
        pages.close()
        assert busy
        assert all(not worker.alive for worker in busy)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is told by Linux's /proc")
def test_memory_does_not_grow_with_the_pages(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (400, 300), np.uint8)
    picture = cv2.imencode(".jpg", pixels)[1].tobytes()
    entries = b"/Type /XObject /Subtype /Image /Width 300 /Height 400 /ColorSpace /DeviceGray "
    scan = stream(picture, entries + b"/BitsPerComponent 8 /Filter /DCTDecode")
    count = 80
    # Each page has a picture of its own, or a cache would hold one for all.
    more = [scan.replace(b"/Type", b"/N %d /Type" % number) for number in range(count)]
    objects = pages_of(*[b"q 216 0 0 288 0 0 cm /I Do Q"] * count, size=(216, 288), more=more)
    for number in range(count):
        at = 2 + count + 2 * number
        objects[at] = objects[at].replace(
            b">>", b"/Resources << /XObject << /I %d 0 R >> >> >>" % (3 + number), 1
        )
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf_file(objects))
    here, there = [], []
    for page in read_pages(path):
        assert isinstance(page.image, np.ndarray)
        assert np.abs(page.image.astype(int) - cv2.imdecode(np.frombuffer(picture, np.uint8), 0)).max() <= 1
        if page.number in {30, count}:
            [busy] = set(worker_pool._all) - set(worker_pool._idle)
            here.append(memory_figure(1))
            there.append(memory_figure(1, str(busy.pid)))
    assert here[1] - here[0] < 8e6
    assert there[1] - there[0] < 8e6


def test_without_the_extra_the_error_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, absent: Callable[[str], None]
) -> None:
    absent("pypdfium2")
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf_file(pages_of(SQUARE)))
    with pytest.raises(UnsupportedImageError) as caught:
        next(read_pages(path))
    assert str(caught.value) == (
        f"{path}: reading PDF needs pypdfium2, not installed here; "
        "install it with: pip install 'kalamos[forms]'"
    )
    # All else is read as ever.
    assert outcomes(read_pages(tiff(drawn(1), drawn(2)), name="a")) == ["a#1 ok", "a#2 ok"]


def test_a_worker_without_the_extra_says_so_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken installation: the library is there, and cannot be imported."""
    (tmp_path / "pypdfium2.py").write_text("raise ImportError('broken')")
    monkeypatch.syspath_prepend(tmp_path)
    worker_pool.close()
    try:
        with pytest.raises(UnsupportedImageError, match=r"pip install 'kalamos\[forms\]'"):
            next(read_pages(pdf_file(pages_of(SQUARE))))
    finally:
        worker_pool.close()
