"""The line recogniser's network: convolutions on a strip of free width, one row of logits every two px."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["LineNet"]


class _Residual(nn.Module):
    """A convolution beside the identity, of 3 rows and 3 columns, or 5 columns of a single row."""

    def __init__(self, channels: int, dilation: int = 1, size: tuple[int, int] = (3, 3)) -> None:
        super().__init__()
        padding = size[0] // 2, size[1] // 2 * dilation
        self.conv = nn.Sequential(
            nn.Conv2d(channels, channels, size, padding=padding, dilation=(1, dilation), bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.conv(x))


class LineNet(nn.Module):
    """Strips [N, 1, 40, w], ink 1 on 0 -> logits [N, classes, (w + 1) // 2]; the first class is CTC's blank.

    What one place answers depends on some 30 px to both sides: a digit and its neighbours.

    Args:
        classes: blank included.

    >>> import torch
    >>> LineNet(16)(torch.zeros(2, 1, 40, 101)).shape
    torch.Size([2, 16, 51])
    >>> sum(weights.numel() for weights in LineNet(16).parameters())
    433840
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _conv(1, 32, (5, 5), (2, 2), (2, 2)),
            _Residual(32),
            _conv(32, 48, (3, 3), (2, 1), (1, 1)),
            _Residual(48),
            _Residual(48, 2),
            _conv(48, 80, (3, 3), (2, 1), (1, 1)),
            _Residual(80),
            _Residual(80, 2),
            _conv(80, 128, (5, 1), (1, 1), (0, 0)),
            _Residual(128, 1, (1, 5)),
            _Residual(128, 2, (1, 5)),
            nn.Conv2d(128, classes, 1),
        )

    def forward(self, strips: Tensor) -> Tensor:
        logits: Tensor = self.layers(strips)[:, :, 0]
        return logits


def _conv(
    inputs: int, outputs: int, size: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, padding, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )
