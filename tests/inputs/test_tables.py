from __future__ import annotations

import csv
import io
import os
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kalamos.errors import (
    CorruptImageError,
    ImageError,
    ImageNotFoundError,
    ImageTimeoutError,
    ImageTooLargeError,
    KalamosError,
    MissingExtraError,
    UnsupportedImageError,
    UsageError,
)
from kalamos.inputs.item import Item, NamedImage
from kalamos.inputs.tables import (
    IMAGE_COLUMNS,
    MAX_LINE_CHARACTERS,
    _batches,
    choose_column,
    read_csv,
    read_parquet,
)


@pytest.mark.parametrize("name", sorted(IMAGE_COLUMNS))
def test_known_names_in_any_case(name: str) -> None:
    for name_given in (name, name.upper(), f" {name} "):
        assert choose_column(["id", name_given, "label"], None, "x.csv") == 1


def test_the_only_column_whatever_it_is_called() -> None:
    assert choose_column(["x"], None, "x.csv") == 0


def test_the_one_asked_for() -> None:
    assert choose_column(["path", "scan"], "scan", "x.csv") == 1
    assert choose_column(["path", "Scan"], "scan", "x.csv") == 1
    assert choose_column(["Path", "path"], "path", "x.csv") == 1


def test_a_type_tells_where_no_name_does() -> None:
    assert choose_column(["id", "scan", "label"], None, "x.parquet", sure=["scan"]) == 1
    assert choose_column(["id", "scan", "path"], None, "x.parquet", sure=["scan"]) == 2


@pytest.mark.parametrize(
    ("columns", "asked", "told"),
    [
        (["id", "label"], None, "which column has the images is unclear; name it with --column: id, label"),
        (["file", "path"], None, "is unclear; name it with --column: file, path"),
        (["path", "label"], "pth", "no column is called 'pth'; did you mean 'path'?"),
        (["path", "label"], "xyzzy", "choose from: label, path"),
        (["path", "path"], "path", "2 columns are called 'path'"),
        (["path", "path"], None, "is unclear"),
        ([f"c{index}" for index in range(500)], None, "c19, and 480 more"),
        (["a\x1b[31m", "b"], None, r"'a\x1b[31m', b"),
        ([], "path", "no column is called 'path'"),
    ],
)
def test_what_cannot_be_told_is_told_with_the_columns(
    columns: list[str], asked: str | None, told: str
) -> None:
    with pytest.raises(UsageError) as caught:
        choose_column(columns, asked, "x.csv")
    assert told in str(caught.value)
    assert str(caught.value).startswith("x.csv: ")
    assert str(caught.value).isprintable()


@pytest.fixture(autouse=True)
def _here_csvs(here: Path) -> None:
    """Tables lie in a new folder."""


def read_csvs(content: bytes, column: str | None = None) -> list[Item]:
    Path("x.csv").write_bytes(content)
    return list(read_csv("x.csv", column))


def error(item: Item) -> ImageError:
    assert isinstance(item, NamedImage)
    assert isinstance(item.content, ImageError)
    assert str(item.content).isprintable()
    return item.content


def test_csvs_paths_are_relative_to_the_file() -> None:
    Path("data").mkdir()
    Path("data/x.csv").write_text("id,path\n1,a.png\n2,sub/b.png\n3,/abs/c.png\n4,../d.png\n")
    assert list(read_csv("data/x.csv")) == ["data/a.png", "data/sub/b.png", "/abs/c.png", "data/../d.png"]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\N{BOM}"])
def test_separators_line_ends_and_byte_order_marks(separator: str, end: str, mark: str) -> None:
    lines = [
        f"path{separator}label",
        f"a.png{separator}1",
        "",
        f'"b c.png"{separator}2',
        f"ج.png{separator}3",
    ]
    assert read_csvs((mark + end.join(lines)).encode()) == ["a.png", "b c.png", "ج.png"]


def test_quotes() -> None:
    content = b'path,note\n"a,b.png","two\nlines"\n"say ""7"".png",x\n c.png, y\n'
    assert read_csvs(content) == ["a,b.png", 'say "7".png', "c.png"]


