from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from kalamos.errors import (
    CorruptImageError,
    ImageError,
    ImageNotFoundError,
    ImageTooLargeError,
    MissingExtraError,
    UsageError,
)
from kalamos.inputs.item import Item, NamedImage
from kalamos.inputs.parquet import _batches, read_parquet

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(autouse=True)
def _here(here: Path) -> None:
    """Files lie in a new folder."""


def read(columns: dict[str, Any], column: str | None = None, **options: Any) -> list[Item]:
    pq.write_table(pa.table(columns), "x.parquet", **options)
    return list(read_parquet("x.parquet", column))


@pytest.mark.parametrize("kind", ["binary", "large_binary", "binary_view"])
def test_bytes_are_called_by_their_row_through_all_groups(kind: str) -> None:
    contents = [b"%d" % index for index in range(10)]
    column = pa.array(contents, getattr(pa, kind)())
    expected = [(f"x.parquet#{index}", content) for index, content in enumerate(contents)]
    assert read({"id": range(10), "image": column}, row_group_size=3) == expected


@pytest.mark.parametrize("kind", ["string", "large_string", "string_view"])
def test_paths_are_relative_to_the_file(kind: str) -> None:
    Path("data").mkdir()
    column = pa.array(["a.png", "/abs/ب.png"], getattr(pa, kind)())
    pq.write_table(pa.table({"file": column, "label": [1, 2]}), "data/x.parquet")
    assert list(read_parquet("data/x.parquet")) == ["data/a.png", "/abs/ب.png"]


def test_categories() -> None:
    assert read({"path": pa.array(["a.png", "b.png", "a.png"]).dictionary_encode()}) == [
        "a.png",
        "b.png",
        "a.png",
    ]
    assert read({"image": pa.array([b"A"]).dictionary_encode()}) == [("x.parquet#0", b"A")]


def test_the_structs_of_hugging_face() -> None:
    images = [
        {"bytes": b"A", "path": "a.png"},
        {"bytes": None, "path": "b.png"},
        {"bytes": b"C", "path": None},
    ]
    expected: list[Item] = [NamedImage("x.parquet#0", b"A"), "b.png", NamedImage("x.parquet#2", b"C")]
    assert read({"label": [1, 2, 3], "image": images}) == expected
    assert read({"label": [1, 2, 3], "scan": images}) == expected, "the type tells where no name does"


def test_a_row_with_nothing_in_it_is_a_row() -> None:
    for column in (
        [None, b"B"],
        [None, "b.png"],
        [{"bytes": None, "path": None}, {"bytes": b"B", "path": ""}],
    ):
        nothing, something = read({"image": column})
        assert isinstance(nothing, NamedImage)
        assert isinstance(nothing.content, ImageNotFoundError)
        assert nothing.name == "x.parquet#0"
        assert something in {("x.parquet#1", b"B"), "b.png"}


@pytest.mark.parametrize(
    ("columns", "column", "told"),
    [
        ({"id": [1], "label": ["1"]}, None, "name it with --column: id, label"),
        ({"id": [1], "path": ["a"]}, "pth", "did you mean 'path'?"),
        ({"image": [[1, 2]], "id": [1]}, None, "the column 'image' has neither paths nor bytes: list<"),
        ({"image": [1]}, None, "the column 'image' has neither"),
        ({"image": [{"x": 1}]}, None, "the column 'image' has neither"),
    ],
)
def test_the_column_is_told_or_the_columns_are(
    columns: dict[str, Any], column: str | None, told: str
) -> None:
    with pytest.raises(UsageError) as caught:
        read(columns, column)
    assert told in str(caught.value)


def test_two_columns_of_one_name() -> None:
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["path", "path"])
    pq.write_table(table, "x.parquet")
    with pytest.raises(UsageError, match=r"2 columns are called 'path'"):
        list(read_parquet("x.parquet", "path"))


