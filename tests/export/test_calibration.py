from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kalamos.datasets import Dataset
from kalamos.errors import DatasetError, ExportError, RecipeError
from kalamos.export.base import Source
from kalamos.export.calibration import calibration_data
from kalamos.preprocessing import Preprocessor
from kalamos.training import Run
from kalamos.training.splitting import SplitPlan, plan_split


def rows_of(images: Iterable[np.ndarray]) -> set[bytes]:
    return {image.tobytes() for image in images}


def test_the_images_are_those_of_the_training(
    source: Source, tiny_run: Run, digits: Dataset, digits_folder: Path
) -> None:
    data = calibration_data(source.spec, digits_folder, count=100)
    plan = plan_split(digits, tiny_run.recipe)
    prepare = Preprocessor(source.spec.preprocessing)
    learnt, held_out = (prepare.images([*digits.train.take(rows).images]) for rows in (plan.train, plan.val))
    assert rows_of(data.calibration.stack()) <= rows_of(learnt)
    np.testing.assert_array_equal(data.validation.stack(), held_out)
    np.testing.assert_array_equal(data.validation.labels, digits.train.labels[plan.val])
    assert len(data.validation) == tiny_run.val_count
    assert not rows_of(data.calibration.stack()) & rows_of(data.validation.stack())
    np.testing.assert_array_equal(np.bincount(data.calibration.labels), 10)


def test_where_there_are_few_all_are_taken(source: Source, tiny_run: Run, digits_folder: Path) -> None:
    assert len(calibration_data(source.spec, digits_folder).calibration) == tiny_run.train_count


def test_the_split_that_a_run_kept_goes_first(source: Source, tiny_run: Run, digits_folder: Path) -> None:
    count = tiny_run.train_count
    kept = SplitPlan(np.arange(count), np.arange(count, count + 20), np.zeros(0, np.int64))
    data = calibration_data(source.spec, digits_folder, split=kept)
    assert (len(data.calibration), len(data.validation)) == (count, 20)


def refused(source: Source, folder: Path, **changes: object) -> str:
    training = replace(source.spec.training, **changes)
    with pytest.raises(ExportError) as caught:
        calibration_data(replace(source.spec, training=training), folder)
    return str(caught.value)


def test_other_images_are_refused(source: Source, digits_folder: Path) -> None:
    told = refused(source, digits_folder, sha256="0" * 64)
    assert told.startswith("the dataset 'mnist' is not the one that 'tiny' was trained on")
    assert "--data-dir" in told


def test_another_split_is_refused(source: Source, digits_folder: Path) -> None:
    assert "the split of 'mnist' cannot be made again" in refused(source, digits_folder, n=17)


def test_what_a_recipe_learnt_from_besides_is_not_asked_for(source: Source, digits_folder: Path) -> None:
    training = source.spec.training
    besides = replace(training, n=training.n + 7, recipe={**training.recipe, "also": ["no/such/folder"]})
    data = calibration_data(replace(source.spec, training=besides), digits_folder)
    assert len(data.calibration) == training.n
    told = refused(source, digits_folder, n=training.n - 1, recipe=besides.recipe)
    assert "cannot be made again" in told


def test_a_model_that_does_not_know_its_data_is_refused(source: Source, digits_folder: Path) -> None:
    with pytest.raises(ExportError, match="does not say what it was trained on"):
        calibration_data(replace(source.spec, training=None), digits_folder)


def test_a_recipe_of_another_time_is_told(source: Source, digits_folder: Path) -> None:
    training = replace(source.spec.training, recipe={"epoch": 3})
    with pytest.raises(RecipeError, match="did you mean 'epochs'"):
        calibration_data(replace(source.spec, training=training), digits_folder)


def test_absent_data_is_told(source: Source, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="mnist: there is no"):
        calibration_data(source.spec, tmp_path)
