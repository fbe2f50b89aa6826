"""A file just within, and one just beyond, each limit that kalamos states, as its code has it."""

from __future__ import annotations

import io
import struct
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import helper

sys.path[:0] = [str(Path(__file__).parent.parent)]
from fuzz.archives import xz_file  # noqa: E402
from fuzz.case import Case  # noqa: E402
from fuzz.images import jpeg, png, tiff, webp  # noqa: E402
from fuzz.images.pictures import long_zlib  # noqa: E402

from fuzz import documents, models  # noqa: E402  (the path must be set first)

__all__ = ["Limit", "limits", "stated"]

MIB = 2**20


@dataclass(frozen=True)
class Limit:
    """One limit.

    Attributes:
        family: what the fuzzer's child process does with the cases.
        what: for the table.
        value: as the code has it, with its unit.
        within: what is to be read, None where there is nothing to show.
        beyond: what is to be refused.
    """

    family: str
    what: str
    value: str
    within: Case | None
    beyond: Case


def stated(name: str) -> int:
    """The constant `module.NAME` of kalamos.

    >>> stated("images.files.MAX_FILE_BYTES") // 2**20
    256
    """
    module, _, constant = name.rpartition(".")
    return int(getattr(import_module(f"kalamos.{module}"), constant))


def limits() -> Iterator[Limit]:
    """All of them, but for the server's."""
    yield from _of_pictures()
    yield from _of_documents()
    yield from _of_containers()
    yield from _of_models()


def _png(
    width: int, height: int, *, colour: int = 0, depth: int = 8, extra: bytes = b"", zeros: int = 0
) -> Case:
    row = 1 + width * png.SAMPLES[colour] * depth // 8
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [
        png.chunk(b"IHDR", header),
        extra,
        png.chunk(b"IDAT", long_zlib(row * height)),
        png.chunk(b"IEND", b""),
    ]
    return Case("limit", "a.png", png.SIGNATURE + b"".join(parts), zeros)


