"""Other pens, batched: wider and narrower strokes, softer edges, noise, gaps, a ruled line's remains,
clutter.

What a photograph's preprocessing leaves behind, seen at the network's own size.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from kalamos.training.policy import Augmentation

__all__ = ["apply_stroke_augment", "sample_stroke_params"]

Pens = dict[str, Tensor]

STROKES = 3
"""Of clutter, at most."""

BINOMIAL = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]) / 16


def sample_stroke_params(how: Augmentation, shape: tuple[int, int, int], generator: torch.Generator) -> Pens:
    """Random numbers, one row an image, for `apply_stroke_augment`; only what `how` asks for.

    Args:
        how: the ranges.
        shape: N, H, W.
        generator: makes it reproducible; the numbers lie on its device.
    """
    count, height, width = shape
    device = generator.device

    def uniform(low: float, high: float) -> Tensor:  # [N, 1, 1, 1]
        return low + (high - low) * torch.rand(count, 1, 1, 1, generator=generator, device=device)

    def chosen(p: float) -> Tensor:
        return (uniform(0, 1) < p).float()

    pens: Pens = {}
    if how.pen:
        pens["pen"] = uniform(-how.pen, how.pen)
    if how.blur:
        passes = torch.arange(math.ceil(how.blur), device=device).view(1, -1, 1, 1)
        pens["blur"] = (uniform(0, how.blur) - passes).clamp(0, 1)  # [N, passes, 1, 1]: each one's share
    if how.gamma:
        pens["gamma"] = torch.exp(uniform(-how.gamma, how.gamma))
    if how.gaps:
        inside = [uniform(-0.6, 0.6) for _ in range(2)]
        pens["gap"] = torch.cat([chosen(how.gaps), *inside, uniform(0.5, 2) * 2 / width], dim=1)
    if how.lines:
        # A line a x + b y = c, close to level or upright, between the edge and a fifth of the way in.
        tilt, upright = uniform(-0.12, 0.12), chosen(0.5)
        side = 2 * chosen(0.5) - 1
        thick, dark = uniform(0.3, 1.2) * 2 / width, uniform(0.2, 1)
        a, b = upright + (1 - upright) * tilt, (1 - upright) + upright * tilt
        pens["line"] = torch.cat([chosen(how.lines) * dark, a, b, side * uniform(0.6, 1.0), thick], dim=1)
    if how.clutter:
        some = chosen(how.clutter)
        for place in range(STROKES):
            # Two strokes in three are there: x cos + y sin = c, from one end to the other along it.
            dark, angle = some * chosen(2 / 3) * uniform(0.3, 1), uniform(0, torch.pi)
            middle, half = uniform(-1, 1), uniform(0.2, 1.4)
            thick = uniform(0.2, 0.8) * 2 / width
            course = [torch.cos(angle), torch.sin(angle), uniform(-0.9, 0.9)]
            pens[f"stroke {place}"] = torch.cat([dark, *course, thick, middle, half], dim=1)
    if how.noise:
        size = (count, 1, height, width)
        pens["noise"] = uniform(0, how.noise) * torch.randn(size, generator=generator, device=device)
    return pens


def apply_stroke_augment(pens: Pens, ink: Tensor) -> Tensor:
    """Write each image with its pen.

    Args:
        pens: what `sample_stroke_params` returns.
        ink: float32 [N, 1, H, W], 0 for paper to 1 for ink.

    Returns:
        The like.
    """
    if "pen" in pens:
        ink = _wider(ink, pens["pen"])
    if "gap" in pens:
        ink = ink * (1 - _gaps(pens["gap"], ink))
    if "line" in pens:
        ink = torch.maximum(ink, _lines(pens["line"], ink))
    for place in range(STROKES):
        if f"stroke {place}" in pens:
            ink = torch.maximum(ink, _strokes(pens[f"stroke {place}"], ink))
    if "blur" in pens:
        kernel = BINOMIAL.to(ink).view(1, 1, 3, 3)
        for share in torch.split(pens["blur"], 1, dim=1):
            ink = torch.lerp(ink, F.conv2d(ink, kernel, padding=1), share)
    if "gamma" in pens:
        ink = ink.clamp(0, 1) ** pens["gamma"]
    if "noise" in pens:
        ink = (ink + pens["noise"]).clamp(0, 1)
    return ink


def _wider(ink: Tensor, by: Tensor) -> Tensor:
    """Dilated where `by` [N, 1, 1, 1] in [-1, 1] is positive, eroded where it is negative."""
    sign = torch.where(by < 0, -1.0, 1.0)
    moved = _neighbours_maximum(sign * ink) * sign
    changed = torch.lerp(ink, moved, by.abs())
    # Preprocessing gives every image full contrast, however thin its pen.
    peak = changed.amax(dim=(2, 3), keepdim=True)
    before = ink.amax(dim=(2, 3), keepdim=True)
    return torch.where(peak > 0.1 * before, changed * (before / peak.clamp_min(1e-6)), ink)


def _neighbours_maximum(ink: Tensor) -> Tensor:
    """What `max_pool2d(ink, 3, 1, 1)` gives, in a fifth of the time."""
    rows = ink.clone()
    torch.maximum(rows[:, :, 1:], ink[:, :, :-1], out=rows[:, :, 1:])
    torch.maximum(rows[:, :, :-1], ink[:, :, 1:], out=rows[:, :, :-1])
    both = rows.clone()
    torch.maximum(both[..., 1:], rows[..., :-1], out=both[..., 1:])
    torch.maximum(both[..., :-1], rows[..., 1:], out=both[..., :-1])
    return both


def _gaps(gap: Tensor, ink: Tensor) -> Tensor:
    chosen, x, y, radius = torch.split(gap, 1, dim=1)
    columns, rows = _coordinates(ink)
    distance = (columns - x) ** 2 + (rows - y) ** 2
    return chosen * torch.exp(-distance / (2 * radius**2))


def _lines(line: Tensor, ink: Tensor) -> Tensor:
    dark, a, b, c, thick = torch.split(line, 1, dim=1)
    columns, rows = _coordinates(ink)
    distance = (a * columns + b * rows - c).abs() / torch.sqrt(a**2 + b**2)
    pixel = 2 / ink.shape[-1]
    return dark * ((thick - distance) / pixel + 0.5).clamp(0, 1)


def _strokes(stroke: Tensor, ink: Tensor) -> Tensor:
    line, (middle, half) = stroke[:, :5], torch.split(stroke[:, 5:], 1, dim=1)
    _, a, b, _, _ = torch.split(line, 1, dim=1)
    columns, rows = _coordinates(ink)
    along = (b * columns - a * rows - middle).abs()
    return _lines(line, ink) * (along < half)


def _coordinates(ink: Tensor) -> tuple[Tensor, Tensor]:
    """X [1, 1, 1, W] and y [1, 1, H, 1] of the pixels' middles, [-1, 1] across the image."""
    height, width = ink.shape[2:]
    x = (torch.arange(width, device=ink.device) * 2 + 1) / width - 1
    y = (torch.arange(height, device=ink.device) * 2 + 1) / height - 1
    return x.view(1, 1, 1, width), y.view(1, 1, height, 1)
