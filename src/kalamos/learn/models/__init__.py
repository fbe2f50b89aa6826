"""Networks by name.

Every network takes float32 [N, 1, S, S] and returns logits float32 [N, num_classes]; its stages,
in order, are what feature maps are exported from.

>>> from kalamos.learn.models import ARCHITECTURES, count_parameters, create_model
>>> network = create_model("kalamos_xs", num_classes=10)
>>> count_parameters(network)
86218
>>> ARCHITECTURES.names()[:4]
('cnn2', 'cnn3', 'cnn64', 'kalamos_glyphs')
"""

from __future__ import annotations

import os
from collections.abc import Callable

from kalamos.errors import RecipeError
from kalamos.learn.models import classic, embedding  # noqa: F401  (their networks register themselves)
from kalamos.learn.models.base import (
    ARCHITECTURES,
    StagedNetwork,
    check_input_size,
    count_parameters,
    load_weights,
)
from kalamos.learn.models.pretrained import TIMM_PREFIX, timm_builder

__all__ = [
    "ARCHITECTURES",
    "StagedNetwork",
    "check_input_size",
    "count_parameters",
    "create_model",
    "find_architecture",
]


def find_architecture(name: str) -> Callable[[int], StagedNetwork]:
    """Look up what makes a network for a number of classes.

    Args:
        name: one of `ARCHITECTURES.names()`, or `timm:NAME` for any classifier of timm.

    Raises:
        MissingExtraError: a network of timm, which is not installed.
        RecipeError: no architecture has this name.
    """
    if name.startswith(TIMM_PREFIX):
        return timm_builder(name.removeprefix(TIMM_PREFIX))
    return ARCHITECTURES.get(name)


def create_model(
    name: str, num_classes: int, *, weights: str | os.PathLike[str] | None = None, known: bool = False
) -> StagedNetwork:
    """Create a network, freshly initialised (by `torch.manual_seed` alone) except for what `weights` brings.

    Args:
        name: see `find_architecture`.
        num_classes: size of the output.
        weights: None; `"imagenet"` for a download; or a file: a state dict of the library that the
            architecture comes from (.pth, .safetensors), or a run folder of the same body. The
            tensors that depend on the classes (`StagedNetwork.head_keys`) stay fresh.
        known: whether it has a head that says whether an image is one of the classes at all, fresh too.

    Raises:
        MissingExtraError: a network of timm, which is not installed.
        RecipeError: no architecture has this name, or the weights do not fit it.
        TrainingError: the weights cannot be downloaded or read.

    >>> import torch
    >>> network = create_model("cnn2", num_classes=10)
    >>> network(torch.zeros(3, 1, 28, 28)).shape
    torch.Size([3, 10])
    """
    if num_classes < 1:
        raise RecipeError(f"a network needs at least one class, not {num_classes}")
    network = find_architecture(name)(num_classes)
    if weights is not None:
        load_weights(network, name, weights)
    if known:
        network.add_known_head()
    return network
