from __future__ import annotations

import csv
import io
import pickle
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from kalamos.errors import CorruptImageError, ImageError, ImageNotFoundError, UsageError
from kalamos.inputs import InputSearch, Item, NamedImage


def pack(path: str, names: Iterable[str]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, name)


def names(items: Iterable[Item]) -> list[str]:
    return [item if isinstance(item, str) else item.name for item in items]


@pytest.fixture
def mixed(here: Path, tar_bytes) -> Path:
    """A folder with an image and a zip, a zip, a tar, a CSV; and no Parquet, so that all can run it."""
    Path("folder").mkdir()
    Path("folder/z.png").touch()
    pack("folder/inner.zip", ["never.png"])
    pack("Forms.zip", ["b.png", "a/A.png", "notes.txt", "nested.tar"])
    Path("scans.tar").write_bytes(tar_bytes(("z.png", b"Z"), ("a.png", b"A"), ("x.md", b"")))
    with Path("list.csv").open("w") as file:
        csv.writer(file).writerows([["path"], ["y.png"], ["x.png"]])
    return here


def test_all_kinds_together_in_the_order_of_their_names(mixed: Path) -> None:
    search = InputSearch(
        ["scans.tar", "one.png", "list.csv", "-", "folder", "Forms.zip"], stdin=io.BytesIO(b"q.png\np.png\n")
    )
    expected = ["q.png", "p.png", "folder/z.png", "Forms.zip/a/A.png", "Forms.zip/b.png", "y.png", "x.png"]
    expected += ["one.png", "scans.tar/z.png", "scans.tar/a.png"]
    assert names(search) == expected
    assert (
        search.skipped == 4
    )  # inner.zip in the folder, notes.txt and nested.tar in the zip, x.md in the tar


def test_counting_begins_anew_and_a_glob_names_what_it_matches(mixed: Path) -> None:
    search = InputSearch(["*.zip", "scans.*"])
    for _ in range(2):
        assert names(search) == ["Forms.zip/a/A.png", "Forms.zip/b.png", "scans.tar/z.png", "scans.tar/a.png"]
        assert search.skipped == 3


def test_content_counts_and_not_the_name(mixed: Path) -> None:
    Path("Forms.zip").rename("forms.png")
    assert names(InputSearch(["forms.png"])) == ["forms.png/a/A.png", "forms.png/b.png"]


def test_an_archive_in_a_searched_folder_stays_closed_even_under_an_image_s_name(mixed: Path) -> None:
    Path("Forms.zip").rename("folder/a.png")
    assert list(InputSearch(["folder"])) == ["folder/a.png", "folder/z.png"]
    assert names(InputSearch(["folder/*.png"]))[0] == "folder/a.png/a/A.png"


def test_names_begin_as_the_archive_was_given(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("folder")
    assert names(InputSearch(["../Forms.zip"])) == ["../Forms.zip/a/A.png", "../Forms.zip/b.png"]
    assert names(InputSearch(["../list.csv"])) == ["../y.png", "../x.png"]


def test_items_can_be_pickled(mixed: Path) -> None:
    Path("cut.zip").write_bytes(b"PK\3\4")
    items = list(InputSearch(["Forms.zip", "cut.zip", "one.png"]))
    for item, copy in zip(items, pickle.loads(pickle.dumps(items)), strict=True):  # noqa: S301
        if isinstance(item, NamedImage) and isinstance(item.content, ImageError):
            assert (copy.name, str(copy.content)) == (item.name, str(item.content))
        else:
            assert copy == item


def test_a_broken_container_is_one_row_and_the_others_are_read(mixed: Path) -> None:
    Path("scans.tar").write_bytes(Path("scans.tar").read_bytes()[:1024])
    Path("list.csv").write_bytes("path\n".encode("utf-16"))
    Path("a.zip").write_bytes(b"PK\3\4" + bytes(50))
    items = list(InputSearch(["a.zip", "list.csv", "scans.tar", "z.png"]))
    assert names(items) == ["a.zip", "list.csv", "scans.tar/z.png", "scans.tar", "z.png"]
    for item in (items[0], items[1], items[3]):
        assert isinstance(item, NamedImage)
        assert isinstance(item.content, CorruptImageError)
        assert item.name in str(item.content)


def test_a_broken_container_alone_is_one_row_too(here: Path) -> None:
    Path("a.zip").write_bytes(b"PK\3\4")
    assert names(InputSearch(["a.zip"])) == ["a.zip"]


def test_one_without_any_image_is_told_and_among_others_a_row(here: Path, tar_bytes) -> None:
    pack("a.zip", ["notes.txt"])
    Path("b.tar").write_bytes(tar_bytes(("notes.txt", b"")))
    Path("c.csv").write_text("path,label\n")
    for given in ("a.zip", "b.tar", "c.csv"):
        with pytest.raises(UsageError, match=rf"{given}: no image in it"):
            list(InputSearch([given]))
    with pytest.raises(UsageError, match="standard input: no image in it"):
        list(InputSearch(["-"], stdin=io.BytesIO()))
    items = list(InputSearch(["a.zip", "b.tar", "c.csv", "-"], stdin=io.BytesIO()))
    assert names(items) == ["stdin", "a.zip", "b.tar", "c.csv"]
    assert all(
        isinstance(item, NamedImage) and isinstance(item.content, ImageNotFoundError) for item in items
    )


def test_a_column_that_cannot_be_told_is_told_and_among_others_a_row(here: Path) -> None:
    Path("a.csv").write_text("left,right\nl.png,r.png\n")
    assert names(InputSearch(["a.csv"], column="right")) == ["r.png"]
    for column, problem in ((None, "--column: left, right"), ("rigth", "did you mean 'right'")):
        with pytest.raises(UsageError, match=problem):
            list(InputSearch(["a.csv"], column=column))
        row, other = InputSearch(["a.csv", "b.png"], column=column)
        assert isinstance(row, NamedImage)
        assert problem in str(row.content)
        assert other == "b.png"


def test_a_column_needs_a_table_among_what_is_named(here: Path) -> None:
    Path("folder").mkdir()
    Path("folder/a.png").touch()
    Path("folder/list.csv").write_text("path\na.png\n")  # in a searched folder: not opened
    for given in (["folder"], ["folder/a.png", "-"]):
        with pytest.raises(UsageError, match="column 'path': no CSV or Parquet file is named"):
            InputSearch(given, column="path")
    assert names(InputSearch(["folder/*.csv"], column="path")) == ["folder/a.png"]


def test_standard_input_once_even_where_a_folder_has_its_name(here: Path) -> None:
    Path("-").mkdir()
    Path("-/a.png").touch()
    assert names(InputSearch(["-"], stdin=io.BytesIO(b"q.png"))) == ["q.png"]
    assert names(InputSearch(["./-"])) == ["./-/a.png"]
    with pytest.raises(UsageError, match="standard input is named twice"):
        InputSearch(["-", "a.png", "-"])


def test_standard_input_that_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    [row] = InputSearch(["-"])
    assert isinstance(row, NamedImage)
    assert str(row.content) == "standard input: closed"


def test_the_search_is_lazy_and_lets_go_of_what_it_left(mixed: Path) -> None:
    items = iter(InputSearch(["Forms.zip", "list.csv"]))
    assert names([next(items)]) == ["Forms.zip/a/A.png"]
    with Path("list.csv").open("a") as file:
        file.write("later.png\n")
    assert names(items) == ["Forms.zip/b.png", "y.png", "x.png", "later.png"]
    items = iter(InputSearch(["Forms.zip"]))
    next(items)
    items.close()  # type: ignore[attr-defined]  # warnings of open files would be errors
