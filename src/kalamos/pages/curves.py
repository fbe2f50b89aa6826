"""Fit smooth curves to the lines of a lattice, which tell where each of its cells must be.

The left sides of a column's cells lie on one curve, and so do the right ones, and the upper and lower
ones of a row: straight on a scan, bent on a curved page. A cell whose side was laid onto a stroke is off
the curves.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["regular_corners"]

Floats = NDArray[np.float64]

MIN_CELLS: Final = 3
"""A curve is trusted from so many cells on."""

STIFFNESS: Final = (0.0, 1e-4, 0.02, 0.05)
"""What a curve's constant, slope, bend and twist cost, for a lattice from -1 to 1: few cells make no bend."""

ROUNDS: Final = 5
"""Of fitting; in each, points far off count less."""

MIN_SPREAD: Final = 0.006
"""Deviations below this (lattice from -1 to 1) are a line's own, not mistakes."""

SIDES: Final = {"left": (0, 3), "right": (1, 2), "upper": (0, 1), "lower": (3, 2)}
"""The corners of a side."""


def regular_corners(corners: Floats) -> Floats:
    """Return where the corners of all cells lie by the curves through the corners that are known.

    Args:
        corners: [R, C, 4, 2], x and y in px, clockwise from the top left; NaN for cells that are not known.

    Returns:
        [R, C, 4, 2]; where a column's or row's curve is not to be trusted, a known corner's own
        coordinate across it stays, and an unknown corner is NaN.
    """
    across = np.nanmean(
        corners[:, :, 1] - corners[:, :, 0] + corners[:, :, 2] - corners[:, :, 3], axis=(0, 1)
    )
    down = np.nanmean(corners[:, :, 3] - corners[:, :, 0] + corners[:, :, 2] - corners[:, :, 1], axis=(0, 1))
    basis = np.stack([across / max(np.linalg.norm(across), 1e-6), down / max(np.linalg.norm(down), 1e-6)])
    if abs(np.linalg.det(basis)) < 0.2:
        return corners
    oblique = corners @ np.linalg.inv(basis)
    low, high = np.nanmin(oblique, axis=(0, 1, 2)), np.nanmax(oblique, axis=(0, 1, 2))
    half = np.maximum(high - low, 1e-6) / 2
    own = (oblique - low) / half - 1
    # A column's curves tell `a` as a function of `b`, a row's tell `b` of `a`.
    a_curves = {
        side: _curves(own[:, :, SIDES[side], 1], own[:, :, SIDES[side], 0], 0) for side in ("left", "right")
    }
    b_curves = {
        side: _curves(own[:, :, SIDES[side], 0], own[:, :, SIDES[side], 1], 1) for side in ("upper", "lower")
    }
    rows, columns = corners.shape[:2]
    regular = np.empty_like(own)
    for number, (vertical, horizontal) in enumerate(
        (("left", "upper"), ("right", "upper"), ("right", "lower"), ("left", "lower"))
    ):
        a_curve = np.broadcast_to(a_curves[vertical][None], (rows, columns, 4))
        b_curve = np.broadcast_to(b_curves[horizontal][:, None], (rows, columns, 4))
        a_known, b_known = own[:, :, number, 0], own[:, :, number, 1]
        a_trusted, b_trusted = np.isfinite(a_curve[..., 0]), np.isfinite(b_curve[..., 0])
        # Where the lines cross: they are close to straight, and at right angles here, so this converges
        # at once.
        a, b = np.where(a_trusted, a_curve[..., 0], a_known), np.where(b_trusted, b_curve[..., 0], b_known)
        for _ in range(4):
            a = np.where(a_trusted, _value(a_curve, b), a_known)
            b = np.where(b_trusted, _value(b_curve, a), b_known)
        regular[:, :, number, 0], regular[:, :, number, 1] = a, b
    return np.asarray((regular + 1) * half + low) @ basis  # type: ignore[no-any-return]


def _value(curve: Floats, at: Floats) -> Floats:
    return curve[..., 0] + at * (curve[..., 1] + at * (curve[..., 2] + at * curve[..., 3]))


def _curves(along: Floats, across: Floats, axis: int) -> Floats:
    """Fit the points [R, C, 2] of each column (axis 0) or row (axis 1): coefficients [L, 4], or NaN."""
    if axis == 1:
        along, across = along.swapaxes(0, 1), across.swapaxes(0, 1)
    count = along.shape[1]
    x = along.transpose(1, 0, 2).reshape(count, -1)
    y = across.transpose(1, 0, 2).reshape(count, -1)
    known = np.isfinite(x) & np.isfinite(y)
    x, y = np.where(known, x, 0), np.where(known, y, 0)
    powers = np.stack([np.ones_like(x), x, x**2, x**3], axis=-1)  # [L, P, 4]
    points = known.sum(axis=1)
    cost = np.diag(STIFFNESS) * np.maximum(points, 1)[:, None, None] + 1e-9 * np.eye(4)
    weights = known.astype(float)
    for _ in range(ROUNDS):
        weighted = powers * weights[..., None]
        system = weighted.transpose(0, 2, 1) @ powers + cost
        curves = np.linalg.solve(system, (weighted.transpose(0, 2, 1) @ y[..., None]))[..., 0]
        misses = np.abs(y - (powers * curves[:, None]).sum(axis=-1))
        spread = np.array(
            [np.median(miss[sure]) if sure.any() else 1.0 for miss, sure in zip(misses, known, strict=True)]
        )
        weights = known / (1 + (misses / np.maximum(2 * spread, MIN_SPREAD)[:, None]) ** 2) ** 2
    curves[points < 2 * MIN_CELLS] = np.nan
    return np.asarray(curves)
