from __future__ import annotations

import io
import os
import stat
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest

from kalamos.errors import CorruptImageError, ImageTooLargeError, UnsupportedImageError
from kalamos.images.files import MAX_MEMBER_BYTES
from kalamos.inputs.item import NamedImage
from kalamos.inputs.zips import read_zip


@pytest.fixture(autouse=True)
def _here(here: Path) -> None:
    """Archives lie in a new folder."""


def pack(*members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return sink.getvalue()


def read(content: bytes) -> list[NamedImage | None]:
    Path("x.zip").write_bytes(content)
    return list(read_zip("x.zip"))


def only(content: bytes) -> NamedImage:
    [member] = read(content)
    assert member is not None
    return member


def patched(content: bytes, *, size: int) -> bytes:
    """Another uncompressed size, in both of the places where an archive has it."""
    changed = bytearray(content)
    changed[22:26] = changed[changed.rindex(b"PK\1\2") + 24 :][:4] = struct.pack("<I", size)
    place = changed.rindex(b"PK\1\2") + 24
    changed[place : place + 4] = struct.pack("<I", size)
    return bytes(changed)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_come_in_the_order_of_a_folder(method: int) -> None:
    names = ["sub.png", "sub/b.png", "B.png", "sub/A.png", "a.png", "Sub2/z.png", "C.png"]
    found = read(pack(*[(name, name.encode()) for name in names], method=method))
    expected = ["a.png", "B.png", "C.png", "sub/A.png", "sub/b.png", "sub.png", "Sub2/z.png"]
    assert found == [(f"x.zip/{name}", name.encode()) for name in expected]


def test_others_are_counted_and_hidden_ones_and_folders_passed_over() -> None:
    members = [
        "folder.png/",
        "a.png",
        "notes.txt",
        "inner.tar",
        ".hidden.png",
        "__MACOSX/._a.png",
        ".git/a.png",
    ]
    assert read(pack(*[(name, b"") for name in members])) == [
        ("x.zip/a.png", b""),
        ("inner.tar",),
        ("notes.txt",),
    ]


@pytest.mark.parametrize(
    "name", ["../../up.png", "/etc/root.png", "a/../../b.png", "C:\\b.png", "new\nline.png"]
)
def test_names_that_point_outside_are_names_only(name: str) -> None:
    assert only(pack((name, b"A"))) == (f"x.zip/{name}", b"A")


def test_an_old_archive_s_name_in_utf8_and_one_in_no_encoding() -> None:
    info = zipfile.ZipInfo("0000.png")
    for raw, name in (("é.p".encode(), "é.p"), (b"\xff\xfe.p", "\xa0■.p")):
        content = pack((info, b"A")).replace(b"0000.p", b"00" + raw if len(raw) == 4 else b"0" + raw)
        assert only(content).name == f"x.zip/{'00' if len(raw) == 4 else '0'}{name}ng"


@pytest.mark.parametrize("before", [b"", b"#!/bin/sh\nexit\n"])
@pytest.mark.parametrize("comment", [b"", b"of some length"])
@pytest.mark.parametrize("zip64", [False, True])
def test_a_comment_a_program_before_it_and_zip64_change_nothing(
    monkeypatch: pytest.MonkeyPatch, before: bytes, comment: bytes, zip64: bool
) -> None:
    if zip64:
        monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 10)
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("b.png", b"B" * 20)
        archive.writestr("A.png", b"A")
        archive.comment = comment
    assert (b"PK\x06\x06" in sink.getvalue()) == zip64
    assert read(before + sink.getvalue()) == [("x.zip/A.png", b"A"), ("x.zip/b.png", b"B" * 20)]


@pytest.mark.parametrize("cut", [1, 21, 30, 60, 200])
def test_what_is_cut_off_is_no_archive(cut: int) -> None:
    with pytest.raises(CorruptImageError):
        read(pack(("a.png", b"A" * 99), ("b.png", b"B"))[:-cut])


def test_a_damaged_directory_is_no_archive() -> None:
    content = bytearray(pack(("a.png", b"A"), ("b.png", b"B")))
    content[content.rindex(b"PK\x01\x02") + 3] = 3
    with pytest.raises(CorruptImageError):
        read(bytes(content))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_members_of_one_name_are_all_there() -> None:
    assert read(pack(("a.png", b"1"), ("a.png", b"2"))) == [("x.zip/a.png", b"1"), ("x.zip/a.png", b"2")]


