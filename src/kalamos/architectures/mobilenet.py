"""What the MobileNets of torchvision have in common here."""

from __future__ import annotations

import http.client
import pickle
import re
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from typing import Any

from torch import Tensor, nn

from kalamos.architectures.network import StagedNetwork
from kalamos.errors import TrainingError

__all__ = ["MobileNet"]

SILENCE = 30.0
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
            with _impatient(), redirect_stdout(sys.stderr):  # where it reports its download
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
def _impatient() -> Iterator[None]:
    # torchvision's download has no time limit of its own, and waits for ever where packets are dropped.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
