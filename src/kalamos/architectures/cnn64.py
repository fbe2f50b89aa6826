"""`cnn64`: two 5x5 convolutions of ten channels on 64x64 pixels, in colour or grey.

| layer   | does                                             | output   | parameters    |
|---------|--------------------------------------------------|----------|---------------|
| block_1 | convolution 5x5, max-pool 2, ReLU                | 10x30x30 |           760 |
| block_2 | convolution 5x5, Dropout2d 0.5, max-pool 2, ReLU | 10x13x13 |         2,510 |
| head    | dense                                            | classes  | 1,691 a class |

20,180 parameters for 10 classes; made for 64x64 pixels alone.
"""

from __future__ import annotations

from torch import nn

from kalamos.architectures.blocks import RGBConv2d
from kalamos.architectures.network import ARCHITECTURES, StagedNetwork


@ARCHITECTURES.register("cnn64")
def cnn64(num_classes: int) -> StagedNetwork:
    stages = {
        "block_1": nn.Sequential(RGBConv2d(3, 10, 5), nn.MaxPool2d(2), nn.ReLU(inplace=True)),  # 64 -> 30
        "block_2": nn.Sequential(
            nn.Conv2d(10, 10, 5), nn.Dropout2d(0.5), nn.MaxPool2d(2), nn.ReLU(inplace=True)
        ),  # 30 -> 13
    }
    head = nn.Sequential(nn.Flatten(), nn.Linear(10 * 13 * 13, num_classes))
    return StagedNetwork(stages, head, input_size=64)
