"""Batched augmentation: affine or projective map, elastic deformation, then strokes.

The maps are composed first, so that however much is deformed, pixels are interpolated only once. Drawing
them for the batch instead of for each image keeps training bound by the network. Strokes become wider and
narrower, softer, shaken, noisy, and break up; gaps, remains of a ruled line and clutter are added: what the
preprocessing of a photograph leaves behind, at the network's own input size.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from kalamos.learn.recipe import Augmentation

__all__ = [
    "apply_stroke_augment",
    "augment",
    "sample_elastic",
    "sample_stroke_params",
    "sample_transforms",
    "warp",
]

Pens = dict[str, Tensor]

MAX_CLUTTER_STROKES = 3
"""Of clutter, at most."""

MAX_MOTION_FRACTION = 0.2
"""Of the side: the longest motion blur."""

BINOMIAL_KERNEL = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]) / 16

GRID_POINTS = 5
"""Points in a row and in a column that `elastic` moves: letters bend in a few places, not in many."""


def augment(
    images: Tensor,
    how: Augmentation,
    generator: torch.Generator,
    *,
    count: int,
    mine: slice = slice(None),
    ground: float = 0.0,
    full: float = 1.0,
) -> Tensor:
    """Deform each image and write it with another pen.

    Args:
        images: float32 [B, 1, H, W]: of a batch of `count`, those at `mine`.
        how: the ranges.
        generator: makes it reproducible; on the images' device. Numbers are drawn for the whole batch,
            so that no image's deformation depends on which process it falls to.
        count: size of the whole batch.
        mine: which of it `images` are.
        ground: the paper's value.
        full: how much more full ink is.

    Returns:
        The like; the very `images` where `how` changes nothing.
    """
    if how == Augmentation():
        return images
    maps = sample_transforms(how, count, generator)
    bends = sample_elastic(how, count, generator)
    height, width = images.shape[2:]
    pens = sample_stroke_params(how, (count, height, width), generator)
    images = warp(images, _at(maps, mine), _at(bends, mine), ground)
    if not pens:
        return images
    ink = apply_stroke_augment(
        {name: numbers[mine] for name, numbers in pens.items()}, (images - ground) / full
    )
    return ink * full + ground


def _at(drawn: Tensor | None, mine: slice) -> Tensor | None:
    return None if drawn is None else drawn[mine]


def sample_transforms(how: Augmentation, count: int, generator: torch.Generator) -> Tensor | None:
    """Random maps from output to input coordinates, both with [-1, 1] across the image.

    Args:
        how: the ranges.
        count: N.
        generator: makes it reproducible; the maps lie on its device.

    Returns:
        float32: [N, 2, 3] where the maps are affine, [N, 3, 3] where they are projective; None where
        `how` changes nothing.
    """
    if not (how.rotate or how.shear or how.scale or how.translate or how.perspective):
        return None
    device = generator.device

    def draw(extent: float) -> Tensor:  # [N], uniform in [-extent, extent]
        return (torch.rand(count, generator=generator, device=device) * 2 - 1) * extent

    angle = draw(math.radians(how.rotate))
    slant = torch.tan(draw(math.radians(how.shear)))
    scale = 1 + draw(how.scale)
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    # The unit is half a side, hence the factor 2 of the shift.
    shift_x, shift_y = draw(2 * how.translate), draw(2 * how.translate)
    rows = [cos, slant * cos - sin, shift_x, sin, slant * sin + cos, shift_y]
    affine = torch.stack(rows, dim=1).view(-1, 2, 3)
    if not how.perspective:
        return affine
    last = torch.tensor([0.0, 0.0, 1.0], device=device).expand(count, 1, 3)
    return torch.cat([affine, last], dim=1) @ _perspective(how, count, generator)


def _perspective(how: Augmentation, count: int, generator: torch.Generator) -> Tensor:
    """[N, 3, 3]: each corner moves inwards by up to `perspective` of half a side, as torchvision's does."""
    device = generator.device
    square = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]], device=device)
    inwards = torch.rand(count, 4, 2, generator=generator, device=device) * how.perspective
    chosen = torch.rand(count, 1, 1, generator=generator, device=device) < how.perspective_p
    moved = square - square * inwards * chosen
    return _homography(moved, square)


