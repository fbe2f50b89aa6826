from __future__ import annotations

import os
import stat
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalamos.datasets.sources import open_source
from kalamos.errors import DatasetError
from kalamos.inputs.files import is_safe_path, natural_order

Write = Callable[[Mapping[str, bytes]], Path]


def test_members_are_listed_in_natural_order_without_what_systems_leave_behind(as_either: Write) -> None:
    junk = ("__MACOSX/a/._1.png", "a/._1.png", "a/Thumbs.db", ".DS_Store", ".git/x", "a/desktop.ini")
    files = {name: name.encode() for name in ("b/10.png", "b/9.png", "a/ب.png", "top.txt", *junk)}
    with open_source(as_either(files)) as source:
        assert source.name == "letters"
        assert source.members == ("a/ب.png", "b/9.png", "b/10.png", "top.txt")
        assert source.folders == ("a", "b")
        assert source.problems == ()
        assert [source.read(member).decode() for member in source.members] == list(source.members)


def test_empty_folders_are_seen(as_either: Write) -> None:
    with open_source(as_either({"a/b/": b"", "c/x": b""})) as source:
        assert source.folders == ("a", "a/b", "c")
        assert source.members == ("c/x",)


@pytest.mark.parametrize("member", ["absent", "../letters.zip", "/etc/hostname", "a"])
def test_only_members_can_be_read(as_either: Write, member: str) -> None:
    with open_source(as_either({"a/b": b"1"})) as source, pytest.raises(DatasetError, match="there is no"):
        source.read(member)


def test_a_limit_on_bytes_holds(as_either: Write) -> None:
    with open_source(as_either({"a": b"12345"})) as source:
        assert source.read("a", limit=5) == b"12345"
        with pytest.raises(DatasetError, match="5 bytes are more than the limit of 4"):
            source.read("a", limit=4)


@pytest.mark.parametrize(
    "member",
    ["../x.png", "a/../../x.png", "/x.png", "C:/x.png", "c:x.png", "a\\..\\x.png", "\\\\host\\x.png", "a/.."],
)
def test_archives_that_point_outside_are_refused(as_zip: Write, member: str) -> None:
    with pytest.raises(DatasetError, match="points outside") as caught:
        open_source(as_zip({"a/1.png": b"", member: b""}))
    assert repr(member) in caught.value.problem


@given(st.text(st.sampled_from(["a", ".", "/", "\\", ":", "b"]), max_size=8))
def test_a_safe_name_lands_below_its_folder(member: str) -> None:
    if is_safe_path(member):
        assert os.path.normpath(f"/top/inside/{member}").startswith("/top/inside")
        assert ":" not in member[1:2] or not member[0].isalpha()
    elif "\\" not in member and ":" not in member:
        assert member.startswith("/") or ".." in member.split("/")


def link_entry(name: str, target: str) -> tuple[zipfile.ZipInfo, str]:
    entry = zipfile.ZipInfo(name)
    entry.create_system = 3
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry, target


