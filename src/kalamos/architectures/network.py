"""What every architecture here has in common, and the register of their names."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from kalamos.errors import RecipeError
from kalamos.registry import Registry

__all__ = ["ARCHITECTURES", "StagedNetwork", "build", "conv_bn_relu", "count_parameters"]

ARCHITECTURES = Registry["StagedNetwork"]("architecture", RecipeError)


class StagedNetwork(nn.Module):
    """A chain of named stages, then a head.

    Args:
        stages: name to module, in order; each output [N, C, h, w] is a feature map worth a look.
        head: [N, C, h, w] -> logits [N, num_classes].
    """

    def __init__(self, stages: Mapping[str, nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.stages = nn.ModuleDict(stages)
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        """float32 [N, 1, S, S] -> logits float32 [N, num_classes]."""
        for stage in self.stages.values():
            images = stage(images)
        logits: Tensor = self.head(images)
        return logits

    def forward_features(self, images: Tensor) -> tuple[Tensor, ...]:
        """float32 [N, 1, S, S] -> (logits, then each stage's output [N, C, h, w] in order)."""
        maps = []
        for stage in self.stages.values():
            images = stage(images)
            maps.append(images)
        return self.head(images), *maps


def build(name: str, num_classes: int) -> StagedNetwork:
    """A freshly initialised network.

    Raises:
        RecipeError: no architecture has this name.
    """
    return ARCHITECTURES.get(name)(num_classes)


def count_parameters(network: nn.Module) -> int:
    """Trainable parameters (batch-norm statistics are not parameters)."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def conv_bn_relu(inputs: int, outputs: int, kernel: int, padding: int = 0) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=padding, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
