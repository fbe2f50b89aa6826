"""The images that int8 is made and judged with: those of the model's own training, split as it was."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kalamos.datasets import Split, load_dataset, stratified_split
from kalamos.datasets.prepare import prepare_split
from kalamos.errors import ExportError
from kalamos.model_file import ModelSpec
from kalamos.preprocessing import Preprocessor
from kalamos.training import Recipe
from kalamos.training.splitting import SplitPlan, plan_split

__all__ = ["CalibrationData", "calibration_data"]

COUNT = 320
"""Images that activation ranges are found on: more changed no answer on MNIST."""


@dataclass(frozen=True)
class CalibrationData:
    """Prepared images, uint8 [N, S, S].

    Attributes:
        calibration: of the training part, every class with its share.
        validation: of the held-out part, which neither the weights nor the ranges have seen.
    """

    calibration: Split
    validation: Split


def calibration_data(
    spec: ModelSpec,
    data_dir: str | os.PathLike[str] | None = None,
    *,
    split: SplitPlan | None = None,
    count: int = COUNT,
) -> CalibrationData:
    """Load what `spec` was trained on and split it as its training did. The test split is not touched.

    Args:
        data_dir: the folder that holds the datasets; see `kalamos.datasets`.
        split: the one that the run kept; None makes it again from the recipe in the spec.
        count: about how many images to calibrate with.

    Raises:
        ExportError: the spec tells of no training, or the data is not the one that it tells of.
        DatasetError: the dataset is absent or damaged.
        RecipeError: the spec's recipe is not one of this kalamos.
    """
    training = spec.training
    if training is None:
        raise ExportError(
            f"the model {spec.name!r} does not say what it was trained on",
            remedy="int8 needs those images; export from the run folder",
        )
    recipe = Recipe.from_mapping(training.recipe)
    dataset = load_dataset(recipe.dataset, data_dir)
    if dataset.train.sha256 != training.sha256:
        raise ExportError(
            f"the dataset {recipe.dataset!r} is not the one that {spec.name!r} was trained on: "
            "its images or labels differ",
            remedy="point --data-dir to the folder that it was trained from",
        )
    rows = split or plan_split(dataset, recipe)
    preprocessor = Preprocessor(spec.preprocessing)
    learnt, _ = prepare_split(dataset.train.take(rows.train), preprocessor)
    # What a recipe learns from besides is counted too, and may not be here.
    if len(learnt) != training.n and not (recipe.extra_datasets and len(learnt) < training.n):
        raise ExportError(
            f"the split of {recipe.dataset!r} cannot be made again: {len(learnt):,} images to learn from, "
            f"where the training had {training.n:,}",
            remedy="export from the run folder, which kept its split",
        )
    held_out, _ = prepare_split(dataset.train.take(rows.val), preprocessor)
    return CalibrationData(learnt.take(_some(learnt.labels, count)), held_out)


def _some(labels: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Rows of about `count` images, every class with its share."""
    if len(labels) <= count:
        return np.arange(len(labels))
    _, chosen = stratified_split(labels, count / len(labels), seed=0)
    return chosen
