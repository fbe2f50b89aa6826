"""Tables: CSV of odd encodings, lines and quotes; Parquet of edited headers, sizes, counts, dictionaries."""

from __future__ import annotations

import io
import random
import struct

import pyarrow as pa
import pyarrow.parquet as pq

from fuzz.case import Case, mutated
from fuzz.images.pictures import encoded
from fuzz.thrift import Field, edited, read_struct, write_struct

__all__ = ["draw"]

# Of parquet.thrift: https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
PAGE_TYPE, PAGE_UNPACKED, PAGE_PACKED, DATA_PAGE, DICTIONARY_PAGE, DATA_PAGE_V2 = 1, 2, 3, 5, 7, 8
ROW_GROUPS, COLUMNS, META, OFFSETS = 4, 1, 3, (9, 10, 11)


def draw(rng: random.Random) -> Case:
    """A CSV or Parquet file."""
    recipes = {_csv: 4, _csv_long: 0.2, _footer: 5, _page: 8, _dictionary: 0.5, _large_cells: 0.1, _bytes: 2}
    [recipe] = rng.choices(list(recipes), list(recipes.values()))
    return recipe(rng)


def _csv(rng: random.Random) -> Case:
    """Rows of chance in an encoding of chance."""
    mark = rng.choice(",,;\t|")
    cells = [
        "a.png",
        "",
        "../x.png",
        "/etc/passwd",
        "é.png",
        '"',
        '"a',
        'a"b',
        "a\0b",
        "=1+1",
        "\x1b[2J",
        "x" * 300,
        "'",
        "http://x/y.png",
    ]
    header = rng.choice(
        (["path"], ["image", "label"], ["id", "file", "text"], ["x"] * 3, ["path"] * 2, ["a.png", "b"], [])
    )
    rows = [header] + [
        [rng.choice(cells) for _ in range(rng.choice((len(header), 0, 5)))] for _ in range(rng.randint(0, 8))
    ]
    text = rng.choice(("\n", "\r\n", "\r")).join(mark.join(row) for row in rows)
    coding = rng.choice(("utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1", "cp1256", "utf-7", "utf-16-be"))
    data = text.encode(coding, "replace")
    if rng.random() < 0.3:
        data = mutated(rng, data)
    notes = {"column": "path"} if rng.random() < 0.2 else {}
    return Case("csv: rows of chance", rng.choice(("a.csv", "a.tsv")), data, notes=notes)


