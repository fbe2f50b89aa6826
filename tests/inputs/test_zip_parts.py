from __future__ import annotations

import io
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalamos.inputs import zip_parts as module
from kalamos.inputs.zip_parts import zip_parts
from kalamos.zip_entries import ZIP_DAMAGE

NAMES = ["sub/b.png", "B.png", "sub/A.png", "a.png", ".hidden/x.png", "folder/", "é ط.png", "C.png", "a.png"]


@pytest.fixture(params=["whole", "parts"])
def _either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGE", 0 if request.param == "parts" else 1 << 30)
    monkeypatch.setattr(module, "PART", 2)


def pack(names: list[str], comment: bytes = b"") -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for at, name in enumerate(names):
            archive.writestr(zipfile.ZipInfo(name), b"" if name.endswith("/") else f"{at} {name}".encode())
        archive.comment = comment
    return sink.getvalue()


def read(content: bytes) -> list[tuple[str, bytes]]:
    parts = zip_parts(io.BytesIO(content))
    return [(name, archive.read(entry)) for archive, entries in parts for name, entry in entries]


@pytest.mark.usefixtures("_either_way")
@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("comment", [b"", b"of some length"])
@pytest.mark.parametrize("before", [b"", b"#!/bin/sh\nexit\n"])
def test_every_entry_comes_once_in_order(comment: bytes, before: bytes) -> None:
    wanted = [
        ("a.png", b"3 a.png"),
        ("a.png", b"8 a.png"),
        ("B.png", b"1 B.png"),
        ("C.png", b"7 C.png"),
        ("sub/A.png", b"2 sub/A.png"),
        ("sub/b.png", b"0 sub/b.png"),
        ("é ط.png", "6 é ط.png".encode()),
    ]
    assert read(before + pack(NAMES, comment)) == wanted


@pytest.mark.usefixtures("_either_way")
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_of_more_than_32_bits_can_count(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = pack(NAMES)
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 10)
    large = pack(NAMES)
    assert b"PK\x06\x06" in large
    expected = read(plain)
    monkeypatch.setattr(module, "UNSIGNED_32", 10)
    assert read(large) == expected


@pytest.mark.usefixtures("_either_way")
def test_names_of_the_old_code_page_are_utf_8_where_they_can_be() -> None:
    content = pack(["ط.png"]).replace("ط".encode(), b"\xd8\xb7")
    flagged = content.rindex(b"PK\x01\x02") + 8
    unflagged = bytearray(content)
    for place in (6, flagged):
        unflagged[place : place + 2] = b"\0\0"
    [(name, _)] = read(bytes(unflagged))
    assert name == "ط.png"


@pytest.mark.usefixtures("_either_way")
@pytest.mark.parametrize("cut", [1, 21, 30, 60, 200])
def test_what_is_cut_off_is_no_archive(cut: int) -> None:
    with pytest.raises((zipfile.BadZipFile, OSError)):
        read(pack(["a.png", "b.png"])[:-cut])


@pytest.mark.parametrize(
    ("at", "value", "told"), [(0, b"PK\x01\x03", "Bad magic"), (28, b"\xff\xff", "Truncated")]
)
def test_a_damaged_directory_is_no_archive(
    monkeypatch: pytest.MonkeyPatch, at: int, value: bytes, told: str
) -> None:
    monkeypatch.setattr(module, "LARGE", 0)
    content = bytearray(pack(["a.png", "b.png"]))
    place = content.rindex(b"PK\x01\x02") + at
    content[place : place + len(value)] = value
    with pytest.raises(zipfile.BadZipFile, match=told):
        read(bytes(content))


@given(st.data())
def test_damage_is_told_as_zipfile_tells_it(data: st.DataObject) -> None:
    content = bytearray(pack(["a.png", "sub/B.png", "c.png"]))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    found = []
    with pytest.MonkeyPatch.context() as patch:
        for large in (0, 1 << 30):
            patch.setattr(module, "LARGE", large)
            try:
                parts = zip_parts(io.BytesIO(bytes(content)))
                found.append([(name, entry.header_offset) for _, entries in parts for name, entry in entries])
            except ZIP_DAMAGE:
                found.append([])
    if all(found):
        assert found[0] == found[1]


def test_memory_does_not_grow_with_the_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kalamos.external_sort.RUN", 1_000)
    monkeypatch.setattr("kalamos.external_sort.BLOCK", 100)
    monkeypatch.setattr(module, "LARGE", 0)

    def peak(count: int) -> int:
        path = tmp_path / f"{count}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for number in range(count):
                archive.writestr(zipfile.ZipInfo(f"{7919 * number % count:06d}.png"), b"")
        tracemalloc.start()
        try:
            with path.open("rb") as file:
                found, last = 0, ""
                for _, entries in zip_parts(file):
                    for name, _ in entries:
                        assert name > last
                        found, last = found + 1, name
            assert found == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    # `zipfile` alone would take ten times as much.
    assert peak(12_000) - peak(2_000) < 700_000