def test_a_bad_row_costs_one_row_and_tells_its_line() -> None:
    content = b'path,n\na.png,"two\nlines"\n\n,2\nb.png\nc,d.png,3\n"e"f.png,4\ncaf\xe9.png,5\n"g.png",6\n'
    first, nothing, short, longer, quote, bytes_, last = read_csvs(content)
    assert (first, short, last) == ("a.png", "b.png", "g.png")
    told = {"x.csv#1": "line 5: no path", "x.csv#3": "line 7: more cells", "x.csv#4": "line 8: ',' expected"}
    for item in (nothing, longer, quote):
        assert isinstance(item, NamedImage)
        assert told.pop(item.name) in str(error(item))
    assert not told
    assert isinstance(error(nothing), ImageNotFoundError)
    assert isinstance(error(bytes_), UnsupportedImageError)
    assert "x.csv, line 9: not UTF-8; save the table as UTF-8" in str(error(bytes_))


def test_a_quote_that_does_not_end_is_told_with_all_that_it_swallows() -> None:
    *good, lost = read_csvs(b'path,n\na.png,1\n"b.png,2\nc.png,3\n')
    assert good == ["a.png"]
    assert "lines 3 to 4: unexpected end of data" in str(error(lost))


def test_a_cell_beyond_the_parser_s_limit_is_one_row() -> None:
    first, huge, last = read_csvs(b"path,n\na.png,1\n" + b"x" * 200_000 + b",2\nb.png,3\n")
    assert (first, last) == ("a.png", "b.png")
    assert "line 3: field larger than field limit" in str(error(huge))


def test_a_line_without_end_does_not_fill_the_memory() -> None:
    with Path("x.csv").open("wb") as file:
        file.write(b"path\na.png\n")
        file.truncate(200 << 20)
    tracemalloc.start()
    try:
        rows = read_csv("x.csv")
        assert next(rows) == "a.png"
        with pytest.raises(
            CorruptImageError, match=f"line 3: longer than {MAX_LINE_CHARACTERS:,} characters"
        ):
            list(rows)
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_told(encoding: str) -> None:
    text = "path,n\na.png,1\n" if encoding == "utf-16" else "\N{BOM}path,n\na.png,1\n"
    with pytest.raises(CorruptImageError, match=r"x\.csv: in UTF-16; save it as UTF-8"):
        read_csvs(text.encode(encoding))


@pytest.mark.parametrize("content", [b"", b"\n", b"path\n", b"path,label", "\N{BOM}".encode()])
def test_nothing_in_it(content: bytes) -> None:
    assert read_csvs(content) == []


@pytest.mark.parametrize("content", [b"a.png\nb.png\n", b"a.png,1\nb.png,2\n", b"1;scans/b.JPG\n"])
def test_a_first_line_that_is_no_header_is_not_swallowed(content: bytes) -> None:
    with pytest.raises(UsageError, match="its first line should name the columns"):
        read_csvs(content)


def test_the_column_is_asked_for_or_told() -> None:
    content = b"left,right\na.png,b.png\n"
    assert read_csvs(content, "right") == ["b.png"]
    with pytest.raises(UsageError, match="name it with --column: left, right"):
        read_csvs(content)
    with pytest.raises(UsageError, match="did you mean 'right'"):
        read_csvs(content, "rigt")


def test_the_file_is_read_as_it_is_asked_for() -> None:
    def peak(count: int) -> int:
        with Path("x.csv").open("w") as file:
            file.write("id,path\n")
            file.writelines(f"{index},scans/{index}.png\n" for index in range(count))
        tracemalloc.start()
        try:
            assert sum(1 for _ in read_csv("x.csv")) == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(100)
    assert peak(50_000) - peak(1000) < 50_000


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), min_size=1, max_size=9), max_size=9
    ),
    st.sampled_from(",;\t"),
    st.booleans(),
)
def test_what_a_writer_wrote_is_read(paths: list[str], separator: str, mark: bool) -> None:
    paths = [path.lstrip(" ") for path in paths if path.strip(" ")]
    sink = io.StringIO()
    writer = csv.writer(sink, delimiter=separator, quoting=csv.QUOTE_ALL)
    writer.writerow(["path", "id"])
    writer.writerows([[path, index] for index, path in enumerate(paths)])
    assert read_csvs(sink.getvalue().encode("utf-8-sig" if mark else "utf-8")) == paths


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | st.text('a,"\n\r;', max_size=60).map(str.encode))
def test_no_bytes_bring_it_down_and_no_row_disappears(content: bytes) -> None:
    try:
        items = read_csvs(b"path,n\n" + content)
    except KalamosError:
        return
    names = [item.name for item in items if isinstance(item, NamedImage)]
    assert len(names) == len(set(names))
    lines = [line for line in content.replace(b"\r", b"\n").split(b"\n") if line]
    if b'"' not in content and b"\0" not in content:
        assert len(items) == len(lines)


