from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from kalamos.errors import CorruptImageError, InvalidArrayError
from kalamos.images import load_grey


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
