"""Mixup (Zhang et al. 2018) and CutMix (Yun et al. 2019): two images, and their labels, in one."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["mix"]


def mix(
    images: Tensor, labels: Tensor, num_classes: int, *, mixup: float, cutmix: float, seed: int
) -> tuple[Tensor, Tensor]:
    """Mix each image with another of the batch; where both ways are wanted, a coin decides for the batch.

    Args:
        images: float32 [N, 1, H, W].
        labels: int64 [N].
        mixup, cutmix: alpha of the Beta(alpha, alpha) that the share is drawn from; 0 is off.
        seed: makes it reproducible.

    Returns:
        Images like those given, and float32 [N, C] target probabilities.
    """
    generator = np.random.default_rng(seed)
    blend = bool(mixup) and (not cutmix or generator.random() < 0.5)
    alpha = mixup if blend else cutmix
    share = float(generator.beta(alpha, alpha))
    partner = torch.from_numpy(generator.permutation(len(images))).to(images.device)
    if blend:
        images = share * images + (1 - share) * images[partner]
    else:
        height, width = images.shape[2:]
        side = float(np.sqrt(1 - share))
        y, x = generator.integers(height), generator.integers(width)
        top, bottom = (int(np.clip(y + s * height * side / 2, 0, height)) for s in (-1, 1))
        left, right = (int(np.clip(x + s * width * side / 2, 0, width)) for s in (-1, 1))
        images = images.clone()
        images[:, :, top:bottom, left:right] = images[partner][:, :, top:bottom, left:right]
        share = 1 - (bottom - top) * (right - left) / (height * width)
    targets = F.one_hot(labels, num_classes).float()
    return images, share * targets + (1 - share) * targets[partner]
