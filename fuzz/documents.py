"""Documents of pages: PDFs with circles, bombs, lies, damaged pictures; TIFFs with directories of chance."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Sequence

from fuzz.case import Case, mutated
from fuzz.images import tiff
from fuzz.images.pictures import encoded, long_zlib

__all__ = ["draw", "pages_of", "pdf_file", "stream", "tiff_of_pages"]

A4 = (595, 842)
"""Points."""

SQUARE = b"0 0 0 rg 100 300 200 200 re f"
"""A page's content: a black square."""


def draw(rng: random.Random) -> Case:
    """A PDF or a TIFF of pages."""
    recipes = {
        _sizes: 3,
        _circles: 3,
        _deep: 2,
        _bomb: 2,
        _picture: 4,
        _lies: 3,
        _operators: 3,
        _cut: 2,
        _edited: 5,
        _directories: 4,
    }
    [recipe] = rng.choices(list(recipes), list(recipes.values()))
    return recipe(rng)


def pdf_file(objects: Sequence[bytes], *, trailer: bytes = b"") -> bytes:
    r"""A PDF of these objects, numbered from 1, the first of which is the catalogue; its table is sound.

    >>> pdf_file([b"<< /Type /Catalog >>"])[:20]
    b'%PDF-1.7\n1 0 obj\n<< '
    """
    data = b"%PDF-1.7\n"
    places = []
    for number, content in enumerate(objects, 1):
        places.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    count = len(objects) + 1
    return data + (
        b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R %s >>\nstartxref\n%d\n%%%%EOF\n"
        % (count, table, count, trailer, len(data))
    )


def stream(content: bytes, entries: bytes = b"") -> bytes:
    """A stream object, uncompressed unless the entries say otherwise."""
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(content), entries, content)


def pages_of(
    *contents: bytes, size: tuple[float, float] = A4, entries: bytes = b"", more: Sequence[bytes] = ()
) -> list[bytes]:
    """The objects of a PDF with a page for each content; `more` of them come first, from number 3 on.

    Args:
        contents: the operators of each page.
        size: of the pages, in points.
        entries: what the pages' dictionaries have besides, such as resources.
        more: further objects.
    """
    first = 3 + len(more)
    kids = b" ".join(b"%d 0 R" % (first + 2 * number) for number in range(len(contents)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count %d /Kids [%s] >>" % (len(contents), kids),
        *more,
    ]
    for number, content in enumerate(contents):
        objects += [
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %g %g] /Contents %d 0 R %s >>"
            % (*size, first + 2 * number + 1, entries),
            stream(content),
        ]
    return objects


def _pdf(what: str, data: bytes, zeros: int = 0) -> Case:
    return Case(f"pdf: {what}", "a.pdf", data, zeros)


def _sizes(rng: random.Random) -> Case:
    """Pages of no size, of kilometres, turned upside down, of numbers that are none."""
    numbers = (0, 1, 0.001, 595, 14_400, 14_401, 1e6, 1e38, -595)
    size = rng.choice(numbers), rng.choice(numbers)
    entries = rng.choice(
        (b"", b"/Rotate 90", b"/Rotate 77", b"/UserUnit 1e9", b"/CropBox [5 5 6 6]", b"/MediaBox [0 0]")
    )
    return _pdf("sizes of pages", pdf_file(pages_of(SQUARE, SQUARE, size=size, entries=entries)))


def _circles(rng: random.Random) -> Case:
    """Objects that contain themselves: pages, forms, patterns, lengths, parents."""
    resources = b"/Resources << /XObject << /A 3 0 R >> >>"
    form = stream(
        b"/A Do " * rng.choice((1, 2, 50)), b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] " + resources
    )
    match rng.randrange(4):
        case 0:
            objects = pages_of(b"/A Do", entries=resources, more=[form])
        case 1:
            objects = pages_of(SQUARE)
            objects[1] = b"<< /Type /Pages /Count 9 /Kids [2 0 R 3 0 R 2 0 R] >>"
        case 2:
            objects = pages_of(SQUARE)
            objects[3] = b"<< /Length 4 0 R >>\nstream\n0 0 9 9 re f\nendstream"
        case _:
            pattern = stream(
                b"/Pattern cs /P scn 0 0 9 9 re f",
                b"/PatternType 1 /PaintType 1 /TilingType 1 /BBox [0 0 9 9] /XStep 0.001 /YStep 0.001 "
                b"/Resources << /Pattern << /P 3 0 R >> >>",
            )
            objects = pages_of(
                b"/Pattern cs /P scn 0 0 595 842 re f",
                entries=b"/Resources << /Pattern << /P 3 0 R >> >>",
                more=[pattern],
            )
    return _pdf("circles", pdf_file(objects))


def _deep(rng: random.Random) -> Case:
    """Very many levels: arrays, dictionaries, saved states, trees of pages."""
    levels = rng.choice((100, 5_000, 200_000))
    match rng.randrange(3):
        case 0:
            opened, closed = rng.choice(((b"[", b"]"), (b"<</A ", b">>"), (b"(", b")")))
            return _pdf("many levels", pdf_file([*pages_of(SQUARE), opened * levels + closed * levels]))
        case 1:
            return _pdf("many levels", pdf_file(pages_of(b"q " * levels + SQUARE + b" Q" * levels)))
        case _:
            levels = min(levels, 5_000)
            tree = [b"<< /Type /Pages /Count 1 /Kids [%d 0 R] >>" % (number + 3) for number in range(levels)]
            last = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] >>"
            return _pdf("many levels", pdf_file([b"<< /Type /Catalog /Pages 2 0 R >>", *tree, last]))