@pytest.mark.parametrize("target", ["../../secret", "/etc/passwd", "..\\x"])
def test_a_link_in_an_archive_that_leaves_it_is_refused(tmp_path: Path, target: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(*link_entry("a/link.png", target))
    with pytest.raises(DatasetError, match=r"'a/link\.png' is a link that points outside"):
        open_source(tmp_path / "a.zip")


def test_a_link_inside_an_archive_is_a_problem(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a/1.png", b"")
        archive.writestr(*link_entry("b/link.png", "../a/1.png"))
    with open_source(tmp_path / "a.zip") as source:
        assert source.members == ("a/1.png",)
        assert [str(problem) for problem in source.problems] == ["b/link.png: a link inside an archive"]


def test_links_of_a_folder(as_folder: Write, tmp_path: Path) -> None:
    folder = as_folder({"a/1.png": b"one", "b/": b""})
    (folder / "b" / "inside.png").symlink_to("../a/1.png")
    (folder / "b" / "loop").symlink_to("..")
    (folder / "b" / "broken.png").symlink_to("absent")
    (folder / "b" / "self").symlink_to("self")
    with open_source(folder) as source:
        assert source.members == ("a/1.png", "b/inside.png")
        assert source.read("b/inside.png") == b"one"
        assert [str(problem) for problem in source.problems] == [
            "b/broken.png: a broken link",
            "b/loop: a link to a folder",
            "b/self: a link to itself",
        ]
    (tmp_path / "other").symlink_to(folder)
    with open_source(tmp_path / "other") as source:  # what is named may be a link itself
        assert source.read("a/1.png") == b"one"
    (folder / "b" / "outside.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(DatasetError, match=r"'b/outside\.png' is a link that points outside"):
        open_source(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
def test_a_fifo_is_a_problem(as_folder: Write) -> None:
    folder = as_folder({"a/1.png": b""})
    os.mkfifo(folder / "a" / "pipe.png")
    with open_source(folder) as source:
        assert [str(problem) for problem in source.problems] == ["a/pipe.png: not a regular file"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file system that takes any bytes as a name")
def test_names_that_are_no_text_can_be_read(as_folder: Write) -> None:
    folder = as_folder({"a/": b""})
    Path(os.fsdecode(os.fsencode(folder) + b"/a/caf\xe9.png")).write_bytes(b"1")
    with open_source(folder) as source:
        assert source.read(source.members[0]) == b"1"


def test_names_in_utf_8_are_known_though_the_archive_does_not_say_so(tmp_path: Path) -> None:
    content = bytearray()
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ب/1.png", b"1")
        archive.writestr("é/1.png", b"2")
    content += path.read_bytes()
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        start = content.find(signature)
        while start >= 0:
            flags = struct.unpack_from("<H", content, start + offset)[0]
            struct.pack_into("<H", content, start + offset, flags & ~0x800)
            start = content.find(signature, start + 1)
    path.write_bytes(content)
    with open_source(path) as source:
        assert source.members == ("é/1.png", "ب/1.png")
        assert source.read("ب/1.png") == b"1"


def test_names_in_the_old_code_page_stay_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("Xa.png", b"1")
        archive.writestr("Xb.png", b"2")
    path.write_bytes(path.read_bytes().replace(b"Xa.png", b"\x82a.png").replace(b"Xb.png", b"\xe1b.png"))
    with open_source(path) as source:
        assert source.members == ("ßb.png", "éa.png")
        assert source.read("éa.png") == b"1"


def test_an_encrypted_archive_is_refused(as_zip: Write) -> None:
    path = as_zip({"a/1.png": b"secret"})
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.find(signature) + offset] |= 1
    path.write_bytes(content)
    with pytest.raises(DatasetError, match="the archive is encrypted; unpack it"):
        open_source(path)


def test_a_bomb_is_refused_before_it_is_read(as_zip: Write) -> None:
    path = as_zip({"a/1.png": bytes(3_000_000)})
    assert path.stat().st_size < 10_000
    with open_source(path) as source, pytest.raises(DatasetError, match="more than the limit of 1,000,000"):
        source.read("a/1.png", limit=1_000_000)


def test_a_bomb_that_lies_about_its_size_gives_no_more_than_it_promises(as_zip: Write) -> None:
    path = as_zip({"a/1.png": bytes(50_000_000)})
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.find(b"PK\1\2") + 24, 1000)
    path.write_bytes(content)
    script = (
        "import resource, sys, tracemalloc; from kalamos.datasets.sources import open_source\n"
        "source = open_source(sys.argv[1]); tracemalloc.start()\n"
        "try: source.read('a/1.png')\n"
        "except Exception as error: print(type(error).__name__)\n"
        "print(tracemalloc.get_traced_memory()[1] < 2_000_000)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["DatasetError", "True"]


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_methods_than_deflate_are_refused_member_by_member(tmp_path: Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a", b"1")
        archive.writestr("b", b"2", compress_type=method)
    with open_source(tmp_path / "a.zip") as source:
        assert source.read("a") == b"1"
        with pytest.raises(DatasetError, match="b: compressed by another method than deflate"):
            source.read("b")


def test_a_name_of_thousands_of_folders_is_refused(as_zip: Write) -> None:
    with pytest.raises(DatasetError, match="lies 20001 folders deep"):
        open_source(as_zip({"a/" * 20_000 + "1.png": b""}))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_twice_is_a_problem(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a", b"1")
        archive.writestr("./a", b"2")
    with open_source(tmp_path / "a.zip") as source:
        assert source.read("a") == b"1"
        assert [str(problem) for problem in source.problems] == [
            "a: twice in the archive; the first one counts"
        ]


@given(data=st.data())
def test_any_damage_is_a_dataset_error(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a/1.png", "ب/2.png"):
            archive.writestr(name, name.encode() * 20)
    content = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        del content[position:]
    else:
        content[position] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with suppress(DatasetError), open_source(path) as source:
        for member in source.members:
            with suppress(DatasetError):
                source.read(member)


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"\xff\xd8\xff\xe0", b"text"])
def test_what_is_no_archive_says_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DatasetError, match=r"a\.zip: not a zip archive, or a damaged one"):
        open_source(tmp_path / "a.zip")


@pytest.mark.parametrize("path", ["absent", "a\0b", "x" * 5000])
def test_what_is_not_there_says_so(path: str) -> None:
    with pytest.raises(DatasetError, match="cannot be opened"):
        open_source(path)


@given(st.lists(st.text(st.sampled_from("019a٣ß-"), max_size=6), max_size=8))
def test_the_natural_order_is_total_and_knows_numbers(texts: list[str]) -> None:
    ordered, again = sorted(texts, key=natural_order), texts[::-1]
    assert ordered == sorted(again, key=natural_order)
    numbers = [int(text) for text in ordered if text.isascii() and text.isdigit()]
    assert numbers == sorted(numbers)


def test_a_number_of_many_digits_is_no_trouble() -> None:
    assert min("9" * 10_000, "2", "1" + "0" * 10_000, key=natural_order) == "2"
