"""Batched augmentation: every image's own projective map, all images resampled at once.

The maps are composed first, so that however much is deformed, pixels are interpolated only once; and
drawing them for the batch instead of for each image keeps training bound by the network.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from kalamos.training.policy import Augmentation

__all__ = ["draw_maps", "warp"]


def draw_maps(how: Augmentation, count: int, generator: torch.Generator) -> Tensor | None:
    """Random maps from output to input coordinates, both with [-1, 1] across the image.

    Args:
        how: the ranges.
        count: N.
        generator: makes it reproducible; the maps lie on its device.

    Returns:
        float32: [N, 2, 3] where the maps are affine, [N, 3, 3] where they are projective; None where
        `how` changes nothing.
    """
    if how == Augmentation():
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


def warp(images: Tensor, maps: Tensor | None, ground: float = 0.0) -> Tensor:
    """Resample each image through its map, bilinearly.

    Args:
        images: float32 [N, 1, H, W], ink on a plain ground.
        maps: what `draw_maps` returns.
        ground: the ground's value, which moves in from outside.

    Returns:
        float32 [N, 1, H, W].
    """
    if maps is None:
        return images
    height, width = images.shape[2:]
    if maps.shape[1] == 2:
        grid = F.affine_grid(maps, [len(maps), 1, height, width], align_corners=False)
    else:
        x = (torch.arange(width, device=maps.device) * 2 + 1) / width - 1
        y = (torch.arange(height, device=maps.device) * 2 + 1) / height - 1
        rows, columns = torch.meshgrid(y, x, indexing="ij")
        points = torch.stack([columns, rows, torch.ones_like(rows)], dim=-1).view(1, -1, 3)
        mapped = points @ maps.transpose(1, 2)  # [N, H W, 3]
        grid = (mapped[..., :2] / mapped[..., 2:]).view(-1, height, width, 2)
    # Outside, grid_sample sees zeros.
    return F.grid_sample(images - ground, grid, align_corners=False) + ground


def _perspective(how: Augmentation, count: int, generator: torch.Generator) -> Tensor:
    """[N, 3, 3]: each corner moves inwards by up to `perspective` of half a side, as torchvision's does."""
    from kornia.geometry.transform import get_perspective_transform

    device = generator.device
    square = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]], device=device)
    inwards = torch.rand(count, 4, 2, generator=generator, device=device) * how.perspective
    chosen = torch.rand(count, 1, 1, generator=generator, device=device) < how.perspective_p
    moved = square - square * inwards * chosen
    maps: Tensor = get_perspective_transform(moved, square.expand(count, 4, 2))
    return maps
