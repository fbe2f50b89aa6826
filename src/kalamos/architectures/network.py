"""What every architecture here has in common, and the register of their names."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from kalamos.architectures.weights import load_weights
from kalamos.errors import RecipeError
from kalamos.registry import Registry

__all__ = ["ARCHITECTURES", "StagedNetwork", "build", "check_input_size", "count_parameters"]

TIMM = "timm:"


class StagedNetwork(nn.Module):
    """A chain of named stages, then a head.

    Args:
        stages: name to module, in order; each output [N, C, h, w] is a feature map worth a look.
        head: [N, C, h, w] of each stage that it sees -> logits [N, num_classes].
        seen: the names of those stages, in order; None: the last one alone.
        input_size: side, in pixels, of the images that it was made for.
        fresh: how the names of the tensors begin that weights from elsewhere never replace,
            because they know the classes.
    """

    def __init__(
        self,
        stages: Mapping[str, nn.Module],
        head: nn.Module,
        *,
        seen: Sequence[str] | None = None,
        input_size: int = 28,
        fresh: tuple[str, ...] = ("head.",),
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleDict(stages)
        self.head = head
        self.seen = tuple(seen or list(stages)[-1:])
        self.input_size = input_size
        self.fresh = fresh

    def forward(self, images: Tensor) -> Tensor:
        """float32 [N, 1, S, S] -> logits float32 [N, num_classes]."""
        return self.forward_features(images)[0]

    def forward_features(self, images: Tensor) -> tuple[Tensor, ...]:
        """float32 [N, 1, S, S] -> (logits, then each stage's output [N, C, h, w] in order)."""
        maps = {}
        for name, stage in self.stages.items():
            images = stage(images)
            maps[name] = images
        return self.head(*[maps[name] for name in self.seen]), *maps.values()

    def own_name(self, name: str) -> str:
        """The name here of a tensor that the library the architecture comes from calls `name`."""
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


class _Architectures(Registry[StagedNetwork]):
    """The networks that are registered here, and `timm:NAME` for those of timm, which are too many."""

    def get(self, name: str) -> Callable[..., StagedNetwork]:
        if not name.startswith(TIMM):
            return super().get(name)
        from kalamos.architectures.timm_network import timm_builder

        return timm_builder(name.removeprefix(TIMM))


ARCHITECTURES = _Architectures("architecture", RecipeError)


def build(name: str, num_classes: int, *, weights: str | os.PathLike[str] | None = None) -> StagedNetwork:
    """A network, freshly initialised (by `torch.manual_seed` alone) save for what `weights` brings.

    Args:
        name: a registered name, or `timm:NAME` where timm is installed.
        num_classes: size of the output.
        weights: None; `"imagenet"` for a download; or a file: a state dict of the library that the
            architecture comes from (.pth, .safetensors), or a run folder of the same body. The
            tensors that know the classes (`StagedNetwork.fresh`) stay fresh.

    Raises:
        MissingExtraError: timm is asked for and not installed.
        RecipeError: no architecture has this name, or the weights do not fit it.
        TrainingError: the weights cannot be downloaded or read.

    >>> network = build("cnn2", num_classes=10)
    >>> network(torch.zeros(3, 1, 28, 28)).shape
    torch.Size([3, 10])
    """
    if num_classes < 1:
        raise RecipeError(f"a network tells at least one class, not {num_classes}")
    network = ARCHITECTURES.get(name)(num_classes)
    if weights is not None:
        load_weights(network, name, weights)
    return network


def count_parameters(network: nn.Module, *, trainable: bool = True, statistics: bool = False) -> int:
    """How many numbers a network learns.

    Args:
        trainable: False also counts frozen parameters.
        statistics: also count batch norm's moving means and variances, which are no parameters but
            which Keras reports among its "total params"; use it with `trainable=False`.

    >>> network = build("lenet_bn", num_classes=47)
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

    >>> check_input_size(build("cnn64", num_classes=10), "cnn64", 28)
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
