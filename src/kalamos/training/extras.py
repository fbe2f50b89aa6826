"""What a recipe learns from besides its dataset: more datasets, photographs, images of nothing."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kalamos.alphabets import Alphabet
from kalamos.datasets import load_dataset
from kalamos.datasets.prepare import blank_images, prepare_split
from kalamos.errors import RecipeError, TrainingError
from kalamos.preprocessing import Preprocessor
from kalamos.training.batches import NONE, Examples, seed_of
from kalamos.training.checkpoint import read_weights, write_weights
from kalamos.training.recipe import Recipe
from kalamos.training.reports import Callback

__all__ = ["EXTRAS", "forget_extras", "with_extras"]

EXTRAS = "extras.safetensors"

_DTYPES = {
    "also": torch.uint8,
    "also_labels": torch.int64,
    "photographs": torch.uint8,
    "outliers": torch.uint8,
}
"""What took minutes to draw is kept while a run goes on: taken up again, even by a later kalamos, it learns
from the same images."""


def with_extras(
    data: Examples,
    alphabet: Alphabet,
    recipe: Recipe,
    data_dir: str | os.PathLike[str] | None = None,
    run_dir: Path | None = None,
    *,
    main: bool = True,
    callback: Callback = Callback(),  # noqa: B008  (has no state)
) -> Examples:
    """With the other datasets, the photographs and the outliers that the recipe asks for.

    What is drawn depends on the recipe's seed alone.

    Args:
        data: the prepared training images.
        alphabet: whose characters no outlier may look like.
        data_dir: where the named datasets are.
        run_dir: where they are kept, or found again; None keeps nothing.
        main: whether this is the process that writes.
        callback: is told what of the other datasets is passed over.

    Raises:
        TrainingError: what was kept is damaged, or made for another run.
        DatasetError: another dataset cannot be read.
        RecipeError: another dataset has labels that the alphabet lacks.
    """
    if not (recipe.extra_datasets or recipe.synthetic_photo_prob or recipe.outliers):
        return data
    kept = None if run_dir is None else run_dir / EXTRAS
    if kept is not None and kept.exists():
        tensors = _read(kept, data, recipe)
    else:
        tensors = _draw(data, alphabet, recipe, data_dir, callback)
        if kept is not None and main:
            write_weights(kept, tensors)
    device = data.images.device
    if recipe.extra_datasets:
        data = _joined(data, tensors["also"].to(device), tensors["also_labels"].to(device))
    photographs, outliers = (tensors.get(name, NONE).to(device) for name in ("photographs", "outliers"))
    return replace(data, photographs=photographs, outliers=outliers)


def forget_extras(run_dir: Path) -> None:
    """Remove what a finished run does not need any more."""
    (run_dir / EXTRAS).unlink(missing_ok=True)


def _joined(data: Examples, images: Tensor, labels: Tensor) -> Examples:
    return replace(data, images=torch.cat([data.images, images]), labels=torch.cat([data.labels, labels]))


def _further(
    alphabet: Alphabet,
    recipe: Recipe,
    preprocessor: Preprocessor,
    data_dir: str | os.PathLike[str] | None,
    callback: Callback,
) -> tuple[Tensor, Tensor]:
    """The other datasets' training images, uint8 [A, S, S], and their labels in this alphabet, int64 [A]."""
    images, labels = [], []
    for source in recipe.extra_datasets:
        dataset = load_dataset(source, data_dir)
        unknown = [label for label in dataset.alphabet.labels if label not in alphabet.labels]
        if unknown:
            raise RecipeError(
                f"extra_datasets = {source!r} has labels that {alphabet.name} lacks: {', '.join(unknown[:5])}"
            )
        prepared, blank = prepare_split(dataset.train, preprocessor)
        callback.on_skipped_files(dataset.name, (*dataset.problems, *blank_images(dataset.train, blank)))
        meaning = np.array([alphabet.labels.index(label) for label in dataset.alphabet.labels])
        images.append(prepared.stack())
        labels.append(meaning[prepared.labels])
    return torch.from_numpy(np.concatenate(images)), torch.from_numpy(np.concatenate(labels))


def _read(path: Path, data: Examples, recipe: Recipe) -> dict[str, Tensor]:
    try:
        tensors = read_weights(path)
    except Exception as error:  # whatever safetensors has against what somebody else wrote
        raise TrainingError(
            f"{path}: cannot be read ({error})", remedy="remove it: it is drawn anew"
        ) from error
    wrong = [name for name, tensor in tensors.items() if tensor.dtype != _DTYPES.get(name)]
    shapes = [images.shape[-2:] for name, images in tensors.items() if name != "also_labels"]
    photographs = tensors.get("photographs")
    count = len(data) + len(tensors.get("also", NONE))
    if (
        wrong
        or any(shape != data.images.shape[1:] for shape in shapes)
        or (photographs is not None and photographs.shape[1] != count)
        or ("also" in tensors) != bool(recipe.extra_datasets)
    ):
        raise TrainingError(f"{path}: is of another run", remedy="remove it: it is drawn anew")
    return tensors


def _draw(
    data: Examples,
    alphabet: Alphabet,
    recipe: Recipe,
    data_dir: str | os.PathLike[str] | None,
    callback: Callback,
) -> dict[str, Tensor]:
    preprocessor = Preprocessor(recipe.preprocessing)
    tensors: dict[str, Tensor] = {}
    if recipe.extra_datasets:
        images, labels = _further(alphabet, recipe, preprocessor, data_dir, callback)
        tensors |= {"also": images, "also_labels": labels}
        data = _joined(data, images.to(data.images.device), labels.to(data.labels.device))
    if recipe.synthetic_photo_prob:
        from kalamos.training.camera import Camera, photographed

        glyphs = data.images.cpu().numpy()
        copies = [
            photographed(glyphs, Camera(), preprocessor, seed_of(recipe.seed, copy))
            for copy in range(recipe.photograph_copies)
        ]
        tensors["photographs"] = torch.from_numpy(np.stack(copies))
    if recipe.outliers:
        from kalamos.outliers import exposure

        drawn = exposure(alphabet, preprocessor, recipe.outliers, recipe.seed, data_dir)
        tensors["outliers"] = torch.from_numpy(drawn)
    return tensors
