from __future__ import annotations

import io
import itertools
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalamos.errors import UsageError
from kalamos.images import EXTENSIONS
from kalamos.inputs.files import HEAD_BYTES, ImageSearch, container_kind, container_kind_of_bytes, find_images


def old_tar(name: str) -> bytes:
    """As before POSIX: the checksum, but no signature."""
    info = tarfile.TarInfo(name)
    block = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    block[257:512] = bytes(255)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"PK\3\4....", "zip"),
        (b"PK\5\6" + bytes(18), "zip"),
        (b"PAR1\x15\x04", "parquet"),
        (b"PAR1,path\n", None),
        (b"\x1f\x8b\x08\0", "tar"),
        (b"BZh91AY&SY", "tar"),
        (b"BZh9/a.png\n", None),
        (b"\xfd7zXZ\0", "tar"),
        (tarfile.TarInfo("a.png").tobuf(tarfile.GNU_FORMAT), "tar"),
        (tarfile.TarInfo("a.png").tobuf(tarfile.PAX_FORMAT), "tar"),
        (old_tar("a.png"), "tar"),
        (old_tar("a.png")[:-1], None),
        (b"x" + old_tar("a.png")[1:], None),
        (bytes(512), None),
        (b"path,label\n", None),
        (b"", None),
    ],
)
def test_the_first_bytes_tell(head: bytes, kind: str | None) -> None:
    assert container_kind_of_bytes(head) == kind


@pytest.mark.parametrize("ending", [".png", ".jpg", ".bmp", ".gif", ".webp", ".tif"])
def test_no_image_is_a_container_whatever_it_is_called(here: Path, ending: str) -> None:
    for side in (1, 28, 300):
        content = cv2.imencode(ending, np.full((side, side, 3), side % 256, np.uint8))[1].tobytes()
        assert container_kind_of_bytes(content[:HEAD_BYTES]) is None
        for name in (f"a{ending}", "a.zip", "a.csv", "a.tsv"):
            Path(name).write_bytes(content)
            assert container_kind(name) is None


@pytest.mark.parametrize("name", ["a.csv", "a.CSV", "a.tsv"])
def test_a_table_of_text_is_told_by_its_name(here: Path, name: str) -> None:
    for content in (b"path\na.png\n", b"", b"BMI,path\n", "\N{BOM}path".encode(), "path\n".encode("utf-16")):
        Path(name).write_bytes(content)
        assert container_kind(name) == "csv"
        Path("a.txt").write_bytes(content)
        assert container_kind("a.txt") is None


def test_an_archive_is_one_whatever_it_is_called(here: Path) -> None:
    sink = io.BytesIO()
    tarfile.open(fileobj=sink, mode="w:gz").close()
    for name in ("a.png", "a.csv", "a"):
        Path(name).write_bytes(sink.getvalue())
        assert container_kind(name) == "tar"


def test_what_is_no_regular_file_is_left_alone(here: Path) -> None:
    Path("folder.zip").mkdir()
    os.mkfifo("pipe.zip")  # opened, it would wait for a writer for ever
    for name in ("folder.zip", "pipe.zip", "none.zip", "a\0b.csv", "x" * 5000):
        assert container_kind(name) is None


Fill = Callable[..., None]


@pytest.fixture
def fill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fill:
    """Makes empty files, with their folders, in the current folder, which is a new one."""
    monkeypatch.chdir(tmp_path)

    def fill(*names: str) -> None:
        for name in names:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).touch()

    return fill


def test_sub_folders_are_searched_in_order(fill: Fill) -> None:
    fill("d/b.png", "d/A.png", "d/B/z.png", "d/a/Y.PNG", "d/a/x.jpeg", "d/c.tif")
    assert list(find_images(["d"])) == [
        "d/a/x.jpeg",
        "d/a/Y.PNG",
        "d/A.png",
        "d/B/z.png",
        "d/b.png",
        "d/c.tif",
    ]


def test_arguments_are_put_in_order_whatever_their_case(fill: Fill) -> None:
    assert list(find_images(["C.png", "b.png", "A/d.png", "a/c.png"])) == [
        "a/c.png",
        "A/d.png",
        "b.png",
        "C.png",
    ]


def test_names_that_differ_in_case_alone_have_one_order(fill: Fill) -> None:
    names = ["".join(letters) for letters in itertools.product("aA", "bB", "cC", "dD")]
    fill(*[f"d/{name}.png" for name in names])
    if len(list(Path("d").iterdir())) < len(names):
        pytest.skip("this file system takes them for one name")
    expected = [f"d/{name}.png" for name in sorted(names)]
    assert list(find_images(["d"])) == expected
    assert list(find_images(expected[::-1])) == expected


@given(st.lists(st.text("aAbB/.", min_size=1, max_size=6), min_size=1, max_size=6, unique=True))
def test_the_order_of_the_arguments_does_not_matter(paths: list[str]) -> None:
    # Names that are nowhere on the disk, so that each comes back as it is.
    names = [f"nowhere/{path}.png" for path in paths]
    assert list(find_images(names)) == list(find_images(names[::-1])) == list(find_images(sorted(names)))
    assert sorted(find_images(names)) == sorted(names)


