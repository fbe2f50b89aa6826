from __future__ import annotations

import contextlib
import csv
import gzip
import io
import os
import pickle
import random
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest
from fuzz.documents import SQUARE, pages_of, pdf_file
from hypothesis import given
from hypothesis import strategies as st

from kalamos.errors import (
    CorruptImageError,
    ImageError,
    ImageNotFoundError,
    ImageTooLargeError,
    KalamosError,
    UnsupportedImageError,
    UsageError,
)
from kalamos.images import load_grey
from kalamos.images.files import MAX_MEMBER_BYTES
from kalamos.inputs import InputSearch, Item, NamedImage
from kalamos.inputs.files import ImageSearch
from kalamos.inputs.search import MAX_PATH_BYTES, STDIN_HEAD_BYTES, count_images, read_stdin

PNG = bytes.fromhex("89504e470d0a1a0a")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images, hidden and other files, and two archives (which a searched folder passes over)."""
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for name in ("1.png", "2.JPG", "deep/3.tif", "deep/er/4.webp", ".hidden.png", "notes.txt"):
        (tmp_path / name).write_bytes(PNG)
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        for name in ("a.png", "b/c.png", "b/.d.png", "readme.txt"):
            archive.writestr(name, PNG)
    with tarfile.open(tmp_path / "some.tar", "w") as tar:
        tar.add(tmp_path / "1.png", "1.png")
    (tmp_path / "list.csv").write_text("path\n1.png\n")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    return tmp_path


@pytest.mark.parametrize(
    "names",
    [
        ["."],
        ["1.png", "deep"],
        ["some.zip"],
        ["some.zip", "deep", "empty.zip"],
        ["*.png"],
        ["1.png", "no.png"],
    ],
)
def test_the_count_is_that_of_the_search(folder: Path, names: list[str]) -> None:
    paths = [os.path.join(folder, name) for name in names]  # noqa: PTH118
    assert count_images(paths) == len(list(InputSearch(paths)))


@pytest.mark.parametrize("name", ["some.tar", "list.csv", "no.png", "empty"])
def test_what_only_reading_tells_is_not_counted(folder: Path, name: str) -> None:
    (folder / "empty").mkdir()
    assert count_images([str(folder / name)]) is None
    assert count_images([str(folder / "1.png"), "-"]) is None


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
        search.skipped.total == 4
    )  # inner.zip in the folder, notes.txt and nested.tar in the zip, x.md in the tar


def test_counting_begins_anew_and_a_glob_names_what_it_matches(mixed: Path) -> None:
    search = InputSearch(["*.zip", "scans.*"])
    for _ in range(2):
        assert names(search) == ["Forms.zip/a/A.png", "Forms.zip/b.png", "scans.tar/z.png", "scans.tar/a.png"]
        assert search.skipped.total == 3


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
    for name_given in ("a.zip", "b.tar", "c.csv"):
        with pytest.raises(UsageError, match=rf"{name_given}: no image in it"):
            list(InputSearch([name_given]))
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
    for name_given in (["folder"], ["folder/a.png", "-"]):
        with pytest.raises(UsageError, match="column 'path': no CSV or Parquet file is named"):
            InputSearch(name_given, column="path")
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


class Trickle(io.RawIOBase):
    """A pipe that gives a few bytes at a time."""

    def __init__(self, content: bytes, seed: int) -> None:
        self._content, self._dice = memoryview(content), random.Random(seed)  # noqa: S311

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        part = self._content[: min(len(buffer), self._dice.randint(1, 700))]
        buffer[: len(part)] = part
        self._content = self._content[len(part) :]
        return len(part)


def read(content: bytes) -> list[Item | None]:
    """What comes of it, which must not depend on how the pipe divides it."""
    whole = list(read_stdin(io.BytesIO(content)))
    assert list(read_stdin(io.BufferedReader(Trickle(content, 1)))) == whole
    return whole


def test_a_list_of_paths() -> None:
    assert read(b"b.png\na.png\n") == ["b.png", "a.png"]
    assert read(b"b.png\r\na.png") == ["b.png", "a.png"]
    assert read(b"\n\na b.png \n\n") == ["a b.png "]
    assert read("\N{BOM}ب.png\n".encode()) == ["ب.png"]
    assert read(b"caf\xe9.png\n") == [os.fsdecode(b"caf\xe9.png")]


def test_paths_between_nuls_may_have_line_ends_and_control_codes() -> None:
    assert read(b"b\n.png\0a\r\0\x1b[31m.png\0") == ["b\n.png", "a\r", "\x1b[31m.png"]
    first = b"x/" * 2047 + b"\n"
    assert read(first + b"\0b.png\0") == [first.decode(), "b.png"], "the first NUL comes late"


@pytest.mark.parametrize(
    "line",
    [b"BM_scans/a.png", b"PAR1/a.png", b"RIFF/a.png", b"II/a.png", b"MM/a.png", b"PK/a.png", b"BZh9/a.png"],
)
def test_paths_that_begin_like_a_format(line: bytes) -> None:
    assert read(line + b"\nb.png\n") == [line.decode(), "b.png"]
    assert read(line + b"\0b.png\0") == [line.decode(), "b.png"]


@pytest.mark.parametrize("ending", [".png", ".jpg", ".bmp", ".gif", ".webp", ".tif"])
@pytest.mark.parametrize("side", [1, 28, 300])
def test_one_image_s_bytes(ending: str, side: int) -> None:
    noise = np.random.default_rng(side).integers(0, 255, (side, side, 3), np.uint8)
    content = cv2.imencode(ending, noise)[1].tobytes()
    assert read(content) == [("stdin", content)]


@pytest.mark.parametrize("content", [b"\x7fELF\x02\x01", b"abc\0\0def", b"a\x1bb\n"])
def test_other_binary_data_are_one_item_too(content: bytes) -> None:
    assert read(content) == [("stdin", content)]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_archive(tar_bytes, mode: str) -> None:
    big = os.urandom(200_000)
    content = tar_bytes(("b.png", b"B"), ("c.txt", b"C"), ("a/a.png", big), mode=mode)
    assert read(content) == [("stdin/b.png", b"B"), ("c.txt",), ("stdin/a/a.png", big)]


def test_the_pipe_is_read_to_its_end(tar_bytes) -> None:
    pipe = io.BytesIO(tar_bytes(("a.png", b"A")) + bytes(10_240))
    list(read_stdin(pipe))
    assert pipe.read() == b"", "tar would fail where its padding is not taken"


@pytest.mark.parametrize(
    ("content", "kind", "told"),
    [
        (b"PK\3\4\x14\0", UnsupportedImageError, "a zip archive cannot come through a pipe"),
        (b"PAR1\x15\x04", UnsupportedImageError, "a Parquet file cannot come through a pipe"),
        ("a.png\n".encode("utf-16"), UnsupportedImageError, "a list in UTF-16; write it in UTF-8"),
        (gzip.compress(b"no archive", mtime=0), CorruptImageError, "not a tar archive"),
        (
            b"a.png\n" + b"x" * 200_000,
            CorruptImageError,
            f"more than {MAX_PATH_BYTES:,} bytes without an end",
        ),
    ],
)
def test_what_cannot_be_read_is_told(content: bytes, kind: type[KalamosError], told: str) -> None:
    with pytest.raises(kind) as caught:
        list(read_stdin(io.BytesIO(content)))
    assert told in str(caught.value)


def test_nothing() -> None:
    assert read(b"") == []
    assert read(b"\n\n") == []


def test_endless_input_does_not_fill_the_memory() -> None:
    class Endless(io.RawIOBase):
        def __init__(self, pattern: bytes) -> None:
            self.given, self._pattern = 0, pattern

        def readable(self) -> bool:
            return True

        def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
            buffer[:] = (self._pattern * (len(buffer) // len(self._pattern) + 1))[: len(buffer)]
            self.given += len(buffer)
            return len(buffer)

    zeros = Endless(bytes(4096))
    [member] = read_stdin(io.BufferedReader(zeros, 1 << 20))
    assert isinstance(member, NamedImage)
    assert isinstance(member.content, ImageTooLargeError)
    assert zeros.given < MAX_MEMBER_BYTES + (4 << 20)
    letters = Endless(b"x")
    with pytest.raises(CorruptImageError):
        list(read_stdin(io.BufferedReader(letters)))
    assert letters.given < 1 << 20


def test_a_folder_for_standard_input() -> None:
    class Folder(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:  # noqa: ARG002
            raise IsADirectoryError(21, "Is a directory")

    with pytest.raises(CorruptImageError, match=r"standard input: cannot be read \(Is a directory\)"):
        list(read_stdin(Folder()))


PATHS = st.lists(
    st.binary(min_size=1, max_size=30).filter(
        lambda path: not {0, 10} & set(path) and not path.endswith(b"\r")
    )
)


@given(PATHS)
def test_any_paths_between_nuls(paths: list[bytes]) -> None:
    content = b"".join(path + b"\0" for path in [b"first", *paths])
    assert read(content) == [os.fsdecode(path) for path in [b"first", *paths]]


@given(PATHS, st.sampled_from([b"\n", b"\r\n"]))
def test_any_printable_paths_a_line(paths: list[bytes], end: bytes) -> None:
    paths = [b"/" + path.translate(None, bytes(range(32)) + b"\x7f") for path in paths]
    content = end.join(paths)
    assert read(content) == [os.fsdecode(path) for path in paths]


@given(st.binary(max_size=STDIN_HEAD_BYTES + 100) | st.binary(max_size=40))
def test_no_bytes_bring_it_down(content: bytes) -> None:
    with contextlib.suppress(KalamosError):
        read(content)


# ------------------------------------------------------------------------------ documents


def tiff_bytes(*pages: np.ndarray) -> bytes:
    return cv2.imencodemulti(".tiff", list(pages))[1].tobytes()


@pytest.fixture
def pages() -> list[np.ndarray]:
    """Three pages that differ."""
    return [np.full((40, 30), tone, np.uint8) for tone in (10, 120, 230)]


def pixels(items: Iterable[Item]) -> list[tuple[str, int]]:
    """The name and the tone of each page, or of its error the name alone."""
    found = []
    for item in items:
        assert isinstance(item, NamedImage)
        assert isinstance(item.content, bytes)
        grey = load_grey(item.content)
        assert grey.min() == grey.max()
        found.append((item.name, int(grey[0, 0])))
    return found


def test_the_pages_of_a_tiff(here: Path, pages: list[np.ndarray]) -> None:
    Path("a.tif").write_bytes(tiff_bytes(*pages))
    expected = [("#1", 10), ("#2", 120), ("#3", 230)]
    assert pixels(InputSearch(["a.tif"])) == [(f"a.tif{name}", tone) for name, tone in expected]
    # Content counts, and a glob names what it matches.
    Path("a.tif").rename("b.png")
    assert pixels(InputSearch(["*.png"])) == [(f"b.png{name}", tone) for name, tone in expected]
    assert [(name, tone) for name, tone in pixels(read_stdin(io.BytesIO(tiff_bytes(*pages))))] == [
        (f"stdin{name}", tone) for name, tone in expected
    ]
    assert count_images(["b.png"]) is None


def test_a_tiff_of_one_page_is_an_image(here: Path, pages: list[np.ndarray]) -> None:
    Path("a.tif").write_bytes(tiff_bytes(pages[0]))
    assert list(InputSearch(["a.tif"])) == ["a.tif"]
    assert count_images(["a.tif"]) == 1


def test_pdfs_in_folders_stay_closed_and_are_told(here: Path, pages: list[np.ndarray]) -> None:
    Path("folder").mkdir()
    Path("folder/a.tif").write_bytes(tiff_bytes(pages[0]))
    Path("folder/b.pdf").write_bytes(pdf_file(pages_of(SQUARE)))
    search = InputSearch(["folder"])
    assert list(search) == ["folder/a.tif"]
    assert str(search.skipped) == "1 PDF: name it to have the pages read (b.pdf)"
    # What reads pages asks for them.
    assert list(ImageSearch(["folder"], pdfs=True)) == ["folder/a.tif", "folder/b.pdf"]


def test_the_pages_of_a_pdf(here: Path) -> None:
    pytest.importorskip("pypdfium2")
    data = pdf_file(pages_of(b"", b"0 0 0 rg 0 0 99 99 re f", size=(99, 99)))
    Path("a.pdf").write_bytes(data)
    expected = [("#1", 255), ("#2", 0)]
    assert pixels(InputSearch(["a.pdf"])) == [(f"a.pdf{name}", tone) for name, tone in expected]
    assert pixels(read_stdin(io.BytesIO(data))) == [(f"stdin{name}", tone) for name, tone in expected]
    assert names(InputSearch(["a.pdf", "no.png"])) == ["a.pdf#1", "a.pdf#2", "no.png"]


def test_a_bad_page_is_one_error_and_a_bad_document_too(here: Path) -> None:
    pytest.importorskip("pypdfium2")
    objects = pages_of(b"", SQUARE, b"")
    objects[4] = objects[4].replace(b"[0 0 595 842]", b"[0 0 1000000 9]")
    Path("a.pdf").write_bytes(pdf_file(objects))
    Path("cut.pdf").write_bytes(pdf_file(objects)[:-9])
    one, two, three, cut = InputSearch(["a.pdf", "cut.pdf"])
    assert [one.name, two.name, three.name, cut.name] == ["a.pdf#1", "a.pdf#2", "a.pdf#3", "cut.pdf"]
    assert isinstance(one.content, bytes)
    assert isinstance(two.content, ImageTooLargeError)
    assert isinstance(three.content, bytes)
    assert isinstance(cut.content, CorruptImageError)


def test_a_pdf_without_the_extra_is_a_row_that_names_it(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pypdfium2", None)
    Path("a.pdf").write_bytes(pdf_file(pages_of(SQUARE)))
    [item] = InputSearch(["a.pdf"])
    assert item.name == "a.pdf"
    assert isinstance(item.content, UnsupportedImageError)
    assert item.content.remedy == "install it with: pip install 'kalamos[forms]'"


def test_a_pdf_in_an_archive_is_passed_over_and_said_so(here: Path) -> None:
    with zipfile.ZipFile("a.zip", "w") as archive:
        archive.writestr("a.png", PNG)
        archive.writestr("b.pdf", pdf_file(pages_of(SQUARE)))
    search = InputSearch(["a.zip"])
    assert names(search) == ["a.zip/a.png"]
    assert search.skipped.total == 1


def test_no_page_of_a_tiff_in_a_folder_is_lost(here: Path, pages: list[np.ndarray]) -> None:
    Path("scans").mkdir()
    Path("scans/a.TIF").write_bytes(tiff_bytes(*pages))
    Path("scans/b.tiff").write_bytes(tiff_bytes(pages[0]))
    # Called so, and an archive: those are opened where they are named, not in folders.
    with zipfile.ZipFile("scans/c.tif", "w") as archive:
        archive.writestr("one.png", cv2.imencode(".png", pages[0])[1].tobytes())
    found = [item if isinstance(item, str) else item.name for item in InputSearch(["scans"])]
    assert found == [
        *(f"scans/a.TIF#{number + 1}" for number in range(len(pages))),
        "scans/b.tiff",
        "scans/c.tif",
    ]
    assert count_images(["scans"]) is None