def _homography(source: Tensor, target: Tensor) -> Tensor:
    """The projective maps, [N, 3, 3], that take four points [N, 4, 2] each to `target`, [4, 2].

    Direct linear transform with the last entry fixed at 1. Solved in double precision: in single precision
    the eight equations would lose three decimals.
    """
    x, y = source.double().unbind(-1)  # [N, 4] each
    u, v = target.double().expand_as(source).unbind(-1)
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    for_u = torch.stack([x, y, one, zero, zero, zero, -u * x, -u * y], dim=-1)
    for_v = torch.stack([zero, zero, zero, x, y, one, -v * x, -v * y], dim=-1)
    entries = torch.linalg.solve(torch.cat([for_u, for_v], dim=1), torch.cat([u, v], dim=1))  # [N, 8]
    return torch.cat([entries, one[:, :1]], dim=1).view(-1, 3, 3).to(source.dtype)


def sample_elastic(how: Augmentation, count: int, generator: torch.Generator) -> Tensor | None:
    """Random displacements, float32 [N, 2, GRID_POINTS, GRID_POINTS], x then y; 2 is the image's side.

    A coarse grid stands in for the smoothed noise of Simard et al. 2003 at a fraction of its cost.
    """
    if not how.elastic:
        return None
    shape = (count, 2, GRID_POINTS, GRID_POINTS)
    uniform = torch.rand(shape, generator=generator, device=generator.device) * 2 - 1
    return uniform * 2 * how.elastic


def warp(images: Tensor, maps: Tensor | None, bends: Tensor | None = None, ground: float = 0.0) -> Tensor:
    """Resample each image through its map, bilinearly.

    Args:
        images: float32 [N, 1, H, W], ink on a plain ground.
        maps: what `sample_transforms` returns.
        bends: what `sample_elastic` returns.
        ground: the ground's value, which moves in from outside.

    Returns:
        float32 [N, 1, H, W].
    """
    if maps is None and bends is None:
        return images
    height, width = images.shape[2:]
    if maps is None:
        maps = torch.eye(2, 3, device=images.device).expand(len(images), 2, 3)
    if maps.shape[1] == 2:
        grid = F.affine_grid(maps, [len(maps), 1, height, width], align_corners=False)
    else:
        x = (torch.arange(width, device=maps.device) * 2 + 1) / width - 1
        y = (torch.arange(height, device=maps.device) * 2 + 1) / height - 1
        rows, columns = torch.meshgrid(y, x, indexing="ij")
        points = torch.stack([columns, rows, torch.ones_like(rows)], dim=-1).view(1, -1, 3)
        mapped = points @ maps.transpose(1, 2)  # [N, H W, 3]
        grid = (mapped[..., :2] / mapped[..., 2:]).view(-1, height, width, 2)
    if bends is not None:
        smooth = _spread(height, bends.device) @ bends @ _spread(width, bends.device).T  # [N, 2, H, W]
        grid = grid + smooth.permute(0, 2, 3, 1)
    # Outside, grid_sample sees zeros.
    return F.grid_sample(images - ground, grid, align_corners=False) + ground


def _spread(size: int, device: torch.device) -> Tensor:
    """[size, GRID_POINTS]: bicubic interpolation as a matrix, a tenth of its cost at these sizes."""
    points = torch.eye(GRID_POINTS, device=device).unsqueeze(
        1
    )  # each point alone: [GRID_POINTS, 1, GRID_POINTS]
    lines = F.interpolate(points.unsqueeze(2), (1, size), mode="bicubic", align_corners=True)
    return lines.view(GRID_POINTS, size).T


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
        for place in range(MAX_CLUTTER_STROKES):
            # Two strokes in three are there: x cos + y sin = c, from one end to the other along it.
            dark, angle = some * chosen(2 / 3) * uniform(0.3, 1), uniform(0, torch.pi)
            middle, half = uniform(-1, 1), uniform(0.2, 1.4)
            thick = uniform(0.2, 0.8) * 2 / width
            course = [torch.cos(angle), torch.sin(angle), uniform(-0.9, 0.9)]
            pens[f"stroke {place}"] = torch.cat([dark, *course, thick, middle, half], dim=1)
    if how.noise:
        size = (count, 1, height, width)
        pens["noise"] = uniform(0, how.noise) * torch.randn(size, generator=generator, device=device)
    return pens | _sample_wear(how, shape, generator)


