"""Pictures inside the page itself: nothing is written to disk, so nobody else can ask for it."""

from __future__ import annotations

import base64

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.preprocessing.steps import GreyImage

__all__ = ["channel_grid", "data_uri", "fit_within"]

MIN_TILE_PX = 64
"""The least side of one feature map, in px: they are a few px wide in the last stages."""

TILE_GAP_PX = 4


def data_uri(image: NDArray[np.uint8]) -> str:
    """A PNG for an `<img src>`.

    Args:
        image: uint8 [H, W] grey, [H, W, 3] RGB or [H, W, 4] RGBA.

    >>> data_uri(np.zeros((1, 1), np.uint8))[:30]
    'data:image/png;base64,iVBORw0K'
    """
    if image.ndim == 3:
        code = cv2.COLOR_RGB2BGR if image.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
        image = cv2.cvtColor(image, code)  # type: ignore[assignment]
    _, content = cv2.imencode(".png", image)
    return f"data:image/png;base64,{base64.b64encode(content.tobytes()).decode('ascii')}"


def fit_within(grey: GreyImage, side: int) -> GreyImage:
    """An image made to fit into side x side px; one that fits is returned as it is."""
    scale = side / max(grey.shape)
    if scale >= 1:
        return grey
    height, width = (max(1, round(each * scale)) for each in grey.shape)
    return cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def channel_grid(maps: NDArray[np.float32], *, most: int = 12, columns: int = 4) -> NDArray[np.uint8]:
    """The first channels of a stage side by side, each from its own least to its own greatest value.

    Args:
        maps: float32 [C, h, w], C at least 1.
        most: channels to show.
        columns: in a row.

    Returns:
        RGBA uint8 [H, W, 4] in the colours of viridis; what lies between the channels is transparent.

    >>> channel_grid(np.zeros((32, 8, 8), np.float32)).shape
    (200, 268, 4)
    """
    shown = maps[:most]
    enlarged = max(1, -(-MIN_TILE_PX // max(maps.shape[1:])))
    height, width = (side * enlarged for side in maps.shape[1:])
    rows = -(-len(shown) // columns)
    grid = np.zeros(
        (rows * (height + TILE_GAP_PX) - TILE_GAP_PX, columns * (width + TILE_GAP_PX) - TILE_GAP_PX, 4),
        np.uint8,
    )
    for place, channel in enumerate(shown):
        top, left = (place // columns) * (height + TILE_GAP_PX), (place % columns) * (width + TILE_GAP_PX)
        tile = cv2.resize(_stretched(channel), (width, height), interpolation=cv2.INTER_NEAREST)
        coloured = cv2.applyColorMap(tile, cv2.COLORMAP_VIRIDIS)
        grid[top : top + height, left : left + width, :3] = coloured[..., ::-1]
        grid[top : top + height, left : left + width, 3] = 255
    return grid


def _stretched(channel: NDArray[np.float32]) -> GreyImage:
    """Min-max to 0..255; one that is the same everywhere has nothing to show."""
    least, greatest = float(channel.min()), float(channel.max())
    if greatest <= least:
        return np.zeros(channel.shape, np.uint8)
    return ((channel - least) * (255 / (greatest - least))).round().astype(np.uint8)
