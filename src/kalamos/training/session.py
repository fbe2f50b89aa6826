"""One training session: dataset -> split -> preprocessing -> loop -> calibration -> `Run`."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from kalamos.datasets import Split, load_dataset, stratified_split
from kalamos.datasets.prepare import prepare_split
from kalamos.errors import TrainingError
from kalamos.evaluation.calibration import fit_temperature
from kalamos.preprocessing import Preprocessor
from kalamos.training.loop import EpochReport, infer, train
from kalamos.training.recipe import Recipe
from kalamos.training.run import Run, environment, now

__all__ = ["choose_device", "run_recipe"]


def choose_device(asked: str) -> str:
    """`auto`, `cpu` or `cuda` -> `cpu` or `cuda`.

    Raises:
        TrainingError: CUDA was asked for and is not there.
    """
    available = torch.cuda.is_available()
    if asked == "cuda" and not available:
        raise TrainingError("PyTorch sees no CUDA device", remedy="use --device cpu")
    if asked == "auto":
        return "cuda" if available else "cpu"
    return asked


def run_recipe(
    recipe: Recipe,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    device: str = "auto",
    on_epoch: Callable[[EpochReport], None] = lambda report: None,
) -> Run:
    """Train what the recipe says. The official test split is not touched.

    Raises:
        DatasetError, RecipeError, TrainingError: see there.
    """
    dataset = load_dataset(recipe.dataset, data_dir)
    preprocessor = Preprocessor(recipe.preprocessing)
    data, _ = prepare_split(dataset.train, preprocessor)
    for_training, for_validation = stratified_split(data.labels, recipe.val_fraction, recipe.seed)
    validation = _tensors(data.take(for_validation), preprocessor)
    reports: list[EpochReport] = []

    def report(epoch: EpochReport) -> None:
        reports.append(epoch)
        on_epoch(epoch)

    network = train(
        recipe,
        len(dataset.alphabet),
        _tensors(data.take(for_training), preprocessor),
        validation,
        device=choose_device(device),
        on_epoch=report,
    )
    logits = infer(network, validation[0])
    return Run(
        recipe=recipe,
        alphabet=dataset.alphabet,
        network=network,
        temperature=fit_temperature(logits, validation[1]),
        data_sha256=dataset.train.sha256,
        train_count=len(for_training),
        val_count=len(for_validation),
        val_accuracy=float((logits.argmax(1) == validation[1]).mean()),
        epochs=tuple(reports),
        created=now(),
        environment=environment(),
    )


def _tensors(split: Split, preprocessor: Preprocessor) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    return preprocessor.batch(split.images), split.labels
