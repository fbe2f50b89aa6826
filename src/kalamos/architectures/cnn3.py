"""`cnn3`: three blocks of one padded 3x3 convolution, batch norm, max-pool and dropout.

| layer   | does                                                        | output   | parameters |
|---------|-------------------------------------------------------------|----------|------------|
| block_1 | convolution 3x3, batch norm, ReLU, max-pool 2, dropout 0.25 | 32x14x14 |        352 |
| block_2 | the same                                                    | 64x7x7   |     18,560 |
| block_3 | the same                                                    | 128x3x3  |     73,984 |
| head    | dense 256, ReLU, dropout 0.5                                | 256      |    295,168 |
|         | dense 128, ReLU                                             | 128      |     32,896 |
|         | dense                                                       | classes  | 129 a class |

422,250 parameters for 10 classes; made for 28x28 pixels alone. The convolutions have no bias:
batch norm would take it out again.
"""

from __future__ import annotations

from torch import nn

from kalamos.architectures.network import ARCHITECTURES, StagedNetwork


@ARCHITECTURES.register("cnn3")
def cnn3(num_classes: int) -> StagedNetwork:
    stages = {"block_1": _block(1, 32), "block_2": _block(32, 64), "block_3": _block(64, 128)}  # 14, 7, 3
    head = nn.Sequential(
        nn.Flatten(),
        nn.Linear(128 * 3 * 3, 256),
        nn.ReLU(inplace=True),
        nn.Dropout(0.5),
        nn.Linear(256, 128),
        nn.ReLU(inplace=True),
        nn.Linear(128, num_classes),
    )
    return StagedNetwork(stages, head)


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        # ReLU after the pooling: the same maps, as both only compare, from a quarter of the values.
        nn.MaxPool2d(2),
        nn.ReLU(inplace=True),
        nn.Dropout(0.25),
    )