def _csv_long(rng: random.Random) -> Case:
    """Lines, cells and headers without end."""
    size = rng.choice((900_000, 30_000_000))
    data = rng.choice(
        (
            b"path\n" + b"a" * size,
            b"path\n" + b'"' + b"a\n" * (size // 2),
            b"path\n" + b'""' * (size // 2),
            b"," * size,
            b"path" + b",x" * (size // 2) + b"\na.png",
            b"path\n" + b"," * size,
            b"path\n" + b"\n" * size,
            b"path\n" + b'"' * size,
        )
    )
    return Case("csv: without end", "a.csv", data, rng.choice((0, 0, 100_000_000)))


def _parquet(rng: random.Random, table: pa.Table | None = None, **named: object) -> bytes:
    if table is None:
        picture = encoded(rng, ".png")
        count = rng.randint(1, 40)
        columns = {
            "image": pa.array([picture] * count, rng.choice((pa.binary(), pa.large_binary()))),
            "n": pa.array(range(count)),
            "text": pa.array(["a"] * count),
        }
        if rng.random() < 0.3:
            columns["image"] = pa.array([{"bytes": picture, "path": "x.png"}] * count)
        if rng.random() < 0.2:
            columns["image"] = pa.array(["a.png"] * count)
        table = pa.table(columns)
    stream = io.BytesIO()
    options = {
        "compression": rng.choice(("snappy", "gzip", "zstd", "brotli", "none", "lz4")),
        "use_dictionary": rng.random() < 0.6,
        "data_page_version": rng.choice(("1.0", "2.0")),
        "row_group_size": rng.choice((None, 3)),
        "write_statistics": rng.random() < 0.5,
        "store_schema": rng.random() < 0.5,
    } | named
    pq.write_table(table, stream, **options)
    return stream.getvalue()


def _parts(data: bytes) -> tuple[bytes, list[Field]]:
    """What stands before the footer, and the footer."""
    [length] = struct.unpack_from("<I", data, len(data) - 8)
    return data[: -8 - length], read_struct(data, len(data) - 8 - length)[0]


def _joined(body: bytes, footer: list[Field]) -> bytes:
    packed = write_struct(footer)
    return body + packed + struct.pack("<I", len(packed)) + b"PAR1"


def _footer(rng: random.Random) -> Case:
    """The footer with a few of its fields changed."""
    body, footer = _parts(_parquet(rng))
    for _ in range(rng.randint(1, 3)):
        footer = edited(rng, footer)
    return Case("parquet: footer edited", "a.parquet", _joined(body, footer))


def _of(fields: list[Field], number: int) -> object:
    return next((field.value for field in fields if field.number == number), None)


def _chunks(footer: list[Field]) -> list[list[Field]]:
    """The metadata of every column chunk."""
    groups = _of(footer, ROW_GROUPS)
    return [_of(column, META) for group in groups[1] for column in _of(group, COLUMNS)[1]]  # type: ignore[index,misc]


def _page_starts(footer: list[Field]) -> list[int]:
    """Where the first pages of every column chunk lie."""
    found = {_of(meta, number) for meta in _chunks(footer) for number in OFFSETS}
    return sorted(offset for offset in found if isinstance(offset, int) and offset > 0)


def _moved(fields: list[Field], after: int, by: int) -> list[Field]:
    """The footer with its offsets behind a page moved, and the sizes of the chunk of that page."""
    groups = _of(fields, ROW_GROUPS)
    for group in groups[1]:  # type: ignore[index]
        for column in _of(group, COLUMNS)[1]:  # type: ignore[index]
            meta: list[Field] = _of(column, META)  # type: ignore[assignment]
            first = min(field.value for field in meta if field.number in OFFSETS and field.value > 0)
            size = next(field.value for field in meta if field.number == 7)
            for place, (number, kind, value) in enumerate(meta):
                if number in OFFSETS and value > after:
                    meta[place] = Field(number, kind, value + by)
                if number == 7 and first <= after < first + size:
                    meta[place] = Field(number, kind, value + by)
    return fields


def _page(rng: random.Random) -> Case:
    """The header of one page changed, all offsets mended: sizes that lie, counts, types, encodings."""
    data = _parquet(rng)
    body, footer = _parts(data)
    start = rng.choice(_page_starts(footer))
    header, stop = read_struct(data, start)
    for _ in range(rng.choice((1, 1, 2))):
        if rng.random() < 0.4:
            lie = rng.choice((0, 1, 2**20, 600_000_000, 2**30, 2**31 - 1, -1, -21, -1_000, -(2**31)))
            number = rng.choice((PAGE_UNPACKED, PAGE_PACKED))
            header = [
                Field(each.number, each.kind, lie) if each.number == number else each for each in header
            ]
        else:
            header = edited(rng, header)
    packed = write_struct(header)
    body = body[:start] + packed + body[stop:]
    return Case(
        "parquet: page header edited",
        "a.parquet",
        _joined(body, _moved(footer, start, len(packed) - (stop - start))),
    )


def _dictionary(rng: random.Random) -> Case:
    """One long value in a dictionary, and very many rows of it: a file of some kB."""
    length, count = rng.choice(((1_000_000, 4_700), (10_000, 400_000), (40_000_000, 100), (0, 10_000_000)))
    values = pa.array([b"\x89PNG\r\n\x1a\n" + bytes(length)], pa.binary())
    column = pa.DictionaryArray.from_arrays(_zeros(count), values)
    table = pa.table({"image": column})
    return Case(
        "parquet: long values in a dictionary",
        "a.parquet",
        _parquet(rng, table, use_dictionary=True, row_group_size=count),
    )


def _zeros(count: int) -> pa.Array:
    return pa.Array.from_buffers(pa.int32(), count, [None, pa.py_buffer(bytes(4 * count))])


def _large_cells(rng: random.Random) -> Case:
    """Values and row groups that are large."""
    size = rng.choice((5_000_000, 60_000_000, 260_000_000))
    table = pa.table({"image": pa.array([bytes(size)] * rng.choice((1, 1, 2)), pa.large_binary())})
    return Case(
        "parquet: large values", "a.parquet", _parquet(rng, table, compression="zstd", use_dictionary=False)
    )


def _bytes(rng: random.Random) -> Case:
    return Case("parquet: bytes changed", "a.parquet", mutated(rng, _parquet(rng)))
