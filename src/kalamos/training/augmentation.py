"""Batched augmentation: one affine resampling an image, all images at once.

Drawing on the batch instead of on each image keeps training bound by the network.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from kalamos.training.recipe import Augmentation

__all__ = ["augment"]


def augment(images: Tensor, how: Augmentation, generator: torch.Generator, ground: float = 0.0) -> Tensor:
    """Deform each image by its own random rotation, slant, scale and shift.

    Args:
        images: float32 [N, 1, H, W], ink on a plain ground.
        how: the ranges; all zero returns the images as they are.
        generator: makes it reproducible; on the device of `images`.
        ground: the ground's value, which moves in from outside.

    Returns:
        float32 [N, 1, H, W].
    """
    if how == Augmentation():
        return images

    def draw(extent: float) -> Tensor:  # [N], uniform in [-extent, extent]
        return (torch.rand(len(images), generator=generator, device=images.device) * 2 - 1) * extent

    angle = draw(math.radians(how.rotate))
    slant = torch.tan(draw(math.radians(how.shear)))
    scale = 1 + draw(how.scale)
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    # affine_grid's unit is half a side, hence the factor 2 of the shift.
    shift_x, shift_y = draw(2 * how.translate), draw(2 * how.translate)
    rows = [cos, slant * cos - sin, shift_x, sin, slant * sin + cos, shift_y]
    matrices = torch.stack(rows, dim=1).view(-1, 2, 3)
    grid = F.affine_grid(matrices, list(images.shape), align_corners=False)
    # Outside, grid_sample sees zeros.
    return F.grid_sample(images - ground, grid, align_corners=False) + ground
