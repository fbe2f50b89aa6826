from __future__ import annotations

import contextlib
import gzip
import io
import os
import random

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalamos.errors import CorruptImageError, ImageTooLargeError, KalamosError, UnsupportedImageError
from kalamos.images.files import MAX_MEMBER_BYTES
from kalamos.inputs.item import Item, NamedImage
from kalamos.inputs.stdin import HEAD_BYTES, MAX_PATH_BYTES, read_stdin


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


@pytest.mark.parametrize(
    "content", [b"%PDF-1.7\n%\xe2\xe3\n", b"\x7fELF\x02\x01", b"abc\0\0def", b"a\x1bb\n"]
)
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


@given(st.binary(max_size=HEAD_BYTES + 100) | st.binary(max_size=40))
def test_no_bytes_bring_it_down(content: bytes) -> None:
    with contextlib.suppress(KalamosError):
        read(content)
