"""`kalamos_xs`: at most 100k parameters for 28x28 characters, made for CPUs.

Cost lies in the first layers' area, so it pools early and lets the 5x5 stem go unpadded; channels
are multiples of 8, which ONNX Runtime's blocked convolutions want. Mean and maximum of the middle's and
the last maps say how much of each feature there is, and whether there is any. With the last maps alone,
Arabic letters that it did not learn (`kalamos teach`) are worse to tell apart from those that it did.
"""

from __future__ import annotations

from torch import nn

from kalamos.architectures.blocks import PooledLinear, conv_bn_relu
from kalamos.architectures.network import ARCHITECTURES, StagedNetwork

STEM, MIDDLE, DEEP, LAST = 16, 32, 64, 88


@ARCHITECTURES.register("kalamos_xs")
def kalamos_xs(num_classes: int) -> StagedNetwork:
    stages = {
        "stem": conv_bn_relu(1, STEM, 5),  # 28 -> 24
        "middle": nn.Sequential(
            nn.MaxPool2d(2),  # 24 -> 12
            conv_bn_relu(STEM, MIDDLE, 3),  # 12 -> 10
            conv_bn_relu(MIDDLE, MIDDLE, 3),  # 10 -> 8
        ),
        "deep": nn.Sequential(
            nn.MaxPool2d(2),  # 8 -> 4
            conv_bn_relu(MIDDLE, DEEP, 3, padding=1),
            conv_bn_relu(DEEP, LAST, 3),  # 4 -> 2
        ),
    }
    return StagedNetwork(stages, PooledLinear((MIDDLE, LAST), num_classes), head_inputs=("middle", "deep"))
