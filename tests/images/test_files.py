from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from kalamos.errors import ImageNotFoundError, ImageTooLargeError
from kalamos.images import MAX_FILE_BYTES, load_grey, read_file
from kalamos.images.files import display_name

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX file kinds")


@pytest.mark.parametrize("kind", [str, Path])
def test_reads_a_file(tmp_path, kind):
    path = tmp_path / "a.png"
    path.write_bytes(b"\r\n\x1a\0" * 1000)
    assert read_file(kind(path)) == b"\r\n\x1a\0" * 1000


def test_missing(tmp_path):
    with pytest.raises(ImageNotFoundError, match=r"a\.png: no such file"):
        read_file(tmp_path / "a.png")


def test_folder(tmp_path):
    with pytest.raises(ImageNotFoundError, match=r"this is a folder|permission denied"):
        read_file(tmp_path)


def test_file_in_the_place_of_a_folder(tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(ImageNotFoundError, match=r"cannot be read|no such file"):
        read_file(tmp_path / "a" / "b.png")


@pytest.mark.parametrize("path", ["a\0.png", "\ud800.png"])
def test_impossible_paths(path):
    with pytest.raises(ImageNotFoundError) as caught:
        read_file(path)
    assert str(caught.value).isprintable()


@posix
def test_fifo_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageNotFoundError, match="not a regular file"):
        read_file(tmp_path / "pipe.png")


@posix
def test_device():
    with pytest.raises(ImageNotFoundError, match="not a regular file"):
        read_file("/dev/zero")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="permissions do not bind this user")
def test_permission_denied(tmp_path):
    path = tmp_path / "a.png"
    path.touch(mode=0)
    with pytest.raises(ImageNotFoundError, match="permission denied"):
        read_file(path)


def test_the_byte_limit_is_checked_before_reading(tmp_path):
    path = tmp_path / "a.png"
    with path.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(ImageTooLargeError, match="268,435,457 bytes"):
        read_file(path)


@posix
def test_descriptors_are_closed(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"x")
    before = os.open(tmp_path / "file", os.O_RDONLY)
    os.close(before)
    for path in ("pipe", "file", ".", "missing"):
        try:
            read_file(tmp_path / path)
        except ImageNotFoundError:
            continue
    after = os.open(tmp_path / "file", os.O_RDONLY)
    os.close(after)
    assert before == after


def test_unicode_names(tmp_path, samples):
    path = tmp_path / "حرف ٣ – 手写.png"
    path.write_bytes(samples["png grey"])
    assert load_grey(path).shape == (12, 20)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_undecodable_names(tmp_path, samples):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")
    with open(path, "wb") as file:  # noqa: PTH123 - the name is the point
        file.write(samples["png grey"][:-9])
    with pytest.raises(Exception, match=r"caf\\udce9\.png") as caught:
        load_grey(path)
    str(caught.value).encode()


def test_display_name():
    assert display_name(Path("forms/ث.png")) == os.path.join("forms", "ث.png")  # noqa: PTH118
    assert display_name("a\nb") == r"'a\nb'"
