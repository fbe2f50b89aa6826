"""`lenet_bn`: LeNet-5 (LeCun et al. 1998), wider, with batch norm and dropout, for EMNIST's 47 classes.

| layer   | does                                                    | output   | parameters | statistics |
|---------|---------------------------------------------------------|----------|------------|------------|
| block_1 | convolution 7x7, ReLU, max-pool 2, batch norm           | 12x11x11 |        624 |         24 |
| block_2 | convolution 5x5, ReLU, max-pool 2, batch norm           | 24x3x3   |      7,272 |         48 |
| head    | dropout 0.25, dense 480, ReLU, batch norm, dropout 0.25 | 480      |    105,120 |        960 |
|         | dense 320, ReLU, batch norm, dropout 0.25               | 320      |    154,560 |        640 |
|         | dense                                                   | 47       |     15,087 |            |

282,663 parameters for 47 classes. Keras reports 284,335 in all, for it counts batch norm's 1,672
moving means and variances too. Made for 28x28 pixels alone.
"""

from __future__ import annotations

from torch import nn

from kalamos.architectures.network import ARCHITECTURES, StagedNetwork

DROPOUT = 0.1


@ARCHITECTURES.register("lenet_bn")
def lenet_bn(num_classes: int) -> StagedNetwork:
    stages = {"block_1": _block(1, 12, 7), "block_2": _block(12, 24, 5)}  # 28 -> 11 -> 3
    head = nn.Sequential(
        nn.Flatten(),
        nn.Dropout(DROPOUT),
        *_dense(24 * 3 * 3, 480),
        *_dense(480, 320),
        nn.Linear(320, num_classes),
    )
    return StagedNetwork(stages, head)


def _block(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    # ReLU after the pooling: the same maps, as both only compare, from a quarter of the values.
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel), nn.MaxPool2d(2), nn.ReLU(inplace=True), nn.BatchNorm2d(outputs)
    )


def _dense(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, outputs), nn.ReLU(inplace=True), nn.BatchNorm1d(outputs), nn.Dropout(DROPOUT)
    )
