"""The base model's network: the stages of `kalamos_m`, narrower, and an embedding of fixed length."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kalamos.learn.models.base import (
    ARCHITECTURES,
    MeanMaxPool,
    Residual,
    StagedNetwork,
    conv_bn_relu,
)

__all__ = ["EMBEDDING_SIZE", "INPUT_SIZE", "EmbeddingHead", "kalamos_glyphs"]

INPUT_SIZE = 40
"""Side of the input in px: at 28 the marks of Balinese and the dots of Baybayin's syllables are lost."""

EMBEDDING_SIZE = 192
"""Numbers in an embedding."""

LOGIT_SCALE = 24.0
"""Length of the embeddings that the classifier sees."""

WIDE, MIDDLE, DEEP = 48, 96, 112
"""Channels of the stages."""

DEEP_SIDE = 4
"""Side of the last maps, for an input of `INPUT_SIZE`."""


class EmbeddingHead(nn.Module):
    """Maps of the two last stages -> logits, by way of an embedding of fixed length.

    The last maps are seen place by place, by a global depthwise convolution (as MobileFaceNet does, Chen et
    al. 2018), for where a stroke is tells characters apart; both stages' means and maxima say how much
    there is.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.pool = MeanMaxPool()
        self.places = nn.Conv2d(DEEP, 2 * DEEP, DEEP_SIDE, groups=DEEP)
        self.embed = nn.Linear(2 * MIDDLE + 4 * DEEP, EMBEDDING_SIZE)
        self.classifier = nn.Linear(EMBEDDING_SIZE, num_classes)

    def embeddings(self, middle: Tensor, deep: Tensor) -> Tensor:
        """Maps [N, C, h, w] -> embeddings float32 [N, 192] of length 1."""
        seen = torch.cat([self.pool(middle), self.pool(deep), self.places(deep).flatten(1)], dim=1)
        return F.normalize(self.embed(seen))

    def forward(self, middle: Tensor, deep: Tensor) -> Tensor:
        logits: Tensor = self.classifier(LOGIT_SCALE * self.embeddings(middle, deep))
        return logits


@ARCHITECTURES.register("kalamos_glyphs")
def kalamos_glyphs(num_classes: int) -> StagedNetwork:
    """At most 710k parameters for characters of 40 px of any script: what `glyphs` was trained with.

    | stage  | layers                                       | output   | parameters  |
    |--------|----------------------------------------------|----------|-------------|
    | stem   | convolution 5x5, batch norm, ReLU            | 48x36x36 |       1,296 |
    | wide   | max-pool 2, residual of two                  | 48x18x18 |      41,664 |
    | middle | max-pool 2, convolution 3x3, residual of two | 96x9x9   |     207,936 |
    | deep   | max-pool 2, convolution 3x3, residual of two | 112x4x4  |     323,008 |
    | head   | places, mean and maximum, embedding of 192   | 192      |     126,912 |
    | class  | dense                                        | classes  | 193 a class |

    >>> network = kalamos_glyphs(10)
    >>> network(torch.zeros(2, 1, 40, 40)).shape
    torch.Size([2, 10])
    """
    stages = {
        "stem": conv_bn_relu(1, WIDE, 5),
        "wide": nn.Sequential(nn.MaxPool2d(2), Residual(WIDE)),
        "middle": nn.Sequential(nn.MaxPool2d(2), conv_bn_relu(WIDE, MIDDLE, 3, padding=1), Residual(MIDDLE)),
        "deep": nn.Sequential(nn.MaxPool2d(2), conv_bn_relu(MIDDLE, DEEP, 3, padding=1), Residual(DEEP)),
    }
    return StagedNetwork(
        stages,
        EmbeddingHead(num_classes),
        head_inputs=("middle", "deep"),
        input_size=INPUT_SIZE,
        head_keys=("head.classifier.",),
    )
