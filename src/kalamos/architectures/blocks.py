"""The building blocks that the architectures share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["MeanMaxPool", "PooledLinear", "RGBConv2d", "Residual", "conv_bn_relu"]


def conv_bn_relu(inputs: int, outputs: int, kernel: int, padding: int = 0) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=padding, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class MeanMaxPool(nn.Module):
    """[N, C, h, w] -> [N, 2 C]: each channel's mean, then each channel's maximum."""

    def forward(self, maps: Tensor) -> Tensor:
        return torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)


class PooledLinear(nn.Linear):
    """Maps of several stages, [N, C, h, w] each -> [N, classes]: a dense layer over each one's `MeanMaxPool`.

    Early maps say how many there are of something, such as dots, which the last ones forget.
    """

    def __init__(self, channels: Sequence[int], classes: int) -> None:
        super().__init__(2 * sum(channels), classes)
        self.pool = MeanMaxPool()

    def forward(self, *maps: Tensor) -> Tensor:
        return super().forward(torch.cat([self.pool(each) for each in maps], dim=1))


class RGBConv2d(nn.Conv2d):
    """A first convolution made for colour that also takes grey: [N, 3, S, S] or [N, 1, S, S].

    Grey stands in all three channels. Convolving it thrice by three filters is convolving it once
    by their sum, at a third of the cost.

    >>> convolution, grey = RGBConv2d(3, 8, 3), torch.rand(2, 1, 9, 9)
    >>> torch.allclose(convolution(grey), convolution(grey.expand(-1, 3, -1, -1)), atol=1e-6)
    True
    """

    def forward(self, images: Tensor) -> Tensor:
        grey = images.shape[1] == 1
        weight = self.weight.sum(dim=1, keepdim=True) if grey else self.weight
        return F.conv2d(images, weight, self.bias, self.stride, self.padding, self.dilation)


class Residual(nn.Module):
    """x -> ReLU(x + f(x)), f a chain of 3x3 convolutions of the same width, each with batch norm.

    He et al., Deep Residual Learning for Image Recognition, https://arxiv.org/abs/1512.03385.
    """

    def __init__(self, channels: int, depth: int = 2) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += conv_bn_relu(channels, channels, 3, padding=1)
        self.change = nn.Sequential(*layers[:-1])  # the last ReLU comes after the sum

    def forward(self, maps: Tensor) -> Tensor:
        return F.relu(maps + self.change(maps))
