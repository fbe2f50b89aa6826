from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalamos.datasets import Dataset, load_dataset
from kalamos.errors import DatasetError, KalamosError

Write = Callable[[Mapping[str, bytes]], Path]
Load = Callable[[str | bytes], Dataset]
Png = Callable[..., bytes]


@pytest.fixture(params=["disk", "zip", "wrapped"])
def load(request: pytest.FixtureRequest, as_folder: Write, as_zip: Write, png: Png) -> Load:
    """Loads a manifest beside the images x.png, y.png and deep/z.png."""

    def loaded(table: str | bytes) -> Dataset:
        content = table.encode() if isinstance(table, str) else table
        files = {"letters.csv": content, "x.png": png(1), "y.png": png(2), "deep/z.png": png(3, 9)}
        if request.param == "disk":
            return load_dataset(as_folder(files) / "letters.csv")
        top = "top/" if request.param == "wrapped" else ""
        return load_dataset(as_zip({top + name: content for name, content in files.items()}))

    return loaded


def test_a_line_is_an_image(load: Load) -> None:
    dataset = load("path,label\nx.png,b\ndeep/z.png,10\n./y.png,2\n")
    assert dataset.name == dataset.alphabet.name == "letters"
    assert dataset.alphabet.labels == ("2", "10", "b")
    assert dataset.train.labels.tolist() == [2, 1, 0]
    assert [int(image[0, 0]) for image in dataset.train.images] == [1, 3, 2]
    assert (dataset.test, dataset.train.groups, dataset.grouped_by, dataset.problems) == (
        None,
        None,
        None,
        (),
    )


def test_groups_and_splits(load: Load) -> None:
    dataset = load(
        "split,label,group,path,more\nTEST,a,w10,x.png,1\nVal, b ,w2,y.png,2\n"
        "train,a,w2,y.png,3\ntrain,b,,deep/z.png,4\n"
    )
    assert dataset.test is not None
    assert dataset.train.groups is not None
    assert dataset.test.groups is not None
    assert dataset.train.labels.tolist() == [0, 1, 1]
    assert dataset.train.groups.tolist() == [1, 0, 1]
    assert dataset.test.groups.tolist() == [2]
    assert dataset.grouped_by == "group"
    assert dataset.val_rows is not None
    assert dataset.val_rows.tolist() == [2]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_separators_line_ends_and_marks(load: Load, delimiter: str, end: str, encoding: str) -> None:
    quoted = "," if delimiter == "\t" else delimiter
    lines = [["Path", " LABEL", '"note"'], ["x.png", "ب", "a"], [], ["y.png", f'"{quoted}"', "b"]]
    table = end.join(delimiter.join(line) for line in lines)
    assert set(load(table.encode(encoding)).alphabet.labels) == {"ب", quoted}


def test_what_is_passed_over_is_reported(load: Load) -> None:
    dataset = load("path,label\nx.png,a\ny.png,b\nabsent.png,a\ny.png,\n,b\nx.png\nletters.csv,a\n")
    assert len(dataset.train) == 2
    problems = [(problem.where.removeprefix("top/"), problem.what) for problem in dataset.problems]
    found = {where.rpartition("/")[2]: what for where, what in problems}
    assert found["letters.csv:5"] == "no label"
    assert found["letters.csv:6"] == "no path"
    assert found["letters.csv:7"] == "no label"
    assert "absent.png" in found
    assert "letters.csv" in found  # a table is not an image


def test_spaces_after_separators_do_not_matter(load: Load) -> None:
    dataset = load('path, label\nx.png, "a,b"\ny.png, c \n')
    assert dataset.alphabet.labels == ("a,b", "c")


