"""Tell whole cells from the parts into which strokes that reach from line to line divide them."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from kalamos.pages.quads import SideFit, side_lengths

__all__ = ["are_fragments"]

Floats = NDArray[np.float32]

NEAR_SHARE, NEAR_PX = 0.04, 1.5
"""Two sides are on one line if they are at most so far apart: a share of the cell, and px more."""

MAX_PART: Final = 0.92
"""Of the whole cell's area; more is the same cell."""

MIN_TILED: Final = 0.88
"""Parts that cover so much of a cell may be cells themselves, and what they divide a frame;"""

MAX_DARKER, MAX_WIDER = 1.25, 1.5
"""if the lines between them are at most so many times as dark and as wide as the frame."""

MAX_SIBLING_SHIFT, MAX_SIBLING_STEPS = 0.3, 2.6
"""Cells of a size speak for each other if they are in line, off by so much of their size, and at most so
many sizes apart."""

MIN_SOLID: Final = 0.9
"""A line between cells covers at least this share of their side."""


def are_fragments(fit: SideFit) -> NDArray[np.bool_]:
    """Return whether quadrilaterals are parts of others, cut off by a stroke, [N].

    A part lies within the whole and shares lines with it on two sides or three. So does the cell of a
    table that is framed as a whole; but of its size there are more, or it is one of those that fill the
    frame.
    """
    count = len(fit.quads)
    fragments = np.zeros(count, bool)
    if count < 2:
        return fragments
    lengths = side_lengths(fit.quads)
    sizes = np.stack([lengths[:, [0, 2]].mean(axis=1), lengths[:, [1, 3]].mean(axis=1)], axis=1)
    areas = sizes.prod(axis=1)
    inner, outer, shared = _nested(fit.quads, sizes, areas)
    if not len(inner):
        return fragments
    siblings = _siblings(fit.quads, sizes)
    solid = (fit.coverage.min(axis=1) >= 0.75) & (fit.coverage.mean(axis=1) >= 0.9)
    for whole in np.unique(outer):
        within = outer == whole
        parts, lines = inner[within], shared[within]
        parts, lines = parts[lines.sum(axis=1) >= 1], lines[lines.sum(axis=1) >= 1]
        cut = parts[lines.sum(axis=1) >= 2]
        if not len(cut) or not solid[whole]:
            continue
        if siblings[whole] >= 2 and siblings[cut].max() < siblings[whole]:
            fragments[cut] = True
            continue
        if siblings[cut].max() > siblings[whole] + 1:  # of which one may be another part
            continue
        if areas[parts].sum() < MIN_TILED * areas[whole] or not _are_lines(fit, parts, lines):
            fragments[cut] = True
    return fragments


def _nested(
    quads: Floats, sizes: Floats, areas: Floats
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]:
    """Return inner and outer of nested pairs, [P], and which of the inner's sides lie on the outer's, [P,
    4].
    """
    centres = quads.mean(axis=1)
    low, high = quads.min(axis=1), quads.max(axis=1)
    near = (centres[:, None] > low).all(axis=2) & (centres[:, None] < high).all(axis=2)
    near &= areas[:, None] < MAX_PART * areas
    inner, outer = np.nonzero(near)
    start = quads[outer]
    along = np.roll(start, -1, axis=1) - start
    normals = np.stack([along[..., 1], -along[..., 0]], axis=-1)
    normals /= np.maximum(np.hypot(along[..., 0], along[..., 1]), 1e-3)[..., None]
    # How far each corner of the inner one lies beyond each side of the outer one, [P, side, corner].
    beyond = ((quads[inner][:, None] - start[:, :, None]) * normals[:, :, None]).sum(axis=-1)
    allowed = NEAR_SHARE * sizes[outer].min(axis=1) + NEAR_PX
    inside = (beyond <= allowed[:, None, None]).all(axis=(1, 2))
    side = np.arange(4)
    ends = np.maximum(np.abs(beyond[:, side, side]), np.abs(beyond[:, side, (side + 1) % 4]))
    return inner[inside], outer[inside], (ends <= allowed[:, None])[inside]


def _siblings(quads: Floats, sizes: Floats) -> NDArray[np.intp]:
    """Return how many of about the same width and height are near in the same row or column, [N]."""
    alike = (np.abs(sizes[:, None] - sizes) <= NEAR_SHARE * sizes + NEAR_PX).all(axis=2)
    first, second = np.nonzero(alike)
    centres = quads.mean(axis=1)
    across = (quads[:, 1] - quads[:, 0] + quads[:, 2] - quads[:, 3]).sum(axis=0)
    unit = across / max(float(np.linalg.norm(across)), 1e-3)
    apart = centres[second] - centres[first]
    apart = (
        np.abs(np.stack([apart @ unit, apart @ np.array([-unit[1], unit[0]], np.float32)], axis=1))
        / sizes[first]
    )
    near = (apart.min(axis=1) <= MAX_SIBLING_SHIFT) & (apart.max(axis=1) <= MAX_SIBLING_STEPS)
    return np.bincount(first[near], minlength=len(quads)) - 1


def _are_lines(fit: SideFit, parts: NDArray[np.intp], shared: NDArray[np.bool_]) -> bool:
    """Return whether what divides parts is no darker and no wider than the lines around them."""
    if shared.all() or not shared.any():
        return True
    width = np.where(np.isfinite(fit.width[parts]), fit.width[parts], 99)
    level = fit.level[parts]
    alike = np.median(level[~shared]) <= MAX_DARKER * np.median(level[shared])
    thin = np.median(width[~shared]) <= MAX_WIDER * np.median(width[shared]) + 1
    return bool(alike and thin and fit.coverage[parts][~shared].mean() >= MIN_SOLID)
