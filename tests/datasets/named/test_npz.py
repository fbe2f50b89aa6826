from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalamos.datasets.named.npz import read_arrays
from kalamos.errors import DatasetError


def test_arrays_come_in_the_order_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "two.npz"
    np.savez(path, a=np.arange(3), b=np.zeros(2))
    b, a = read_arrays(path, "b", "a")
    assert (b.tolist(), a.tolist()) == ([0, 0], [0, 1, 2])
    with pytest.raises(DatasetError, match=r"two\.npz: there is no array 'c' in it"):
        read_arrays(path, "a", "c")


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "objects.npz"
    np.savez(path, a=np.array([{"an": "object"}], object))
    with pytest.raises(DatasetError, match="cannot be read"):
        read_arrays(path, "a")


def test_an_array_alone_is_no_archive(tmp_path: Path) -> None:
    path = tmp_path / "one.npz"
    with path.open("wb") as file:
        np.save(file, np.arange(3))
    with pytest.raises(DatasetError, match=r"one\.npz: cannot be read"):
        read_arrays(path, "a")
    with pytest.raises(DatasetError, match="cannot be read"):
        read_arrays(tmp_path / "absent.npz", "a")


@given(data=st.data())
def test_damage_is_an_error_or_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    values = np.arange(100, dtype=np.uint8)
    np.savez_compressed(path, a=values)
    content = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        del content[position:]
    else:
        content[position] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        [again] = read_arrays(path, "a")
    except DatasetError as error:
        assert "damaged.npz" in error.problem  # noqa: PT017
    else:
        assert np.array_equal(again, values)