def test_a_name_with_dots_and_no_rows_at_all() -> None:
    assert read({"image.bytes": [b"A"], "image": [1]}, "image.bytes") == [("x.parquet#0", b"A")]
    assert read({"image": pa.array([], pa.binary())}) == []


def test_a_file_that_is_damaged_gives_what_came_before() -> None:
    contents = [os.urandom(500) for _ in range(40)]
    pq.write_table(
        pa.table({"image": contents}),
        "x.parquet",
        row_group_size=10,
        compression="zstd",
        use_dictionary=False,
    )
    damaged = bytearray(Path("x.parquet").read_bytes())
    start = pq.ParquetFile("x.parquet").metadata.row_group(2).column(0).data_page_offset
    damaged[start : start + 2000] = b"\xff" * 2000
    Path("x.parquet").write_bytes(damaged)
    rows: list[Item] = []
    with pytest.raises(
        CorruptImageError, match=r"x\.parquet: the Parquet file is damaged at row 20"
    ) as caught:
        rows.extend(read_parquet("x.parquet"))
    assert len(rows) == 20
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("content", [b"", b"PAR1\x15", b"PAR1\x15" + bytes(100) + b"\xff\xff\xff\x7fPAR1"])
def test_what_is_no_parquet_file(content: bytes) -> None:
    Path("x.parquet").write_bytes(content)
    with pytest.raises(CorruptImageError, match=r"x\.parquet: the Parquet file is damaged at row 0"):
        list(read_parquet("x.parquet"))


def test_without_pyarrow_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        MissingExtraError, match=r"needs pyarrow; install it with: pip install 'kalamos\[cluster\]'"
    ):
        list(read_parquet("x.parquet"))


def test_memory_does_not_grow_with_a_row_group() -> None:
    def peak(count: int) -> int:
        table = pa.table({"image": [os.urandom(1000)] * count})
        pq.write_table(table, "x.parquet", use_dictionary=False, compression=None)
        del table
        before = pa.total_allocated_bytes()
        batches = _batches("x.parquet", "x.parquet", None, None)  # what the worker does, in this process
        return max(pa.total_allocated_bytes() - before for _ in batches)

    assert peak(60_000) - peak(10_000) < 8 << 20


def test_a_dictionary_that_becomes_gigabytes_is_refused_in_time_and_memory() -> None:
    one = bytes(4_600_000)
    pq.write_table(pa.table({"image": [one] * 1024}), "x.parquet", compression="zstd")
    assert Path("x.parquet").stat().st_size < 200_000
    start = time.monotonic()
    with pytest.raises(ImageTooLargeError, match=r"x\.parquet: too large to decode here"):
        list(read_parquet("x.parquet"))
    assert time.monotonic() - start < 20
    assert read({"image": [b"A"]}) == [("x.parquet#0", b"A")]


def test_a_page_that_announces_gigabytes_is_refused() -> None:
    # 5 bytes of a varint, in zigzag; a page has 10 bytes of levels and lengths besides.
    told, lie = b"\x15" + varint(2 * (2**27 + 6)), b"\x15" + varint(2 * (2**31 - 1))
    table = pa.table({"image": pa.array([bytes(2**27 - 4)])})
    pq.write_table(table, "x.parquet", compression="zstd", use_dictionary=False, write_statistics=False)
    content = Path("x.parquet").read_bytes()
    assert told in content[:40]
    Path("x.parquet").write_bytes(content[:40].replace(told, lie) + content[40:])
    with pytest.raises(
        ImageError, match=r"x\.parquet: (too large|the Parquet file is damaged|it is damaged)"
    ):
        list(read_parquet("x.parquet"))


def varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def test_the_file_is_found_after_the_folder_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read({"image": [b"A"]}) == [("x.parquet#0", b"A")]
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.chdir(other)
    assert read({"image": [b"B"]}) == [("x.parquet#0", b"B")]