def test_a_bomb_is_refused_by_what_it_promises() -> None:
    member = only(patched(pack(("a.png", bytes(100_000))), size=MAX_MEMBER_BYTES + 1))
    assert isinstance(member.content, ImageTooLargeError)
    assert "x.zip/a.png: " in str(member.content)


def test_a_bomb_that_lies_is_not_unpacked() -> None:
    content = patched(pack(("a.png", bytes(200 << 20))), size=1000)
    tracemalloc.start()
    try:
        member = only(content)
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()
    assert isinstance(member.content, CorruptImageError)


def test_a_damaged_member_costs_one_row() -> None:
    content = bytearray(
        pack(("a.png", b"A" * 50), ("b.png", b"B" * 50), ("c.png", b"C"), method=zipfile.ZIP_STORED)
    )
    place = content.index(b"BBBB")
    content[place] ^= 1
    first, damaged, last = read(bytes(content))
    assert (first, last) == (("x.zip/a.png", b"A" * 50), ("x.zip/c.png", b"C"))
    assert damaged is not None
    assert isinstance(damaged.content, CorruptImageError)


def test_an_encrypted_member_is_a_row() -> None:
    content = bytearray(pack(("a.png", b"A")))
    content[6] |= 1
    content[content.rindex(b"PK\1\2") + 8] |= 1
    member = only(bytes(content))
    assert isinstance(member.content, UnsupportedImageError)
    assert "encrypted; unpack it" in str(member.content)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_cannot_be_bounded_are_refused(method: int) -> None:
    assert isinstance(only(pack(("a.png", b"A" * 100), method=method)).content, UnsupportedImageError)


def test_a_link_is_a_row_and_not_followed() -> None:
    link = zipfile.ZipInfo("link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    member = only(pack((link, b"/etc/passwd")))
    assert isinstance(member.content, UnsupportedImageError)
    assert "link" in str(member.content)


@pytest.mark.parametrize(
    "content", [b"", b"PK\3\4", b"no archive" * 100, pack(("a.png", os.urandom(999)))[:-30]]
)
def test_what_is_no_archive_or_breaks_off(content: bytes) -> None:
    with pytest.raises(CorruptImageError, match=r"x\.zip: not a zip archive, or a damaged one"):
        read(content)


def test_a_local_header_of_another_name_or_beyond_the_end() -> None:
    content = bytearray(pack(("a.png", b"A"), ("b.png", b"B")))
    renamed = bytes(content[:30]) + b"z" + bytes(content[31:])
    place = content.rindex(b"PK\1\2") + 42
    content[place : place + 4] = struct.pack("<I", 1 << 30)
    for damaged, bad in ((renamed, 0), (bytes(content), 1)):
        members = read(damaged)
        errors = [member is not None and isinstance(member.content, CorruptImageError) for member in members]
        assert errors == [bad == 0, bad == 1]


def test_an_archive_within_itself_a_hundred_times(png: bytes) -> None:
    """Members that all point at the same bytes: what comes out is more than went in, one at a time."""
    local = b"PK\3\4" + struct.pack("<5H3I2H", 20, 0, 0, 0, 0, zlib.crc32(png), len(png), len(png), 5, 0)
    entry = struct.pack(
        "<6H3I5H2I", 20, 20, 0, 0, 0, 0, zlib.crc32(png), len(png), len(png), 5, 0, 0, 0, 0, 0, 0
    )
    directory = (b"PK\1\2" + entry + b"a.png") * 100
    body = local + b"a.png" + png
    end = b"PK\5\6" + struct.pack("<4H2IH", 0, 0, 100, 100, len(directory), len(body), 0)
    # Since CVE-2019-9674 some Pythons refuse members that overlap; either way each is a row.
    members = read(body + directory + end)
    assert len(members) == 100
    assert members[0] is not None
    assert members[0].name == "x.zip/a.png"


def test_very_many_members_are_listed_in_little_memory() -> None:
    content = pack(*[(f"{index % 100}/{index}.png", b"") for index in range(5000)], method=zipfile.ZIP_STORED)
    Path("x.zip").write_bytes(content)
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_zip("x.zip")) == 5000
        assert tracemalloc.get_traced_memory()[1] < 5000 * 1500
    finally:
        tracemalloc.stop()
