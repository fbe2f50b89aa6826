"""`cnn2`: two unpadded 3x3 convolutions, the small network that transfer learning is compared with.

| layer   | does                              | output   | parameters  |
|---------|-----------------------------------|----------|-------------|
| block_1 | convolution 3x3, ReLU, max-pool 2 | 32x13x13 |         320 |
| block_2 | convolution 3x3, ReLU, max-pool 2 | 64x5x5   |      18,496 |
| head    | dense 128, ReLU                   | 128      |     204,928 |
|         | dense                             | classes  | 129 a class |

225,034 parameters for 10 classes; made for 28x28 pixels alone.
"""

from __future__ import annotations

from torch import nn

from kalamos.architectures.network import ARCHITECTURES, StagedNetwork


@ARCHITECTURES.register("cnn2")
def cnn2(num_classes: int) -> StagedNetwork:
    stages = {"block_1": _block(1, 32), "block_2": _block(32, 64)}  # 28 -> 13 -> 5
    head = nn.Sequential(
        nn.Flatten(), nn.Linear(64 * 5 * 5, 128), nn.ReLU(inplace=True), nn.Linear(128, num_classes)
    )
    return StagedNetwork(stages, head)


def _block(inputs: int, outputs: int) -> nn.Sequential:
    # ReLU after the pooling: the same maps, as both only compare, from a quarter of the values.
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3), nn.MaxPool2d(2), nn.ReLU(inplace=True))