def _of_pictures() -> Iterator[Limit]:
    pixels = stated("images.pixels.MAX_PIXELS")
    yield Limit(
        "images",
        "pixels of an image",
        f"{pixels:,}",
        _png(10_000, pixels // 10_000),
        _png(10_000, pixels // 10_000 + 1),
    )
    most = stated("images.pixels.MAX_DECODED_BYTES")
    rows = most // 3 // 10_000 * 9 // 10
    yield Limit(
        "images",
        "bytes of an image after decoding",
        f"{most // MIB} MiB",
        _png(10_000, min(rows, pixels // 10_000), colour=2),
        _png(10_000, pixels // 10_000, colour=6, depth=16),
    )
    tags, strip, strips = tiff.page(10_000, pixels // 10_000, 4, 64, fmt=3, rows=16)
    wide = Case("limit", "a.tif", tiff.directory(tags, strip, strips))
    yield Limit("images", "the same, as a TIFF of 64-bit floats", f"{most // MIB} MiB", None, wide)
    file_bytes = stated("images.files.MAX_FILE_BYTES")
    small = _png(28, 28)
    full = Case("limit", "a.png", small.content, file_bytes - len(small.content))
    yield Limit(
        "images",
        "bytes of an image file",
        f"{file_bytes // MIB} MiB",
        full,
        Case("limit", "a.png", full.content, full.zeros + 1),
    )
    chunks = stated("images.png.MAX_CHUNKS")
    empty = png.chunk(b"teXt", b"")
    yield Limit(
        "images",
        "chunks of a PNG",
        f"{chunks:,}",
        _png(28, 28, extra=empty * (chunks - 3)),
        _png(28, 28, extra=empty * (chunks - 2)),
    )
    yield _tiff_entries()
    yield _gif_blocks()
    yield _webp_chunks()
    yield _small_file_time()


def _tiff_entries() -> Limit:
    most = stated("images.headers.MAX_TIFF_ENTRIES")
    tags, strip, strips = tiff.page(28, 28)

    def case(count: int) -> Case:
        spare: list[tiff.Tag] = [(40_000, 1, [1])] * (count - len(tags))
        return Case("limit", "a.tif", tiff.directory([*tags, *spare], strip, strips))

    return Limit("images", "entries of a TIFF's directory", f"{most:,}", case(most), case(most + 1))


def _gif_blocks() -> Limit:
    most = stated("images.pixels.MAX_GIF_BLOCKS")
    head = b"GIF89a" + struct.pack("<HHBBB", 2, 1, 0x80, 0, 0) + bytes(6)
    frame = b"," + struct.pack("<HHHHB", 0, 0, 2, 1, 0) + b"\2\2\x04\x0a\0;"
    comment = b"!\xfe\1a\0"

    def case(count: int) -> Case:
        return Case("limit", "a.gif", head + comment * (count // 2) + frame)

    return Limit("images", "blocks of a GIF before its picture", f"{most:,}", case(most - 2), case(most + 2))


def _webp_chunks() -> Limit:
    most = stated("images.headers.MAX_WEBP_CHUNKS")
    _, encoded = cv2.imencode(".webp", np.full((28, 28, 3), 255, np.uint8), [cv2.IMWRITE_WEBP_QUALITY, 101])
    data = encoded.tobytes()
    at = data.index(b"VP8L")
    [length] = struct.unpack_from("<I", data, at + 4)
    picture = b"VP8L", data[at + 8 : at + 8 + length]
    flags = b"VP8X", bytes(4) + struct.pack("<I", 27)[:3] * 2

    def case(count: int) -> Case:
        return Case("limit", "a.webp", webp.riff([flags, picture] + [(b"abcd", b"")] * (count - 2)))

    return Limit("images", "chunks of a WEBP", f"{most:,}", case(most - 1), case(most + 1))


def _small_file_time() -> Limit:
    seconds = import_module("kalamos.isolation").SMALL_SECONDS
    return Limit(
        "images",
        "processor time for a file of up to 1 MiB",
        f"{seconds:g} s",
        jpeg.long_runs(10_000, 5_000, 20),
        jpeg.long_runs(10_000, 5_000, 12_000),
    )


def _of_documents() -> Iterator[Limit]:
    pages = stated("images.documents.MAX_PAGES")
    yield Limit(
        "documents",
        "pages of a document",
        f"{pages:,}",
        None,
        Case("limit", "a.tif", documents.tiff_of_pages(pages + 1)),
    )
    points = stated("images.pdf.MAX_PAGE_POINTS")

    def page(side: float, content: bytes = documents.SQUARE) -> Case:
        return Case("limit", "a.pdf", documents.pdf_file(documents.pages_of(content, size=(side, side))))

    yield Limit("documents", "points of a PDF's page, a side", f"{points:,}", page(points), page(points + 1))
    seconds = import_module("kalamos.isolation").SMALL_SECONDS
    yield Limit(
        "documents",
        "processor time for a page of a document of up to 1 MiB",
        f"{seconds:g} s",
        page(842, b"0 0 842 842 re f " * 10),
        page(842, b"0 0 842 842 re f " * 50_000),
    )


def _tarred(*members: tuple[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def _of_containers() -> Iterator[Limit]:
    most = stated("images.files.MAX_MEMBER_BYTES")
    picture = _png(28, 28).content

    def member(size: int) -> Case:
        info = tarfile.TarInfo("a.png")
        info.size = size
        return Case("limit", "a.tar", info.tobuf() + picture, size - len(picture) + (-size % 512) + 1024)

    yield Limit(
        "archives", "bytes of an archive's member", f"{most // MIB} MiB", member(most), member(most + 1)
    )
    headers = stated("inputs.archives.MAX_HEADER_BYTES")

    def long_name(size: int) -> Case:
        return Case("limit", "a.tar", _tarred(("x" * size + ".png", picture)))

    yield Limit(
        "archives",
        "bytes of a tar member's headers",
        f"{headers // MIB} MiB",
        long_name(200),
        long_name(headers),
    )
    window = stated("inputs.archives.MAX_XZ_BYTES")
    data = _tarred(("a.png", picture))
    yield Limit(
        "archives",
        "memory that an xz archive may ask for",
        f"{window // MIB} MiB",
        Case("limit", "a.tar.xz", xz_file(data, 0, 26)),
        Case("limit", "a.tar.xz", xz_file(data, 700_000_000, 40)),
    )
    line = stated("inputs.tables.MAX_LINE_CHARACTERS")

    def row(size: int) -> Case:
        cells = b"," + b"x" * 49_999
        line = b"a.png" + cells * (size // len(cells) + 1)
        return Case("limit", "a.csv", b"path" + b",x" * line.count(b",") + b"\n" + line[: size - 1] + b"\n")

    yield Limit("tables", "characters of a CSV's line", f"{line:,}", row(line - 1), row(line + 1))
    memory = stated("inputs.tables.MAX_DECODE_BYTES")
    yield Limit(
        "tables",
        "memory for a Parquet file's pages",
        f"{memory // MIB} MiB",
        _parquet(picture, 1_000),
        _parquet(bytes(1_000_000), 4_700),
    )


def _parquet(value: bytes, rows: int) -> Case:
    """One value in a dictionary, and a great many rows of it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    places = pa.Array.from_buffers(pa.int32(), rows, [None, pa.py_buffer(bytes(4 * rows))])
    column = pa.DictionaryArray.from_arrays(places, pa.array([value], pa.binary()))
    stream = io.BytesIO()
    pq.write_table(pa.table({"image": column}), stream, compression="zstd", row_group_size=rows)
    return Case("limit", "a.parquet", stream.getvalue())


def _of_models() -> Iterator[Limit]:
    sound = models.sound_model()
    file_bytes = stated("model_file.load.MAX_MODEL_BYTES")
    spare = file_bytes - sound.ByteSize()
    yield Limit(
        "models",
        "bytes of a model file",
        f"{file_bytes // MIB} MiB",
        _model(sound),
        Case("limit", "a.onnx", sound.SerializeToString(), spare + 1),
    )
    weights = stated("model_file.graph.MAX_WEIGHT_BYTES")
    yield Limit(
        "models",
        "bytes of a model's weights",
        f"{weights // MIB} MiB",
        _model(models.weighty_model(weights - 100_000)),
        _model(models.weighty_model(weights + 100_000)),
    )
    fields = stated("model_file.protobuf.MAX_PROTOBUF_FIELDS")
    yield Limit("models", "fields of a model file", f"{fields:,}", None, _many_fields(fields))
    side = stated("model_file.spec.MAX_INPUT_SIZE")
    yield Limit(
        "models",
        "pixels a side of a model's input",
        f"{side:,}",
        None,
        _model(models.sound_model(input_size=side + 1)),
    )
    text = stated("model_file.spec.MAX_SPEC_CHARACTERS")
    yield Limit(
        "models",
        "characters of a model's spec",
        f"{text:,}",
        None,
        _model(models.sound_model(licence="x" * text)),
    )
    for what, value, case in _heavy_models():
        yield Limit("models", what, value, None, case)


def _model(model: onnx.ModelProto) -> Case:
    return Case("limit", "a.onnx", model.SerializeToString())


def _many_fields(count: int) -> Case:
    model = models.sound_model()
    model.graph.node.extend(
        [helper.make_node("Identity", ["scores"], [f"v{number}"]) for number in range(count // 3)]
    )
    return _model(model)


def _heavy_models() -> Iterator[tuple[str, str, Case]]:
    """Models whose work or memory is beyond what one image may take."""
    memory = f"{stated('model_file.load.MAX_RUN_BYTES') // MIB} MiB"
    yield "memory of a model for one image", memory, _model(models.expanded_model((6_000, 9_000)))
    constants = f"{stated('model_file.load.MAX_CONSTANT_BYTES') // MIB} MiB"
    filled = _model(models.filled_model((20_000, 20_000)))
    yield "memory of what a model's file computes when opened", constants, filled
    work = f"{stated('model_file.load.MAX_WORK') / 10**9:g} * 10^9 multiply-adds"
    yield "work of a model for one image", work, _model(models.expanded_model((2_000, 2_000), products=3))
    nodes = f"{stated('model_file.graph.MAX_NODES'):,}"
    yield "nodes of a model", nodes, _many_nodes(stated("model_file.graph.MAX_NODES"))
    yield "operators of a model", "those of exports", _model(models.endless_model(2**40))


def _many_nodes(most: int) -> Case:
    model = models.sound_model()
    more = [helper.make_node("Identity", ["scores"], [f"v{number}"]) for number in range(most)]
    model.graph.node.extend(more)
    return _model(model)
