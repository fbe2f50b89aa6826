"""`kalamos_cx`: ConvNeXt's blocks at `kalamos_xs`'s size, to compare with.

`trials.py` registers and measures it.

Liu et al., A ConvNet for the 2020s, https://arxiv.org/abs/2201.03545: depthwise convolution, layer norm, a
hidden layer four times as wide with GELU, a scaled sum. The depthwise kernel is 5x5 where theirs is 7x7, for
the last maps are 3x3. See docs/trials.md for what it is worth here.

For 28x28 pixels: 20x14x14, 40x7x7, 64x3x3; 86,614 parameters for 10 classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kalamos.learn.models.base import MeanMaxPool, StagedNetwork

SHALLOW, MIDDLE, DEEP = 20, 40, 64
KERNEL, EXPANSION = 5, 4
SCALE = 0.1
"""Of a block's change at the beginning; theirs is 1e-6, for networks ten times as deep."""


def kalamos_cx(num_classes: int) -> StagedNetwork:
    stages = {
        "shallow": nn.Sequential(
            nn.Conv2d(1, SHALLOW, 4, stride=2, padding=1), LayerNorm(SHALLOW), Block(SHALLOW), Block(SHALLOW)
        ),
        "middle": nn.Sequential(*_smaller(SHALLOW, MIDDLE), Block(MIDDLE), Block(MIDDLE)),
        "deep": nn.Sequential(*_smaller(MIDDLE, DEEP), Block(DEEP)),
    }
    head = nn.Sequential(MeanMaxPool(), nn.LayerNorm(2 * DEEP), nn.Linear(2 * DEEP, num_classes))
    return StagedNetwork(stages, head)


class LayerNorm(nn.Module):
    """[N, C, h, w], each place's channels normalised."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, maps: Tensor) -> Tensor:
        normed: Tensor = self.norm(maps.permute(0, 2, 3, 1))
        return normed.permute(0, 3, 1, 2)


class Block(nn.Module):
    """x -> x + scale * f(x), f as in ConvNeXt."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, channels, KERNEL, padding=KERNEL // 2, groups=channels)
        self.norm = LayerNorm(channels)
        self.widen = nn.Conv2d(channels, EXPANSION * channels, 1)
        self.narrow = nn.Conv2d(EXPANSION * channels, channels, 1)
        self.scale = nn.Parameter(torch.full((channels, 1, 1), SCALE))

    def forward(self, maps: Tensor) -> Tensor:
        change: Tensor = self.narrow(F.gelu(self.widen(self.norm(self.mix(maps)))))
        return maps + self.scale * change


def _smaller(inputs: int, outputs: int) -> tuple[nn.Module, nn.Module]:
    return LayerNorm(inputs), nn.Conv2d(inputs, outputs, 2, stride=2)
