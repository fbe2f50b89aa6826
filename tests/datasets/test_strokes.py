from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kalamos.datasets.strokes import StrokeSet, read_strokes
from kalamos.errors import DatasetError

ARRAYS: dict[str, NDArray[Any]] = {
    # A cross of two strokes, and the letter i: a stroke and its dot.
    "points": np.array(
        [[0, 0], [1000, 1000], [1000, 0], [0, 1000], [50, 300], [50, 1000], [50, 0]], np.int16
    ),
    "stroke_starts": np.array([0, 2, 4, 6, 7], np.int32),
    "character_ends": np.array([2, 4], np.int32),
    "labels": np.array(["x", "i"]),
    "writers": np.array([3, 5], np.int16),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "strokes.npz"
    np.savez(path, **ARRAYS)
    return path


@pytest.mark.parametrize("side", [12, 40, 300])
@pytest.mark.parametrize("width", [1.0, 3.0, 9.0])
def test_a_character_has_the_size_and_the_pen_that_were_asked_for(
    file: Path, side: float, width: float
) -> None:
    image = read_strokes(file).draw(0, side=side, width=width)
    rows, columns = np.nonzero(image > 127)
    assert np.ptp(rows) + 1 == pytest.approx(side + width, abs=2.5)
    assert np.ptp(columns) + 1 == pytest.approx(side + width, abs=2.5)
    assert image[0].max() == image[-1].max() == image[:, 0].max() == image[:, -1].max() == 0


def test_a_dot_is_a_disc_of_the_pen(file: Path) -> None:
    image = read_strokes(file).draw(1, side=100, width=8)
    dot = image[:20]
    assert 0.6 * np.pi * 16 < np.count_nonzero(dot > 127) < 1.8 * np.pi * 16


def test_strokes_come_in_the_order_of_the_pen(file: Path) -> None:
    strokes = read_strokes(file)
    assert [stroke.tolist() for stroke in strokes.strokes(1)] == [[[50, 300], [50, 1000]], [[50, 0]]]
    assert (len(strokes), strokes.labels, strokes.writers.tolist()) == (2, ("x", "i"), [3, 5])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("points", np.zeros((7, 3), np.int16)),
        ("points", np.zeros((6, 2), np.int16)),
        ("stroke_starts", np.array([1, 2, 4, 6, 7])),
        ("stroke_starts", np.array([0, 2, 2, 6, 7])),
        ("stroke_starts", np.zeros((5, 2), int)),
        ("character_ends", np.array([2, 5])),
        ("character_ends", np.array([4, 2])),
        ("labels", np.array(["x"])),
        ("writers", np.array([3])),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, key: str, value: NDArray[Any]) -> None:
    np.savez(tmp_path / "strokes.npz", **{**ARRAYS, key: value})
    with pytest.raises(DatasetError, match=r"strokes\.npz: .*do not fit each other"):
        read_strokes(tmp_path / "strokes.npz")


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "strokes.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(DatasetError, match="cannot be read"):
        read_strokes(tmp_path / "strokes.npz")
    np.savez(tmp_path / "other.npz", images=np.zeros(3))
    with pytest.raises(DatasetError, match=r"other\.npz"):
        read_strokes(tmp_path / "other.npz")


def test_no_character_is_a_set_too() -> None:
    empty = np.zeros(0, np.int64)
    assert len(StrokeSet(np.zeros((0, 2), np.int16), np.zeros(1, np.int64), empty, (), empty)) == 0
