"""Train on a user's own images where nothing else is said: from the base model, for as long as it pays.

The base model brings together what people write for one character, so a network that begins there needs few
images and few steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional as F

from kalamos.datasets import Dataset, grouped_split
from kalamos.errors import DatasetError
from kalamos.learn.data import Examples, count_steps
from kalamos.learn.loop import infer_examples
from kalamos.learn.models import StagedNetwork
from kalamos.learn.models.embedding import EmbeddingHead
from kalamos.learn.recipe import Recipe
from kalamos.learn.run import hands
from kalamos.model_file import read_spec
from kalamos.zoo import model_path

__all__ = ["NO_WEIGHTS", "imprint_classes", "own_recipe", "settle"]

NO_WEIGHTS: Final = "none"
"""As `weights`: begin from nothing, as kalamos did before there was a base model."""

BASE: Final = "glyphs"

MIN_STEPS: Final = 150
"""Optimiser steps for few images: what they gain from more, they lose on other hands."""

MIN_EPOCHS: Final = 4
MAX_EPOCHS: Final = 25
"""Passes over many images, and over very few."""

MIN_HANDS: Final = 3
"""With fewer, one held out says too little of others."""

SETTINGS: Final[Mapping[str, Any]] = {
    "arch": "kalamos_glyphs",
    "weights": BASE,
    "augmentation": "pens",
    "lr": 3e-4,
    "split": "auto",
    "budget": "data",
    # Among few images held out the best epoch is one of chance, and often the first: the last one reads other
    # hands better (`benchmarks/alphabets.py --train`).
    "checkpoint": "last",
}
"""What an own dataset is trained with where nothing else is said."""


def own_recipe(recipe: Recipe, *overrides: Mapping[str, Any]) -> Recipe:
    """Return the recipe for images of one's own; the same one where the overrides choose the network."""
    given = {key: value for each in overrides for key, value in each.items()}
    if "arch" in given or "weights" in given:
        return recipe
    steps = [dict(step) for step in read_spec(model_path(BASE)).preprocessing]
    chosen = recipe.with_overrides({**SETTINGS, "preprocessing": steps})
    return replace(chosen, budget="epochs") if "epochs" in given else chosen


def settle(recipe: Recipe, dataset: Dataset) -> Recipe:
    """Settle how the images are split, and for how many epochs they are trained on."""
    if recipe.split == "auto":
        recipe = replace(recipe, split="grouped" if _can_hold_hands_out(recipe, dataset) else "stratified")
    if recipe.budget == "data":
        count = max(1, round(len(dataset.train) * (1 - recipe.val_fraction - recipe.test_fraction)))
        needed = math.ceil(MIN_STEPS / count_steps(count, recipe.batch_size))
        recipe = replace(recipe, budget="epochs", epochs=min(max(needed, MIN_EPOCHS), MAX_EPOCHS))
    return recipe


def _can_hold_hands_out(recipe: Recipe, dataset: Dataset) -> bool:
    labels = dataset.train.labels
    groups = hands(dataset) if dataset.train.groups is None else dataset.train.groups
    if groups is None or len(set(groups.tolist())) < MIN_HANDS or dataset.val_rows is not None:
        return False
    try:
        grouped_split(labels, groups, recipe.val_fraction or 0.1, recipe.seed)
    except DatasetError:
        return False
    return True


@torch.no_grad()
def imprint_classes(network: StagedNetwork, data: Examples) -> None:
    """Begin each class of a fresh head where its images' embeddings are (Qi, Brown and Lowe 2018).

    A network that makes no embeddings of fixed length stays as it is.
    """
    if not isinstance(network.head, EmbeddingHead):
        return
    layer, seen = network.head.classifier, list[Tensor]()
    hook = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    infer_examples(network, data)
    hook.remove()
    embeddings = torch.cat(seen)
    sums = torch.zeros_like(layer.weight).index_add_(0, data.labels, embeddings)
    inked = sums.norm(dim=1) > 0
    layer.weight[inked] = F.normalize(sums[inked])
    assert layer.bias is not None  # noqa: S101  (the head is built with one)
    layer.bias.zero_()
