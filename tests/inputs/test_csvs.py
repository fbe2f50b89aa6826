from __future__ import annotations

import csv
import io
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kalamos.errors import (
    CorruptImageError,
    ImageError,
    ImageNotFoundError,
    ImageTimeoutError,
    KalamosError,
    UnsupportedImageError,
    UsageError,
)
from kalamos.inputs.csvs import MAX_LINE_CHARACTERS, read_csv
from kalamos.inputs.item import Item, NamedImage


@pytest.fixture(autouse=True)
def _here(here: Path) -> None:
    """Tables lie in a new folder."""


def read(content: bytes, column: str | None = None) -> list[Item]:
    Path("x.csv").write_bytes(content)
    return list(read_csv("x.csv", column))


def error(item: Item) -> ImageError:
    assert isinstance(item, NamedImage)
    assert isinstance(item.content, ImageError)
    assert str(item.content).isprintable()
    return item.content


def test_paths_are_relative_to_the_file() -> None:
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
    assert read((mark + end.join(lines)).encode()) == ["a.png", "b c.png", "ج.png"]


def test_quotes() -> None:
    content = b'path,note\n"a,b.png","two\nlines"\n"say ""7"".png",x\n c.png, y\n'
    assert read(content) == ["a,b.png", 'say "7".png', "c.png"]


def test_a_bad_row_costs_one_row_and_tells_its_line() -> None:
    content = b'path,n\na.png,"two\nlines"\n\n,2\nb.png\nc,d.png,3\n"e"f.png,4\ncaf\xe9.png,5\n"g.png",6\n'
    first, nothing, short, longer, quote, bytes_, last = read(content)
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
    *good, lost = read(b'path,n\na.png,1\n"b.png,2\nc.png,3\n')
    assert good == ["a.png"]
    assert "lines 3 to 4: unexpected end of data" in str(error(lost))


def test_a_cell_beyond_the_parser_s_limit_is_one_row() -> None:
    first, huge, last = read(b"path,n\na.png,1\n" + b"x" * 200_000 + b",2\nb.png,3\n")
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
        read(text.encode(encoding))


@pytest.mark.parametrize("content", [b"", b"\n", b"path\n", b"path,label", "\N{BOM}".encode()])
def test_nothing_in_it(content: bytes) -> None:
    assert read(content) == []


@pytest.mark.parametrize("content", [b"a.png\nb.png\n", b"a.png,1\nb.png,2\n", b"1;scans/b.JPG\n"])
def test_a_first_line_that_is_no_header_is_not_swallowed(content: bytes) -> None:
    with pytest.raises(UsageError, match="its first line should name the columns"):
        read(content)


def test_the_column_is_asked_for_or_told() -> None:
    content = b"left,right\na.png,b.png\n"
    assert read(content, "right") == ["b.png"]
    with pytest.raises(UsageError, match="name it with --column: left, right"):
        read(content)
    with pytest.raises(UsageError, match="did you mean 'right'"):
        read(content, "rigt")


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
    assert read(sink.getvalue().encode("utf-8-sig" if mark else "utf-8")) == paths


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | st.text('a,"\n\r;', max_size=60).map(str.encode))
def test_no_bytes_bring_it_down_and_no_row_disappears(content: bytes) -> None:
    try:
        items = read(b"path,n\n" + content)
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
