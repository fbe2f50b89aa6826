"""The ink finder's network: a small U-Net with strides of 2 to 16 and an output at the input's own size."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["InkNet"]


class Residual(nn.Module):
    """A 3x3 convolution beside the identity."""

    def __init__(self, channels: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.conv(x))


class InkNet(nn.Module):
    """Standardised grey levels [N, 1, h, w] -> logits of ink [N, 1, h, w]; h and w are multiples of 16.

    Every layer but the last is one that onnxruntime runs in its blocked layout: on images so small, changes
    of layout would take as long as the convolutions.

    Args:
        channels: at strides 2, 4, 8 and 16.
        blocks: residual blocks at strides 4, 8 and 16.

    >>> import torch
    >>> InkNet()(torch.zeros(1, 1, 64, 48)).shape
    torch.Size([1, 1, 64, 48])
    >>> sum(weights.numel() for weights in InkNet().parameters())
    189340
    """

    def __init__(
        self,
        channels: tuple[int, int, int, int] = (16, 24, 48, 64),
        blocks: tuple[int, int, int] = (0, 2, 2),
    ) -> None:
        super().__init__()
        at2, at4, at8, at16 = channels
        self.down2 = _conv(1, at2, size=6)
        self.down4 = nn.Sequential(_conv(at2, at4), *(Residual(at4) for _ in range(blocks[0])))
        # Dilated, as a line is told from a stroke by how far it goes.
        self.down8 = nn.Sequential(_conv(at4, at8), *(Residual(at8, 1 + i % 2) for i in range(blocks[1])))
        self.down16 = nn.Sequential(_conv(at8, at16), *(Residual(at16) for _ in range(blocks[2])))
        self.up8, self.up4, self.up2 = _double(at16, at8), _double(at8, at4), _double(at4, at2)
        self.mix8, self.mix4 = Residual(at8), Residual(at4)
        # Sub-pixel convolution (Shi et al. 2016): four values a place are its four pixels.
        self.head = nn.Sequential(nn.Conv2d(at2, 4, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, x: Tensor) -> Tensor:
        at2 = self.down2(x)
        at4 = self.down4(at2)
        at8 = self.down8(at4)
        at16 = self.down16(at8)
        at8 = self.mix8(F.relu(self.up8(at16) + at8))
        at4 = self.mix4(F.relu(self.up4(at8) + at4))
        logits: Tensor = self.head(F.relu(self.up2(at4) + at2))
        return logits


def _conv(inputs: int, outputs: int, size: int = 3) -> nn.Sequential:
    """Halve the resolution."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride=2, padding=(size - 1) // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


def _double(inputs: int, outputs: int) -> nn.Sequential:
    """Double the resolution."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.Upsample(scale_factor=2, mode="nearest"))