def test_a_table_of_empty_lines_is_given_up(here: Path) -> None:
    Path("x.csv").write_text("path\na.png\n" + "\n" * 3_000_000)
    rows: list[object] = []
    with pytest.raises(ImageTimeoutError, match=r"x\.csv: getting the next image out takes too long"):
        rows.extend(read_csv("x.csv", timeout=0.1))
    assert rows == ["a.png"]


pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(autouse=True)
def _here_parquet(here: Path) -> None:
    """Files lie in a new folder."""


def parquet_read(columns: dict[str, Any], column: str | None = None, **options: Any) -> list[Item]:
    pq.write_table(pa.table(columns), "x.parquet", **options)
    return list(read_parquet("x.parquet", column))


@pytest.mark.parametrize("kind", ["binary", "large_binary", "binary_view"])
def test_bytes_are_called_by_their_row_through_all_groups(kind: str) -> None:
    contents = [b"%d" % index for index in range(10)]
    column = pa.array(contents, getattr(pa, kind)())
    expected = [(f"x.parquet#{index}", content) for index, content in enumerate(contents)]
    assert parquet_read({"id": range(10), "image": column}, row_group_size=3) == expected


@pytest.mark.parametrize("kind", ["string", "large_string", "string_view"])
def test_parquet_paths_are_relative_to_the_file(kind: str) -> None:
    Path("data").mkdir()
    column = pa.array(["a.png", "/abs/ب.png"], getattr(pa, kind)())
    pq.write_table(pa.table({"file": column, "label": [1, 2]}), "data/x.parquet")
    assert list(read_parquet("data/x.parquet")) == ["data/a.png", "/abs/ب.png"]


def test_categories() -> None:
    assert parquet_read({"path": pa.array(["a.png", "b.png", "a.png"]).dictionary_encode()}) == [
        "a.png",
        "b.png",
        "a.png",
    ]
    assert parquet_read({"image": pa.array([b"A"]).dictionary_encode()}) == [("x.parquet#0", b"A")]


def test_the_structs_of_hugging_face() -> None:
    images = [
        {"bytes": b"A", "path": "a.png"},
        {"bytes": None, "path": "b.png"},
        {"bytes": b"C", "path": None},
    ]
    expected: list[Item] = [NamedImage("x.parquet#0", b"A"), "b.png", NamedImage("x.parquet#2", b"C")]
    assert parquet_read({"label": [1, 2, 3], "image": images}) == expected
    assert parquet_read({"label": [1, 2, 3], "scan": images}) == expected, "the type tells where no name does"


def test_a_row_with_nothing_in_it_is_a_row() -> None:
    for column in (
        [None, b"B"],
        [None, "b.png"],
        [{"bytes": None, "path": None}, {"bytes": b"B", "path": ""}],
    ):
        nothing, something = parquet_read({"image": column})
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
        parquet_read(columns, column)
    assert told in str(caught.value)


def test_two_columns_of_one_name() -> None:
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["path", "path"])
    pq.write_table(table, "x.parquet")
    with pytest.raises(UsageError, match=r"2 columns are called 'path'"):
        list(read_parquet("x.parquet", "path"))


def test_a_name_with_dots_and_no_rows_at_all() -> None:
    assert parquet_read({"image.bytes": [b"A"], "image": [1]}, "image.bytes") == [("x.parquet#0", b"A")]
    assert parquet_read({"image": pa.array([], pa.binary())}) == []


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
    one = pa.array([bytes(4_600_000)], pa.binary())
    images = pa.DictionaryArray.from_arrays(pa.array([0] * 1024, pa.int32()), one)
    pq.write_table(pa.table({"image": images}), "x.parquet", compression="zstd", store_schema=False)
    assert Path("x.parquet").stat().st_size < 1_000
    start = time.monotonic()
    with pytest.raises(ImageTooLargeError, match=r"x\.parquet: too large to decode here"):
        list(read_parquet("x.parquet"))
    assert time.monotonic() - start < 20
    assert parquet_read({"image": [b"A"]}) == [("x.parquet#0", b"A")]


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
    assert parquet_read({"image": [b"A"]}) == [("x.parquet#0", b"A")]
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.chdir(other)
    assert parquet_read({"image": [b"B"]}) == [("x.parquet#0", b"B")]
