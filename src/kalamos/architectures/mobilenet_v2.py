"""`mobilenet_v2` and `mobilenet_v2_transfer`: one network, learning whole or only its head.

Sandler et al., MobileNetV2, https://arxiv.org/abs/1801.04381; torchvision's, for colour or grey, with
a head of 1280-128-classes. For 28x28 pixels, which is less than it likes:

| stage                      | output   |
|----------------------------|----------|
| features_0, features_1     | 32x14x14, 16x14x14 |
| features_2, features_3     | 24x7x7   |
| features_4 to features_6   | 32x4x4   |
| features_7 to features_13  | 64x2x2, then 96x2x2 |
| features_14 to features_18 | 160x1x1, 320x1x1, 1280x1x1 |
| head: mean, dropout 0.2, dense 128, ReLU, dense | classes |

2,389,130 parameters for 10 classes (batch norm's statistics not counted): 2,223,872 in the stages
and 165,258 in the head, which are the trainable ones of `mobilenet_v2_transfer`. That one is only as
good as the weights its stages come with: ImageNet's, or those of a `mobilenet_v2` that has learnt
characters.
"""

from __future__ import annotations

from typing import Self

from torch import nn

from kalamos.architectures.blocks import RGBConv2d
from kalamos.architectures.mobilenet import MobileNet
from kalamos.architectures.network import ARCHITECTURES, StagedNetwork


@ARCHITECTURES.register("mobilenet_v2")
def mobilenet_v2(num_classes: int) -> StagedNetwork:
    return _build(MobileNet, num_classes)


@ARCHITECTURES.register("mobilenet_v2_transfer")
def mobilenet_v2_transfer(num_classes: int) -> StagedNetwork:
    network = _build(FrozenMobileNet, num_classes)
    network.stages.requires_grad_(requires_grad=False)
    return network


class FrozenMobileNet(MobileNet):
    """Its stages never learn: neither by gradients nor through batch norm's statistics."""

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.stages.eval()
        return self


def _build(kind: type[MobileNet], num_classes: int) -> MobileNet:
    from torchvision import models  # type: ignore[import-untyped]

    features = models.mobilenet_v2(weights=None, num_classes=1).features
    colour = features[0][0]
    features[0][0] = RGBConv2d(3, colour.out_channels, 3, stride=2, padding=1, bias=False)
    features[0][0].weight = colour.weight
    head = nn.Sequential(
        nn.Dropout(0.2), nn.Linear(1280, 128), nn.ReLU(inplace=True), nn.Linear(128, num_classes)
    )
    imagenet = models.MobileNet_V2_Weights.IMAGENET1K_V1
    return kind(features, head, imagenet=imagenet, input_size=28, head_keys=("head.",))
