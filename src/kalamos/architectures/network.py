"""The base class of all networks, and the registry of their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kalamos.errors import RecipeError
from kalamos.registry import Registry

__all__ = ["ARCHITECTURES", "StagedNetwork", "check_input_size", "count_parameters"]


class StagedNetwork(nn.Module):
    """A chain of named stages, then a head.

    Args:
        stages: name to module, in order; each output [N, C, h, w] is exported as a feature map.
        head: outputs [N, C, h, w] of the stages in `head_inputs` -> logits [N, num_classes].
        head_inputs: names of the stages that the head reads, in order; None: the last one alone.
        input_size: side, in pixels, of the images that it was made for.
        head_keys: prefixes of the state dict's keys that depend on the classes: weights from elsewhere
            never replace those.
    """

    def __init__(
        self,
        stages: Mapping[str, nn.Module],
        head: nn.Module,
        *,
        head_inputs: Sequence[str] | None = None,
        input_size: int = 28,
        head_keys: tuple[str, ...] = ("head.",),
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleDict(stages)
        self.head = head
        self.head_inputs = tuple(head_inputs or list(stages)[-1:])
        self.input_size = input_size
        self.head_keys = head_keys

    def forward(self, images: Tensor) -> Tensor:
        """float32 [N, 1, S, S] -> logits float32 [N, num_classes]."""
        return self.forward_features(images)[0]

    def forward_features(self, images: Tensor) -> tuple[Tensor, ...]:
        """float32 [N, 1, S, S] -> (logits, then each stage's output [N, C, h, w] in order)."""
        maps = {}
        for name, stage in self.stages.items():
            images = stage(images)
            maps[name] = images
        return self.head(*[maps[name] for name in self.head_inputs]), *maps.values()

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Pickles of kalamos 0.1 have the two attributes under their names of that time.
        for old, name in (("seen", "head_inputs"), ("fresh", "head_keys")):
            if old in state:
                state[name] = state.pop(old)
        super().__setstate__(state)  # type: ignore[no-untyped-call]

    def map_key(self, name: str) -> str:
        """Translate a state-dict key of the library that the architecture comes from."""
        return name

    def imagenet_weights(self) -> Mapping[str, Tensor]:
        """ImageNet weights under that library's names, downloaded where they are not cached.

        Raises:
            RecipeError: this architecture has none.
            TrainingError: they cannot be had.
        """
        raise RecipeError(
            "this architecture has no ImageNet weights",
            remedy="leave the weights out, or give a file (--weights FILE)",
        )


ARCHITECTURES: Registry[StagedNetwork] = Registry("architecture", RecipeError)
"""The networks that kalamos itself defines."""


def count_parameters(network: nn.Module, *, trainable: bool = True, statistics: bool = False) -> int:
    """How many numbers a network learns.

    Args:
        trainable: False also counts frozen parameters.
        statistics: also count batch norm's moving means and variances, which are no parameters but
            which Keras reports among its "total params"; use it with `trainable=False`.

    >>> from kalamos.architectures import create_model
    >>> network = create_model("lenet_bn", num_classes=47)
    >>> count_parameters(network), count_parameters(network, trainable=False, statistics=True)
    (282663, 284335)
    """
    count = sum(p.numel() for p in network.parameters() if p.requires_grad or not trainable)
    if statistics:
        names = (".running_mean", ".running_var")
        count += sum(b.numel() for name, b in network.named_buffers() if f".{name}".endswith(names))
    return count


def check_input_size(network: StagedNetwork, name: str, size: int) -> None:
    """See whether a network takes images of this side, before a whole training finds out.

    Raises:
        RecipeError: it does not.

    >>> from kalamos.architectures import create_model
    >>> check_input_size(create_model("cnn64", num_classes=10), "cnn64", 28)
    Traceback (most recent call last):
    ...
    kalamos.errors.RecipeError: cnn64 does not take 28x28 images; resize them to 64x64
    """
    training = network.training
    like = next(network.parameters())
    try:
        with torch.inference_mode():
            network.eval()(like.new_zeros(2, 1, size, size))
    except (AssertionError, RuntimeError) as error:
        made_for = f"{network.input_size}x{network.input_size}"
        remedy = f"resize them to {made_for}" if size != network.input_size else ""
        raise RecipeError(f"{name} does not take {size}x{size} images", remedy=remedy) from error
    finally:
        network.train(training)