@pytest.mark.parametrize("given", ["d", "./d", "d/", "d//", "../x/d"])
def test_paths_begin_as_they_were_given(fill: Fill, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    fill("x/d/a.png")
    monkeypatch.chdir("x")
    [path] = find_images([given])
    assert path.startswith(given)
    assert Path(path).samefile("d/a.png")


@pytest.mark.parametrize("extension", sorted(EXTENSIONS))
def test_every_extension_in_either_case(fill: Fill, extension: str) -> None:
    fill(f"d/a{extension}", f"d/b{extension.upper()}")
    assert len(list(find_images(["d"]))) == 2


def test_others_are_counted_anew_at_each_search(fill: Fill) -> None:
    fill("d/a.png", "d/b.txt", "d/sub/Thumbs.db", "d/.hidden", "d/.hidden.png", "d/.git/c.png")
    search = ImageSearch(["d"])
    for _ in range(2):
        assert list(search) == ["d/a.png"]
        assert search.skipped.total == 2


def test_a_hidden_folder_that_is_named_is_searched(fill: Fill) -> None:
    fill(".secret/a.png")
    assert list(find_images([".secret"])) == [".secret/a.png"]


def test_links_to_files_and_folders_are_followed(fill: Fill, tmp_path: Path) -> None:
    fill("elsewhere/a.png", "d/b.png")
    Path("d/folder").symlink_to(tmp_path / "elsewhere")
    Path("d/file.png").symlink_to(tmp_path / "elsewhere" / "a.png")
    Path("d/broken.png").symlink_to("nowhere")
    assert list(find_images(["d"])) == ["d/b.png", "d/broken.png", "d/file.png", "d/folder/a.png"]


def test_links_that_lead_back_end_the_search(fill: Fill) -> None:
    fill("d/one/a.png", "d/two/b.png")
    Path("d/one/up").symlink_to("..")
    Path("d/two/across").symlink_to("../one")
    Path("d/itself").symlink_to("itself")
    Path("d/itself.png").symlink_to("itself.png")
    search = ImageSearch(["d"])
    assert list(search) == ["d/itself.png", "d/one/a.png", "d/two/across/a.png", "d/two/b.png"]
    assert search.skipped.total == 1


@pytest.fixture
def nest(fill: Fill) -> Iterator[Callable[[str, int], None]]:
    """Makes folders `name` in each other, in the folder `d`, with an image in the innermost.

    Step by step, as no system makes or removes any depth at once, and pytest's own tidying up cannot.
    """
    top, made = Path.cwd(), []

    def nest(name: str, depth: int) -> None:
        fill("d/a.png")
        os.chdir("d")
        for _ in range(depth):
            Path(name).mkdir()
            os.chdir(name)
            made.append(name)
        Path("z.png").touch()
        os.chdir(top)

    yield nest
    os.chdir(top / "d")
    for name in made:
        os.chdir(name)
    Path("z.png").unlink()
    for name in reversed(made):
        os.chdir("..")
        Path(name).rmdir()


def test_folders_deeper_than_calls_may_go(nest: Callable[[str, int], None]) -> None:
    nest("n", 1200)
    assert list(find_images(["d"])) == ["d/a.png", f"d/{'n/' * 1200}z.png"]


def test_a_folder_whose_path_is_too_long_becomes_a_row(nest: Callable[[str, int], None]) -> None:
    nest("n" * 250, 20)  # 5,000 characters, where Linux takes 4,096
    first, last = find_images(["d"])
    assert first == "d/a.png"
    assert last.endswith("/" + "n" * 250)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_may_not_be_listed_becomes_a_row(fill: Fill) -> None:
    fill("d/a.png", "d/locked/b.png")
    Path("d/locked").chmod(0)
    try:
        assert list(find_images(["d"])) == ["d/a.png", "d/locked"]
        assert list(find_images(["d/locked"])) == ["d/locked"]
    finally:
        Path("d/locked").chmod(0o700)


def test_a_missing_file_is_passed_on(fill: Fill) -> None:
    assert list(find_images(["none.png", "", "none/a.png"])) == ["", "none/a.png", "none.png"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("d/*.png", ["d/A.png", "d/b.png"]),
        ("d/**/*.png", ["d/A.png", "d/b.png", "d/sub/c.png"]),
        ("d/?.png", ["d/A.png", "d/b.png"]),
        ("d/[b-z].png", ["d/b.png"]),
        ("d/*", ["d/A.png", "d/b.png", "d/notes.txt"]),
    ],
)
def test_globs(fill: Fill, pattern: str, found: list[str]) -> None:
    fill("d/b.png", "d/A.png", "d/sub/c.png", "d/notes.txt")
    assert list(find_images([pattern])) == found


def test_a_name_that_looks_like_a_glob_is_a_name_where_it_exists(fill: Fill) -> None:
    fill("a[1].png", "a1.png", "b[1]/c.png")
    assert list(find_images(["a[1].png"])) == ["a[1].png"]
    assert list(find_images(["b[1]"])) == ["b[1]/c.png"]


@pytest.mark.parametrize("path", ["d", "d/*", "*.png", "d/only a folder"])
def test_nothing_found_is_told(fill: Fill, path: str) -> None:
    fill("d/only a folder/notes.txt")
    with pytest.raises(UsageError, match=r"no image in this folder|matches no file"):
        list(find_images([path]))


def test_a_name_cannot_write_to_the_terminal(fill: Fill) -> None:
    fill("red\x1b[31m/notes.txt")
    with pytest.raises(UsageError) as caught:
        list(find_images(["red\x1b[31m"]))
    assert str(caught.value).isprintable()


def test_the_search_is_lazy(fill: Fill) -> None:
    fill("a/x.png")
    found = find_images(["a", "later"])
    assert next(found) == "a/x.png"
    fill("later/y.png")
    assert next(found) == "later/y.png"


def test_one_that_holds_nothing_is_passed_on_among_others(fill: Fill) -> None:
    fill("a/x.png", "empty/notes.txt")
    assert list(find_images(["empty", "*.gif", "a"])) == ["*.gif", "a/x.png", "empty"]
