"""`mobilenet_v3_small`: torchvision's, for one channel. What the Arabic-MNIST project trained.

Howard et al., Searching for MobileNetV3, https://arxiv.org/abs/1905.02244. The first convolution is
replaced by one for grey; with ImageNet weights it is the mean over red, green and blue of theirs. The
classifier's last layer is replaced too. For 128x128 pixels:

| stage                     | output   |
|---------------------------|----------|
| features_0                | 16x64x64 |
| features_1                | 16x32x32 |
| features_2, features_3    | 24x16x16 |
| features_4 to features_6  | 40x8x8   |
| features_7, features_8    | 48x8x8   |
| features_9 to features_11 | 96x4x4   |
| features_12               | 576x4x4  |
| head: mean, dense 1024, Hardswish, dropout 0.2, dense | classes |

1,527,818 parameters for 10 classes: 1,517,568 and 1,025 a class.
"""

from __future__ import annotations

from torch import nn

from kalamos.architectures.mobilenet import MobileNet
from kalamos.architectures.network import ARCHITECTURES, StagedNetwork


@ARCHITECTURES.register("mobilenet_v3_small")
def mobilenet_v3_small(num_classes: int) -> StagedNetwork:
    from torchvision import models  # type: ignore[import-untyped]

    network = models.mobilenet_v3_small(weights=None, num_classes=num_classes)
    colour = network.features[0][0]
    grey = nn.Conv2d(1, colour.out_channels, 3, stride=2, padding=1, bias=False)
    nn.init.kaiming_normal_(grey.weight, mode="fan_out")  # as torchvision begins the others
    network.features[0][0] = grey
    return MobileNet(
        network.features,
        network.classifier,
        imagenet=models.MobileNet_V3_Small_Weights.IMAGENET1K_V1,
        input_size=128,
        head_keys=("head.classifier.3.",),
    )
