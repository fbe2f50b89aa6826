"""Networks of the kalamos family, and those that the literature compares with."""

from __future__ import annotations

from torch import nn

from kalamos.learn.models.base import (
    ARCHITECTURES,
    KNOWN_WIDTH,
    MeanMaxPool,
    PooledLinear,
    Residual,
    RGBConv2d,
    StagedNetwork,
    conv_bn_relu,
)

LENET_DROPOUT = 0.1


@ARCHITECTURES.register("kalamos_xs")
def kalamos_xs(num_classes: int) -> StagedNetwork:
    """At most 100k parameters for 28x28 characters of up to 47 classes, made for CPUs.

    Cost lies in the first layers' area, so it pools early and leaves the 5x5 stem unpadded; channels
    are multiples of 8, which ONNX Runtime's blocked convolutions want. Mean and maximum of the middle and
    the last maps say how much of each feature there is, and whether there is any. With the last maps alone,
    Arabic letters that it did not learn (`kalamos teach`) are harder to tell from those that it did.

    With the output `known`: 94,987 parameters for 10 classes, 99,520 for 47.
    """
    stem, middle, deep, last = 16, 32, 64, 88
    stages = {
        "stem": conv_bn_relu(1, stem, 5),  # 28 -> 24
        "middle": nn.Sequential(
            nn.MaxPool2d(2),  # 24 -> 12
            conv_bn_relu(stem, middle, 3),  # 12 -> 10
            conv_bn_relu(middle, middle, 3),  # 10 -> 8
        ),
        "deep": nn.Sequential(
            nn.MaxPool2d(2),  # 8 -> 4
            conv_bn_relu(middle, deep, 3, padding=1),
            conv_bn_relu(deep, last, 3),  # 4 -> 2
        ),
    }
    return StagedNetwork(
        stages,
        PooledLinear((middle, last), num_classes),
        head_inputs=("middle", "deep"),
        # Half as wide where the classes take what is left of the 100k.
        known_width=KNOWN_WIDTH if num_classes <= 30 else KNOWN_WIDTH // 2,
    )


@ARCHITECTURES.register("kalamos_s")
def kalamos_s(num_classes: int) -> StagedNetwork:
    """At most 300k parameters for characters of 28 to 64 px.

    A compact residual network: dense 3x3 convolutions, batch norm and ReLU only, which int8, bf16 and
    CPUs all like. The unpadded 5x5 stem is the only layer at full size, as cost lies in the first
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
    return _residual_network(num_classes, widths=(32, 64, 96), last_depth=1)


@ARCHITECTURES.register("kalamos_m")
def kalamos_m(num_classes: int) -> StagedNetwork:
    """At most 1M parameters for characters of 28 to 64 px; `kalamos_s`, wider.

    For 28x28 pixels:

    | stage  | layers                                       | output   | parameters  |
    |--------|----------------------------------------------|----------|-------------|
    | stem   | convolution 5x5, batch norm, ReLU            | 48x24x24 |       1,296 |
    | wide   | max-pool 2, residual of two                  | 48x12x12 |      41,664 |
    | middle | max-pool 2, convolution 3x3, residual of two | 96x6x6   |     207,936 |
    | deep   | max-pool 2, convolution 3x3, residual of two | 160x3x3  |     600,000 |
    | head   | mean and maximum, dense                      | classes  | 321 a class |

    854,106 parameters for 10 classes, 865,983 for 47; 19.5 million multiplications an image.
    """
    return _residual_network(num_classes, widths=(48, 96, 160), last_depth=2)


def _residual_network(num_classes: int, widths: tuple[int, int, int], last_depth: int) -> StagedNetwork:
    """Build the layers above; `last_depth` is the number of convolutions in the last residual."""
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


# The networks below have their ReLU after the pooling: the same maps, as both only compare, from a quarter of
# the values.


@ARCHITECTURES.register("cnn2")
def cnn2(num_classes: int) -> StagedNetwork:
    """Two unpadded 3x3 convolutions, the small network that transfer learning is compared with.

    | layer   | does                              | output   | parameters  |
    |---------|-----------------------------------|----------|-------------|
    | block_1 | convolution 3x3, ReLU, max-pool 2 | 32x13x13 |         320 |
    | block_2 | convolution 3x3, ReLU, max-pool 2 | 64x5x5   |      18,496 |
    | head    | dense 128, ReLU                   | 128      |     204,928 |
    |         | dense                             | classes  | 129 a class |

    225,034 parameters for 10 classes; made for 28x28 pixels alone.
    """

    def block(inputs: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(inputs, outputs, 3), nn.MaxPool2d(2), nn.ReLU(inplace=True))

    stages = {"block_1": block(1, 32), "block_2": block(32, 64)}  # 28 -> 13 -> 5
    head = nn.Sequential(
        nn.Flatten(), nn.Linear(64 * 5 * 5, 128), nn.ReLU(inplace=True), nn.Linear(128, num_classes)
    )
    return StagedNetwork(stages, head)


@ARCHITECTURES.register("cnn3")
def cnn3(num_classes: int) -> StagedNetwork:
    """Three blocks of one padded 3x3 convolution, batch norm, max-pool and dropout.

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

    def block(inputs: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.MaxPool2d(2),
            nn.ReLU(inplace=True),
            nn.Dropout(0.25),
        )

    stages = {"block_1": block(1, 32), "block_2": block(32, 64), "block_3": block(64, 128)}  # 14, 7, 3
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