def _bomb(rng: random.Random) -> Case:
    """Streams that are blown up, once or several times."""
    content = long_zlib(rng.choice((10**6, 10**8, 10**9)))
    filters = [b"/FlateDecode"] * rng.choice((1, 1, 2, 30))
    for _ in filters[1:3]:
        content = zlib.compress(content)
    objects = pages_of(SQUARE)
    objects[3] = stream(content, b"/Filter [%s]" % b" ".join(filters))
    return _pdf("bombs", pdf_file(objects))


def _picture(rng: random.Random) -> Case:
    """A scan whose sizes, depths, filters or bytes are not what they should be."""
    width, height = (rng.choice((0, 1, 100, 30_000, 10**9)) for _ in range(2))
    content, name = rng.choice(
        (
            (encoded(rng, ".jpg"), b"/DCTDecode"),
            (mutated(rng, encoded(rng, ".jpg")), b"/DCTDecode"),
            (long_zlib(rng.choice((10**4, 10**8))), b"/FlateDecode"),
            (rng.randbytes(300), b"/CCITTFaxDecode"),
            (rng.randbytes(300), b"/JBIG2Decode"),
            (rng.randbytes(300), b"/JPXDecode"),
            (rng.randbytes(300), b"/LZWDecode"),
        )
    )
    picture = stream(
        content,
        b"/Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace %s /BitsPerComponent %d /Filter %s"
        % (width, height, rng.choice((b"/DeviceGray", b"/DeviceRGB", b"[/Indexed /DeviceRGB 255 <00>]")),
           rng.choice((1, 8, 8, 16, 77)), name),
    )  # fmt: skip
    resources = b"/Resources << /XObject << /I 3 0 R >> >>"
    page = b"q 595 0 0 842 0 0 cm /I Do Q"
    return _pdf("pictures", pdf_file(pages_of(page, SQUARE, entries=resources, more=[picture])))


def _lies(rng: random.Random) -> Case:
    """Counts, lengths, offsets and roots that are not so."""
    objects = pages_of(SQUARE, SQUARE)
    match rng.randrange(4):
        case 0:
            count = rng.choice((0, 1, 3, 9_999, 10**9, -1))
            objects[1] = objects[1].replace(b"/Count 2", b"/Count %d" % count)
        case 1:
            objects[3] = objects[3].replace(b"/Length ", b"/Length %d" % rng.choice((9, 10**6)))
        case 2:
            objects[0] = rng.choice((b"<< >>", b"<< /Type /Catalog /Pages 99 0 R >>", b"null", objects[0]))
        case _:
            encrypted = b"/Encrypt << /Filter /Standard /V %d /R 3 /O (x) /U (y) /P -4 >> /ID [<00> <00>]"
            return _pdf("lies", pdf_file(objects, trailer=encrypted % rng.choice((1, 2, 5, 77))))
    data = pdf_file(objects)
    if rng.random() < 0.3:
        data = data.replace(b"startxref\n", b"startxref\n%d" % rng.randrange(10))
    return _pdf("lies", data)


def _operators(rng: random.Random) -> Case:
    """Pages that draw without end, or with operands that are none."""
    one = rng.choice(
        (
            b"0 0 595 842 re f ",
            b"0 0 m 595 842 l 1e9 -1e9 l S ",
            b"[1e-9 1e-9] 0 d 0 0 m 595 842 l S ",
            b"1e38 0 0 1e38 0 0 cm ",
            b"BT /F 1e6 Tf (x) Tj ET ",
            b"q 1 0 0 1 9 9 cm W n ",
            b"(((( Tj << /A ] >> BI ID EI ",
            rng.randbytes(40) + b" ",
        )
    )
    content = one * rng.choice((1, 1_000, 100_000))
    return _pdf("operators", pdf_file(pages_of(content[:4_000_000], SQUARE)))


def _cut(rng: random.Random) -> Case:
    """The first part of a sound file, perhaps with an end mark put behind it."""
    data = pdf_file(pages_of(SQUARE, SQUARE, SQUARE))
    return _pdf("cut short", data[: rng.randrange(len(data))] + rng.choice((b"", b"\n%%EOF\n")))


def _edited(rng: random.Random) -> Case:
    return _pdf("bytes changed", mutated(rng, pdf_file(pages_of(SQUARE, SQUARE))))


def tiff_of_pages(count: int, *, last: int = 0, side: int = 28) -> bytes:
    r"""A TIFF whose pages share one strip; the last page's directory names `last` as the next.

    >>> data = tiff_of_pages(3)
    >>> data[:4]
    b'II*\x00'
    """
    tags, strip, _ = tiff.page(side, side)
    single = tiff.directory(tags, strip, 1)
    size = 2 + 12 * len(tags) + 4
    entries, behind = single[8 : 8 + size - 4], single[8 + size :]
    following = [len(single) + number * size for number in range(count - 1)] + [last]
    first, *others = (entries + struct.pack("<I", each) for each in following)
    return single[:8] + first + behind + b"".join(others)


def _directories(rng: random.Random) -> Case:
    """TIFFs whose directories are many, lead in a circle, or out of the file."""
    count = rng.choice((1, 2, 3, 300, 20_000))
    data = tiff_of_pages(count, last=rng.choice((0, 8, 9, 2**31, 2**32 - 1)))
    if rng.random() < 0.4:
        data = mutated(rng, data)
    return Case("tiff: directories of pages", "a.tif", data)