def test_members_that_no_line_names_are_reported(as_zip: Write, png: Png) -> None:
    table = b"path,label\n1.png,a\n2.png,b"
    dataset = load_dataset(as_zip({"m.csv": table, "1.png": png(), "2.png": png(), "3.png": png()}))
    assert [str(problem) for problem in dataset.problems] == ["3.png: not in the manifest"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            "path,label,split\nx.png,a,train\ny.png,b,tset\n",
            r"letters\.csv:3: there is no split 'tset'.*'test'",
        ),
        ("path,label,split\nx.png,a,train\ny.png,b\n", r"letters\.csv:3: there is no split ''"),
        ('path,label\nx.png,"a\n', r"letters\.csv:\d: unexpected end of data"),
        ("path,label\nx.png,a\n", "one class with images, 'a'"),
        ("path,label\n", "no class with images"),
        ("path,label,split\nx.png,a,test\ny.png,b,test\n", "none of its images is for training"),
        (b"path,label\nx.png,\xe9\n", "not UTF-8"),
    ],
)
def test_what_is_wrong_is_said(load: Load, table: str | bytes, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        load(table)


@pytest.mark.parametrize("header", ["", "file,label", "path;class", "x.png,a"])
def test_columns_must_be_named(as_folder: Write, header: str) -> None:
    with pytest.raises(DatasetError, match=r"its first line has no column .*; begin it with: path,label"):
        load_dataset(as_folder({"m.csv": header.encode()}) / "m.csv")


@pytest.mark.parametrize("path", ["../x.png", "/x.png", "a/../../x.png", "C:\\x.png", "a\\..\\..\\b.png"])
def test_paths_that_leave_an_archive_are_refused(as_zip: Write, png: Png, path: str) -> None:
    table = f"path,label\nx.png,a\n{path},b\n".encode()
    with pytest.raises(DatasetError, match=r"m\.csv:3: the path .* points outside the archive") as caught:
        load_dataset(as_zip({"m.csv": table, "x.png": png()}))
    assert repr(path) in caught.value.problem


def test_a_manifest_on_disk_may_name_any_file(as_folder: Write, tmp_path: Path, png: Png) -> None:
    (tmp_path / "far.png").write_bytes(png(9))
    table = f"path,label\nx.png,a\n../far.png,b\n{tmp_path / 'far.png'},b\n".encode()
    dataset = load_dataset(as_folder({"m.csv": table, "x.png": png(1)}) / "m.csv")
    assert [int(image[0, 0]) for image in dataset.train.images] == [1, 9, 9]


def test_devices_and_folders_are_problems(as_folder: Write, png: Png) -> None:
    table = b"path,label\nx.png,a\ny.png,b\n/dev/zero,a\n.,b\n"
    dataset = load_dataset(as_folder({"m.csv": table, "x.png": png(), "y.png": png()}) / "m.csv")
    assert [problem.where for problem in dataset.problems] == ["/dev/zero", "."]


@pytest.mark.parametrize("tables", [("a.csv", "b.csv"), ("a/a.csv",)])
def test_only_one_table_at_the_top_is_a_manifest(as_zip: Write, png: Png, tables: tuple[str, ...]) -> None:
    files = {**dict.fromkeys(tables, b"path,label\na/1.png,x\n"), "a/1.png": png(), "b/1.png": png()}
    dataset = load_dataset(as_zip(files))
    assert dataset.alphabet.labels == ("a", "b")
    assert {problem.where for problem in dataset.problems} == set(tables)


@given(
    st.lists(st.sampled_from(["path", "label", "split", ",", "\n", '"', "x", "train", "\0", "\r", ";", "é"]))
)
def test_any_text_is_a_dataset_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes("".join(["path,label\n", *pieces]).encode())
    with suppress(KalamosError):
        load_dataset(path)


def test_backslashes_of_windows_separate_folders(load: Load) -> None:
    dataset = load("path,label\r\nx.png,a\r\ndeep\\z.png,b\r\n.\\y.png,a\r\nno\\z.png,a\r\n")
    assert [int(image[0, 0]) for image in dataset.train.images] == [1, 3, 2]
    assert len(dataset.problems) == 1


def test_a_name_that_really_has_a_backslash_wins(tmp_path: Path, png: Png) -> None:
    (tmp_path / "a").mkdir()
    for place, name in enumerate(("a\\1.png", "a/1.png", "b.png")):
        try:
            (tmp_path / name).write_bytes(png(place))
        except OSError:
            pytest.skip("this file system takes no such name")
    (tmp_path / "list.csv").write_text("path,label\na\\1.png,a\nb.png,b\n")
    assert [int(image[0, 0]) for image in load_dataset(tmp_path / "list.csv").train.images] == [0, 2]