@ARCHITECTURES.register("cnn64")
def cnn64(num_classes: int) -> StagedNetwork:
    """Two 5x5 convolutions of ten channels on 64x64 pixels, in colour or grey.

    | layer   | does                                             | output   | parameters    |
    |---------|--------------------------------------------------|----------|---------------|
    | block_1 | convolution 5x5, max-pool 2, ReLU                | 10x30x30 |           760 |
    | block_2 | convolution 5x5, Dropout2d 0.5, max-pool 2, ReLU | 10x13x13 |         2,510 |
    | head    | dense                                            | classes  | 1,691 a class |

    20,180 parameters for 10 classes; made for 64x64 pixels alone.
    """
    stages = {
        "block_1": nn.Sequential(RGBConv2d(3, 10, 5), nn.MaxPool2d(2), nn.ReLU(inplace=True)),  # 64 -> 30
        "block_2": nn.Sequential(
            nn.Conv2d(10, 10, 5), nn.Dropout2d(0.5), nn.MaxPool2d(2), nn.ReLU(inplace=True)
        ),  # 30 -> 13
    }
    head = nn.Sequential(nn.Flatten(), nn.Linear(10 * 13 * 13, num_classes))
    return StagedNetwork(stages, head, input_size=64)


@ARCHITECTURES.register("lenet_bn")
def lenet_bn(num_classes: int) -> StagedNetwork:
    """LeNet-5 (LeCun et al. 1998), wider, with batch norm and dropout, for EMNIST's 47 classes.

    | layer   | does                                                  | output   | parameters | statistics |
    |---------|-------------------------------------------------------|----------|------------|------------|
    | block_1 | convolution 7x7, ReLU, max-pool 2, batch norm         | 12x11x11 |        624 |         24 |
    | block_2 | convolution 5x5, ReLU, max-pool 2, batch norm         | 24x3x3   |      7,272 |         48 |
    | head    | dropout 0.1, dense 480, ReLU, batch norm, dropout 0.1 | 480      |    105,120 |        960 |
    |         | dense 320, ReLU, batch norm, dropout 0.1              | 320      |    154,560 |        640 |
    |         | dense                                                 | 47       |     15,087 |            |

    282,663 parameters for 47 classes. Keras reports 284,335 in all, as it counts batch norm's 1,672
    moving means and variances too. Made for 28x28 pixels alone.
    """

    def block(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
        convolution = nn.Conv2d(inputs, outputs, kernel)
        return nn.Sequential(convolution, nn.MaxPool2d(2), nn.ReLU(inplace=True), nn.BatchNorm2d(outputs))

    def dense(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
        norm, dropout = nn.BatchNorm1d(outputs), nn.Dropout(LENET_DROPOUT)
        return nn.Linear(inputs, outputs), nn.ReLU(inplace=True), norm, dropout

    stages = {"block_1": block(1, 12, 7), "block_2": block(12, 24, 5)}  # 28 -> 11 -> 3
    head = nn.Sequential(
        nn.Flatten(),
        nn.Dropout(LENET_DROPOUT),
        *dense(24 * 3 * 3, 480),
        *dense(480, 320),
        nn.Linear(320, num_classes),
    )
    return StagedNetwork(stages, head)
