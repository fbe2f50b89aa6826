from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from kalamos.inputs.kinds import CONTAINER_HEAD_BYTES, kind_of, kind_of_bytes


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
    assert kind_of_bytes(head) == kind


@pytest.mark.parametrize("ending", [".png", ".jpg", ".bmp", ".gif", ".webp", ".tif"])
def test_no_image_is_a_container_whatever_it_is_called(here: Path, ending: str) -> None:
    for side in (1, 28, 300):
        content = cv2.imencode(ending, np.full((side, side, 3), side % 256, np.uint8))[1].tobytes()
        assert kind_of_bytes(content[:CONTAINER_HEAD_BYTES]) is None
        for name in (f"a{ending}", "a.zip", "a.csv", "a.tsv"):
            Path(name).write_bytes(content)
            assert kind_of(name) is None


@pytest.mark.parametrize("name", ["a.csv", "a.CSV", "a.tsv"])
def test_a_table_of_text_is_told_by_its_name(here: Path, name: str) -> None:
    for content in (b"path\na.png\n", b"", b"BMI,path\n", "\N{BOM}path".encode(), "path\n".encode("utf-16")):
        Path(name).write_bytes(content)
        assert kind_of(name) == "csv"
        Path("a.txt").write_bytes(content)
        assert kind_of("a.txt") is None


def test_an_archive_is_one_whatever_it_is_called(here: Path) -> None:
    sink = io.BytesIO()
    tarfile.open(fileobj=sink, mode="w:gz").close()
    for name in ("a.png", "a.csv", "a"):
        Path(name).write_bytes(sink.getvalue())
        assert kind_of(name) == "tar"


def test_what_is_no_regular_file_is_left_alone(here: Path) -> None:
    Path("folder.zip").mkdir()
    os.mkfifo("pipe.zip")  # opened, it would wait for a writer for ever
    for name in ("folder.zip", "pipe.zip", "none.zip", "a\0b.csv", "x" * 5000):
        assert kind_of(name) is None
