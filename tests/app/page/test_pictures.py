from __future__ import annotations

import base64

import cv2
import numpy as np
import pytest

from kalamos.app.page.pictures import TILE_GAP_PX, channel_grid, data_uri, fit_within


def _decoded(uri: str) -> np.ndarray:
    data = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


@pytest.mark.parametrize("channels", [(), (3,), (4,)])
def test_a_data_uri_holds_the_very_pixels(channels: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, *channels), np.uint8)
    found = _decoded(data_uri(image))
    if channels:
        found = cv2.cvtColor(found, cv2.COLOR_BGR2RGB if channels == (3,) else cv2.COLOR_BGRA2RGBA)
    assert np.array_equal(found, image)


def test_shrinking_keeps_the_shape_and_never_enlarges() -> None:
    assert fit_within(np.zeros((400, 100), np.uint8), 40).shape == (40, 10)
    assert fit_within(np.zeros((5000, 2), np.uint8), 40).shape == (40, 1)
    small = np.zeros((8, 9), np.uint8)
    assert fit_within(small, 40) is small


def test_a_grid_has_twelve_channels_in_four_columns() -> None:
    maps = np.random.default_rng(1).normal(size=(40, 64, 64)).astype(np.float32)
    grid = channel_grid(maps)
    assert grid.shape == (3 * 64 + 2 * TILE_GAP_PX, 4 * 64 + 3 * TILE_GAP_PX, 4)
    assert (grid[64 : 64 + TILE_GAP_PX, :, 3] == 0).all()
    assert (grid[:64, :64, 3] == 255).all()


def test_each_channel_is_stretched_by_itself() -> None:
    ramp = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    grid = channel_grid(np.stack([ramp, 1000 * ramp - 7]))
    assert np.array_equal(grid[:, :64], grid[:, 64 + TILE_GAP_PX : 128 + TILE_GAP_PX])
    assert len(np.unique(grid[:, :64].reshape(-1, 4), axis=0)) > 50


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (4, 1), (5, 2)])
def test_a_grid_of_few_channels(count: int, rows: int) -> None:
    grid = channel_grid(np.ones((count, 64, 64), np.float32))
    assert grid.shape[0] == rows * 64 + (rows - 1) * TILE_GAP_PX
    assert np.isfinite(grid).all()