def _sample_wear(how: Augmentation, shape: tuple[int, int, int], generator: torch.Generator) -> Pens:
    """Random numbers for ink that fades and cameras that move; see `sample_stroke_params`."""
    count, height, width = shape

    def uniform(low: float, high: float) -> Tensor:  # [N, 1, 1, 1]
        drawn = torch.rand(count, 1, 1, 1, generator=generator, device=generator.device)
        return low + (high - low) * drawn

    pens: Pens = {}
    if how.fading:
        # Ink goes where grains fall below a level, softly or at once.
        rough = torch.randn((count, 1, height, width), generator=generator, device=generator.device)
        pens["grain"] = _smooth(rough)
        chosen = (uniform(0, 1) < how.fading).float()
        pens["fading"] = torch.cat([chosen, uniform(-1.2, 0.3), uniform(0.15, 0.5)], dim=1)
    if how.motion:
        chosen = (uniform(0, 1) < how.motion).float()
        length = uniform(1, max(1.0, MAX_MOTION_FRACTION * width))
        pens["motion"] = torch.cat([chosen, uniform(0, torch.pi), length], dim=1)
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
    if "fading" in pens:
        ink = _faded(ink, pens["grain"], pens["fading"])
    if "line" in pens:
        ink = torch.maximum(ink, _lines(pens["line"], ink))
    for place in range(MAX_CLUTTER_STROKES):
        if f"stroke {place}" in pens:
            ink = torch.maximum(ink, _strokes(pens[f"stroke {place}"], ink))
    if "blur" in pens:
        kernel = BINOMIAL_KERNEL.to(ink).view(1, 1, 3, 3)
        for share in torch.split(pens["blur"], 1, dim=1):
            ink = torch.lerp(ink, F.conv2d(ink, kernel, padding=1), share)
    if "motion" in pens:
        ink = _moved(ink, pens["motion"])
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
    return _full_contrast(changed, ink)


def _full_contrast(changed: Tensor, ink: Tensor) -> Tensor:
    """Scale to the peak of `ink`, as preprocessing does however thin the pen; `ink` where little is left."""
    peak = changed.amax(dim=(2, 3), keepdim=True)
    before = ink.amax(dim=(2, 3), keepdim=True)
    return torch.where(peak > 0.1 * before, changed * (before / peak.clamp_min(1e-6)), ink)


def _faded(ink: Tensor, grain: Tensor, fading: Tensor) -> Tensor:
    chosen, level, softness = torch.split(fading, 1, dim=1)
    left = ink * torch.sigmoid((grain - level) / softness)
    return torch.lerp(ink, _full_contrast(left, ink), chosen)


def _smooth(noise: Tensor) -> Tensor:
    """Blur white noise [N, 1, H, W] to grains of some three pixels, of unit variance away from the edges."""
    line = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]).to(noise)
    line = line / line.square().sum().sqrt()
    return F.conv2d(
        F.conv2d(noise, line.view(1, 1, 1, 5), padding=(0, 2)), line.view(1, 1, 5, 1), padding=(2, 0)
    )


def _moved(ink: Tensor, motion: Tensor) -> Tensor:
    """Blur each chosen image along a line: `motion` is [N, 3, 1, 1], chosen, angle, length in pixels."""
    chosen, angle, length = torch.split(motion, 1, dim=1)
    reach = math.ceil(MAX_MOTION_FRACTION * ink.shape[-1] / 2)
    steps = torch.arange(-reach, reach + 1, device=ink.device, dtype=ink.dtype)
    across, down = steps.view(1, 1, 1, -1), steps.view(1, 1, -1, 1)
    # A line one pixel wide of that length through the kernel's middle, antialiased.
    half = length / 2
    along = (torch.cos(angle) * across + torch.sin(angle) * down).abs()
    aside = (torch.sin(angle) * across - torch.cos(angle) * down).abs()
    kernels = (half + 0.5 - along).clamp(0, 1) * (1 - aside).clamp(0, 1)
    kernels = kernels / kernels.sum(dim=(2, 3), keepdim=True)
    blurred = F.conv2d(ink.transpose(0, 1), kernels, padding=reach, groups=len(ink)).transpose(0, 1)
    return torch.lerp(ink, blurred, chosen)


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
