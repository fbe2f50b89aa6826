"""Networks of torchvision and timm, which can begin from published weights."""

from __future__ import annotations

import difflib
import http.client
import pickle
import re
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from functools import partial
from typing import Any, Self

from torch import Tensor, nn

from kalamos.errors import MissingExtraError, RecipeError, TrainingError, first_line
from kalamos.learn.models.base import ARCHITECTURES, RGBConv2d, StagedNetwork

__all__ = ["TIMM_PREFIX", "TimmNetwork", "timm_builder"]

DOWNLOAD_TIMEOUT_SECONDS = 30.0
"""Seconds without a byte after which a download is given up."""


class MobileNet(StagedNetwork):
    """torchvision's `features`, each a stage `features_0`, `features_1`, ..., then pooling and a classifier.

    Args:
        features: torchvision's, whose names the stages keep.
        classifier: [N, C] -> logits [N, num_classes].
        imagenet: torchvision's `WeightsEnum` member.
        input_size, head_keys: as in `StagedNetwork`.
    """

    def __init__(
        self,
        features: nn.Sequential,
        classifier: nn.Sequential,
        *,
        imagenet: Any,
        input_size: int,
        head_keys: tuple[str, ...],
    ) -> None:
        stages = {f"features_{index}": feature for index, feature in enumerate(features)}
        head = nn.Sequential()
        head.add_module("pool", nn.AdaptiveAvgPool2d(1))
        head.add_module("flatten", nn.Flatten())
        head.add_module("classifier", classifier)
        super().__init__(stages, head, input_size=input_size, head_keys=head_keys)
        self._imagenet = imagenet

    def map_key(self, name: str) -> str:
        """`features.3.block.0.0.weight` -> `stages.features_3.block.0.0.weight`."""
        name = re.sub(r"^features\.(\d+)\.", r"stages.features_\1.", name)
        return re.sub(r"^classifier\.", "head.classifier.", name)

    def imagenet_weights(self) -> Mapping[str, Tensor]:
        """Torchvision's download, checked against its hash and kept in PyTorch's cache."""
        url = self._imagenet.url
        remedy = f"fetch {url} elsewhere and give the file (--weights FILE), or leave the weights out"
        try:
            with _download_timeout(), redirect_stdout(sys.stderr):  # where it reports its download
                tensors: Mapping[str, Tensor] = self._imagenet.get_state_dict(
                    progress=False, check_hash=True, map_location="cpu", weights_only=True
                )
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or str(error) or type(error).__name__
            raise TrainingError(f"the ImageNet weights cannot be had ({reason})", remedy=remedy) from error
        except (EOFError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
            raise TrainingError("the downloaded ImageNet weights are damaged", remedy=remedy) from error
        return tensors


@contextmanager
def _download_timeout() -> Iterator[None]:
    # torchvision's download has no time limit of its own, and waits for ever where packets are dropped.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@ARCHITECTURES.register("mobilenet_v2")
def mobilenet_v2(num_classes: int) -> StagedNetwork:
    """MobileNetV2, of which everything learns.

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
    return _build(MobileNet, num_classes)


@ARCHITECTURES.register("mobilenet_v2_transfer")
def mobilenet_v2_transfer(num_classes: int) -> StagedNetwork:
    """`mobilenet_v2`, of which only the head learns."""
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


@ARCHITECTURES.register("mobilenet_v3_small")
def mobilenet_v3_small(num_classes: int) -> StagedNetwork:
    """MobileNetV3-Small for one channel, which the Arabic-MNIST project trained.

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
    from torchvision import models

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


TIMM_PREFIX = "timm:"


def timm_builder(name: str) -> Callable[[int], StagedNetwork]:
    """What makes timm's network of this name for a number of classes.

    Raises:
        MissingExtraError: timm is not installed.
        RecipeError: timm has no such network.
    """
    try:
        import timm
    except ImportError as error:
        raise MissingExtraError(f"'timm:{name}' needs timm, which is not installed", extra="timm") from error
    # Also keeps out `hf-hub:` and `local-dir:`, under which timm loads anything from anywhere.
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=1)
        remedy = f"did you mean 'timm:{near[0]}'?" if near else "timm.list_models() knows them all"
        raise RecipeError(f"timm has no network {name!r}", remedy=remedy)
    return partial(TimmNetwork, name)


class TimmNetwork(StagedNetwork):
    """A network of timm, unchanged, for one channel; its tensors are named `model.` and their name in timm.

    It runs whole, not stage by stage, so `stages` hold names alone: those that timm gives to its
    feature maps (`layer1`, `blocks_0`), if the network can output them. `head` is its last layer.

    Args:
        name: timm's, `resnet18` or `resnet18.a1_in1k`.
    """

    def __init__(self, name: str, num_classes: int) -> None:
        import timm

        nn.Module.__init__(self)
        self._name, self.known = name, None
        # Any, as timm's networks share no base class with what they have in common.
        model: Any = timm.create_model(name, in_chans=1, num_classes=num_classes)
        self.model: Any = model
        config = model.pretrained_cfg
        last = config.get("classifier") or ()
        self.head_keys = tuple(f"model.{layer}." for layer in ((last,) if isinstance(last, str) else last))
        self.input_size = int(config["input_size"][-1])
        maps = model.feature_info if hasattr(model, "forward_intermediates") else ()
        self.stages = nn.ModuleDict({entry["module"].replace(".", "_"): nn.Identity() for entry in maps})

    @property
    def head(self) -> nn.Module:  # type: ignore[override]
        layer: nn.Module = self.model.get_classifier()
        return layer

    def forward(self, images: Tensor) -> Tensor:
        """float32 [N, 1, S, S] -> logits float32 [N, num_classes]."""
        logits: Tensor = self.model(images)
        return logits

    def forward_features(self, images: Tensor) -> tuple[Tensor, ...]:
        """float32 [N, 1, S, S] -> (logits, then each feature map [N, C, h, w] that timm lists)."""
        if not self.stages:
            return (self.model(images),)
        features, maps = self.model.forward_intermediates(images)
        return self.model.forward_head(features), *maps

    def map_key(self, name: str) -> str:
        return name if name.startswith("model.") else f"model.{name}"

    def imagenet_weights(self) -> Mapping[str, Tensor]:
        """The weights that timm publishes under this name; mostly ImageNet's."""
        import timm

        try:
            # With colour's three channels, for our own rule on how they become one.
            network: nn.Module = timm.create_model(self._name, pretrained=True, in_chans=3)
        except Exception as error:
            remedy = "give a file (--weights FILE), or leave the weights out"
            raise TrainingError(
                f"timm's weights cannot be had ({first_line(error)})", remedy=remedy
            ) from error
        return network.state_dict()
