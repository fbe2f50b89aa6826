"""`timm:NAME`: any image classifier of timm (https://github.com/huggingface/pytorch-image-models)."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn

from kalamos.errors import MissingExtraError, RecipeError, TrainingError
from kalamos.learn.models.base import StagedNetwork

__all__ = ["TIMM_PREFIX", "TimmNetwork", "timm_builder"]

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
    # Also keeps out `hf-hub:` and `local-dir:`, under which timm loads what it is told to.
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=1)
        remedy = f"did you mean 'timm:{near[0]}'?" if near else "timm.list_models() knows them all"
        raise RecipeError(f"timm has no network {name!r}", remedy=remedy)
    return partial(TimmNetwork, name)


class TimmNetwork(StagedNetwork):
    """timm's network as it is, for one channel; its tensors are named `model.` and what timm calls them.

    It runs whole, not stage by stage, so `stages` hold names alone: those that timm gives to its
    feature maps (`layer1`, `blocks_0`), where the network can tell them. `head` is its last layer.

    Args:
        name: timm's, `resnet18` or `resnet18.a1_in1k`.
    """

    def __init__(self, name: str, num_classes: int) -> None:
        import timm

        nn.Module.__init__(self)
        self._name = name
        # Any, for what timm's networks have in common stands in no base class.
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
        """float32 [N, 1, S, S] -> (logits, then each feature map [N, C, h, w] that timm tells of)."""
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
                f"timm's weights cannot be had ({_first_line(error)})", remedy=remedy
            ) from error
        return network.state_dict()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
