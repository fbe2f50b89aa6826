from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kalamos.errors import CorruptImageError, ImageError, ImageTooLargeError, InvalidArrayError
from kalamos.images import load_grey


@pytest.mark.parametrize(
    "convert",
    [
        lambda p: p,
        lambda p: p[..., None],
        lambda p: np.dstack([p, p, p]),
        lambda p: np.dstack([p, np.full_like(p, 255)]),
        lambda p: np.dstack([p, p, p, np.full_like(p, 255)]),
        lambda p: p.astype(np.uint16),
        lambda p: p.astype(np.uint16) * 257,
        lambda p: p.astype(">u2") * np.array(257, ">u2"),
        lambda p: p.astype(np.int16),
        lambda p: p.astype(np.int64),
        lambda p: p.astype(">u4"),
        lambda p: p.astype(np.float32) / 255,
        lambda p: p.astype(np.float16),
        lambda p: p.astype(np.longdouble),
        lambda p: p.astype(">f8"),
        np.asfortranarray,
        lambda p: p.repeat(2, axis=0)[::2],
        lambda p: p[::-1][::-1],
        lambda p: np.dstack([p, p, p])[..., ::-1],
    ],
)
def test_shapes_dtypes_and_layouts(picture, convert):
    array = convert(picture)
    array.flags.writeable = False
    before = array.copy()
    result = load_grey(array)
    assert np.array_equal(result, picture)
    assert result.dtype == np.uint8
    assert result.flags.c_contiguous
    assert not np.shares_memory(result, array)
    assert np.array_equal(array, before)


def test_bool(picture):
    assert np.array_equal(load_grey(picture > 128), np.where(picture > 128, 255, 0))


def test_colours_are_rgb():
    assert load_grey(np.array([[[255, 0, 0]]], np.uint8)) == 76


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32, np.int32])
def test_alpha(picture, kind):
    ink = picture < 200
    array = np.dstack([picture * 0, np.where(ink, 255, 0)]).astype(kind)
    assert np.array_equal(load_grey(array), np.where(ink, 0, 255))
    array = np.dstack([picture * 0] * 3 + [np.where(ink, 255, 0)]).astype(kind)
    assert np.array_equal(load_grey(array), np.where(ink, 0, 255))


def test_colours_up_to_255_with_alpha_up_to_1(picture):
    array = np.dstack([picture, picture, picture, np.ones_like(picture)]).astype(np.float32)
    assert np.array_equal(load_grey(array), picture)


def test_the_source_is_never_shared(picture):
    for array in (picture.copy(), picture[..., None].copy(), np.dstack([picture, picture | 255])):
        result = load_grey(array)
        array[:] = 0
        assert np.array_equal(result, picture)
        assert result.flags.writeable


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.float64(1.0) * np.ones(()), "reshape"),
        (np.zeros(784), "reshape"),
        (np.zeros((1, 28, 28)), "move channels last"),
        (np.zeros((3, 28, 28)), "move channels last"),
        (np.zeros((16, 28, 28)), "one image at a time"),
        (np.zeros((1, 1, 28, 28)), "one image at a time"),
        (np.zeros((28, 28, 5)), "one image at a time"),
        (np.zeros((0, 28)), "no pixels"),
        (np.zeros((28, 0, 3)), "no pixels"),
        (np.zeros((2, 2), complex), "dtype complex128"),
        (np.zeros((2, 2), object), "dtype object"),
        (np.zeros((2, 2), "U1"), "dtype"),
        (np.zeros((2, 2), "M8[s]"), "dtype"),
        (np.full((2, 2), np.nan), "NaN"),
        (np.full((2, 2), np.inf), "NaN or infinite"),
        (np.full((2, 2), -0.5), "values run from -0.5"),
        (np.full((2, 2), 256.0), "values run from"),
        (np.full((2, 2), -1), "values run from -1"),
        (np.full((2, 2), 256), "values run from 256"),
        (np.full((2, 2), 2**63, np.uint64), "values run from"),
    ],
)
def test_refused(array, words):
    with pytest.raises(InvalidArrayError, match=words):
        load_grey(array)


def test_too_large():
    huge = np.broadcast_to(np.uint8(0), (10_000, 10_000))
    with pytest.raises(ImageTooLargeError, match="10000 x 10000"):
        load_grey(huge)
    with pytest.raises(ImageTooLargeError):
        load_grey(np.zeros((3, 3), np.uint8), max_pixels=8)


@settings(max_examples=300, deadline=None)
@given(
    hnp.arrays(
        st.one_of(
            hnp.integer_dtypes(),
            hnp.unsigned_integer_dtypes(),
            hnp.floating_dtypes(),
            hnp.boolean_dtypes(),
            hnp.complex_number_dtypes(),
        ),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
    )
)
def test_any_array_is_read_or_refused(array):
    try:
        result = load_grey(array)
    except ImageError:
        return
    assert result.dtype == np.uint8
    assert result.shape == array.shape[:2]
    assert result.flags.c_contiguous
    assert not np.shares_memory(result, array)


def test_every_door_leads_to_the_same_picture(picture, samples, tmp_path):
    data = samples["png grey"]
    path = tmp_path / "a.png"
    path.write_bytes(data)
    for source in (path, str(path), data, bytearray(data), memoryview(data), memoryview(data)[::1], picture):
        result = load_grey(source)
        assert np.array_equal(result, picture)
        assert result.flags.writeable


def test_the_extension_does_not_matter(samples, tmp_path):
    for name in ("jpeg grey", "webp lossy", "tiff grey", "bmp 8", "gif"):
        path = tmp_path / "a.png"
        path.write_bytes(samples[name])
        assert np.array_equal(load_grey(path), load_grey(samples[name]))


def test_errors_name_the_file(samples, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(samples["png grey"][:-1])
    with pytest.raises(CorruptImageError) as caught:
        load_grey(path)
    assert str(caught.value).startswith(f"{path}: the PNG is truncated: ")


class Tensor:
    def __init__(self, array=None, error=None):
        self.array, self.error = array, error

    def __array__(self, dtype=None, copy=None):
        if self.error is not None:
            raise self.error
        return self.array


def test_array_likes(picture):
    result = load_grey(Tensor(picture))
    assert np.array_equal(result, picture)
    assert not np.shares_memory(result, picture)


@pytest.mark.parametrize("error", [TypeError("on cuda:0"), RuntimeError("requires grad"), KeyError("odd")])
def test_array_likes_that_refuse(error):
    with pytest.raises(InvalidArrayError, match="Tensor cannot become an array"):
        load_grey(Tensor(error=error))


@pytest.mark.parametrize("source", [None, 7, [[0, 1]], object()])
def test_no_image_at_all(source):
    with pytest.raises(InvalidArrayError, match="is not an image"):
        load_grey(source)


def test_pillow_is_not_imported(samples):
    code = (
        "import sys, numpy; from kalamos.images import load_grey;"
        "load_grey(numpy.zeros((2, 2))); assert 'PIL' not in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
