"""Batched augmentation: every image's own map and bends, all images resampled at once, then its own pen.

The maps are composed first, so that however much is deformed, pixels are interpolated only once; and
drawing them for the batch instead of for each image keeps training bound by the network.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from kalamos.training.pens import apply_stroke_augment, sample_stroke_params
from kalamos.training.policy import Augmentation

__all__ = ["augment", "sample_elastic", "sample_transforms", "warp"]

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
        generator: makes it reproducible, and lies on the images' device. All of the batch is drawn for,
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
