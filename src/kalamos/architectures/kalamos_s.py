"""`kalamos_s`: at most 300k parameters for characters of 28 to 64 px.

A compact residual network: dense 3x3 convolutions, batch norm and ReLU only, which int8, bf16 and
CPUs all like. The unpadded 5x5 stem is the only layer at full size, for cost lies in the first
layers' area. As in `kalamos_xs`, the head sees each feature's mean and maximum.

For 28x28 pixels:

| stage  | layers                                       | output   | parameters  |
|--------|----------------------------------------------|----------|-------------|
| stem   | convolution 5x5, batch norm, ReLU            | 32x24x24 |         864 |
| wide   | max-pool 2, residual of two                  | 32x12x12 |      18,560 |
| middle | max-pool 2, convolution 3x3, residual of two | 64x6x6   |      92,544 |
| deep   | max-pool 2, convolution 3x3, residual of one | 96x3x3   |     138,624 |
| head   | mean and maximum, dense                      | classes  | 193 a class |

252,522 parameters for 10 classes, 259,663 for 47; 7.7 million multiplications an image.
"""

from __future__ import annotations

from torch import nn

from kalamos.architectures.blocks import MeanMaxPool, Residual, conv_bn_relu
from kalamos.architectures.network import ARCHITECTURES, StagedNetwork


@ARCHITECTURES.register("kalamos_s")
def kalamos_s(num_classes: int) -> StagedNetwork:
    return residual_network(num_classes, widths=(32, 64, 96), last_depth=1)


def residual_network(num_classes: int, widths: tuple[int, int, int], last_depth: int) -> StagedNetwork:
    """The layers above at other widths; `last_depth` is the number of convolutions in the last residual."""
    wide, middle, deep = widths
    stages = {
        "stem": conv_bn_relu(1, wide, 5),
        "wide": nn.Sequential(nn.MaxPool2d(2), Residual(wide)),
        "middle": nn.Sequential(nn.MaxPool2d(2), conv_bn_relu(wide, middle, 3, padding=1), Residual(middle)),
        "deep": nn.Sequential(
            nn.MaxPool2d(2), conv_bn_relu(middle, deep, 3, padding=1), Residual(deep, last_depth)
        ),
    }
    return StagedNetwork(stages, nn.Sequential(MeanMaxPool(), nn.Linear(2 * deep, num_classes)))
