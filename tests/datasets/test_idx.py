from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from kalamos.datasets.idx import parse_idx, read_idx
from kalamos.errors import DatasetError

ToIdx = Callable[[NDArray[Any]], bytes]

ARRAYS = st.sampled_from(["u1", "i1", "i2", "i4", "f4", "f8"]).flatmap(
    lambda dtype: arrays(dtype, array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
)


@given(array=ARRAYS)
def test_every_type_and_shape_survives_the_round_trip(to_idx: ToIdx, array: NDArray[Any]) -> None:
    again = parse_idx(to_idx(array))
    assert again.dtype == array.dtype  # native byte order, though the file is big-endian
    assert again.shape == array.shape
    np.testing.assert_array_equal(again, array)


@given(array=ARRAYS, data=st.data())
def test_every_truncation_is_noticed(to_idx: ToIdx, array: NDArray[Any], data: st.DataObject) -> None:
    content = to_idx(array)
    cut = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(DatasetError, match="download the file again"):
        parse_idx(content[:cut])


@settings(max_examples=300)
@given(st.binary(max_size=64) | st.binary(max_size=64).map(lambda tail: b"\0\0\x08" + tail))
def test_any_bytes_are_an_array_or_a_dataset_error(content: bytes) -> None:
    with suppress(DatasetError):
        parse_idx(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file"),
        (b"\0\0\x08", "not an IDX file"),
        (b"\x01\0\x08\x01\0\0\0\0", "not an IDX file"),
        (b"\0\0\x0a\x01\0\0\0\0", "not an IDX file"),  # 0x0A is no type
        (b"<!DOCTYPE html>", "not an IDX file"),
        (b"\0\0\x08\x03\0\0\0\x01", "the IDX header is truncated"),
        (b"\0\0\x08\x01\0\0\0\x02\x07", "9 bytes, where the IDX header promises 10"),
        (b"\0\0\x08\x01\0\0\0\x02\x07\x08\x09", "11 bytes, where the IDX header promises 10"),
        (b"\0\0\x08\x02" + struct.pack(">2I", 2**32 - 1, 2**32 - 1), "promises 18446744065119617037"),
        (b"\0\0\x08\xff" + struct.pack(">255I", *[1] * 255) + b"\x07", "an impossible IDX shape"),
    ],
)
def test_what_is_wrong_is_said(content: bytes, message: str) -> None:
    with pytest.raises(DatasetError) as caught:
        parse_idx(content, where="digits.gz")
    assert caught.value.problem.startswith("digits.gz: ")
    assert message in caught.value.problem


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_files_may_be_gzipped_or_not(tmp_path: Path, to_idx: ToIdx, pack: Callable[[bytes], bytes]) -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    path = tmp_path / "images"  # the content decides, not the name
    path.write_bytes(pack(to_idx(array)))
    assert np.array_equal(read_idx(path), array)


@given(data=st.data())
def test_a_damaged_gzip_gives_an_error_never_other_values(
    tmp_path_factory: pytest.TempPathFactory, to_idx: ToIdx, data: st.DataObject
) -> None:
    array = np.arange(200, dtype=np.uint8)
    content = bytearray(gzip.compress(to_idx(array), mtime=0))
    position = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        del content[position:]
    else:
        content[position] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.gz"
    path.write_bytes(content)
    try:
        assert np.array_equal(read_idx(path), array)  # a flipped time stamp or padding bit is no damage
    except DatasetError as error:
        assert "damaged.gz" in error.problem  # noqa: PT017


def test_a_truncated_gzip_is_refused(tmp_path: Path, to_idx: ToIdx) -> None:
    path = tmp_path / "half.gz"
    path.write_bytes(gzip.compress(to_idx(np.arange(200, dtype=np.uint8)))[:100])
    with pytest.raises(DatasetError, match=r"half\.gz: cannot be read"):
        read_idx(path)


def test_an_absent_file_is_a_dataset_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be read"):
        read_idx(tmp_path / "absent")
