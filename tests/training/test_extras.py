from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from kalamos.alphabets import DIGITS, Alphabet
from kalamos.datasets import SkippedFile
from kalamos.errors import RecipeError, TrainingError
from kalamos.preprocessing import default_steps
from kalamos.training import Callback, Recipe
from kalamos.training.batches import Examples, epoch_batches
from kalamos.training.extras import EXTRAS, forget_extras, with_extras

STEPS = default_steps(28)
RECIPE = Recipe(preprocessing=STEPS, batch_size=16)


def test_nothing_asked_for_is_nothing_made(examples: Examples) -> None:
    assert with_extras(examples, DIGITS, RECIPE, None) is examples


def test_photographs_are_others_in_every_copy_and_the_same_for_a_seed(examples: Examples) -> None:
    few = replace(examples, images=examples.images[:12], labels=examples.labels[:12])
    recipe = replace(RECIPE, synthetic_photo_prob=0.5, photograph_copies=2)
    made, again = (with_extras(few, DIGITS, recipe, None).photographs for _ in range(2))
    assert made.shape == (2, 12, 28, 28)
    assert torch.equal(made, again)
    assert not torch.equal(made[0], made[1])
    assert not torch.equal(made, with_extras(few, DIGITS, replace(recipe, seed=7), None).photographs)


def test_a_share_of_the_images_is_seen_as_photographed(examples: Examples) -> None:
    marked = replace(examples, photographs=torch.full((3, *examples.images.shape), 7, dtype=torch.uint8))
    recipe = replace(RECIPE, epochs=2, synthetic_photo_prob=0.3, no_aug_epochs=1)
    seen = torch.cat([batch.images for batch in epoch_batches(marked, recipe, 0)])
    share = (seen.amax((1, 2, 3)) < 0.05).float().mean()
    assert 0.15 < share < 0.45
    clean = torch.cat([batch.images for batch in epoch_batches(marked, recipe, 1)])
    assert (clean.amax((1, 2, 3)) > 0.05).all()


def test_every_image_keeps_its_own_photographs(examples: Examples) -> None:
    examples = replace(examples, images=examples.images[:200], labels=examples.labels[:200])
    numbered = torch.arange(len(examples)).view(1, -1, 1, 1).expand(2, -1, 28, 28).to(torch.uint8)
    labelled = replace(examples, photographs=numbered.contiguous(), labels=torch.arange(len(examples)))
    for batch in epoch_batches(labelled, replace(RECIPE, synthetic_photo_prob=1.0), 0):
        assert (batch.images.amax((1, 2, 3)) * 255).round().long().tolist() == batch.targets.tolist()


def test_outliers_join_each_batch_in_their_share(examples: Examples) -> None:
    marked = replace(examples, outliers=torch.full((9, 28, 28), 7, dtype=torch.uint8))
    for batch in epoch_batches(marked, replace(RECIPE, outliers=9, outlier_share=0.25), 0):
        assert batch.whole_outliers == round(0.25 * batch.whole)
        assert len(batch.images) == len(batch.targets) + batch.whole_outliers
        assert (batch.images[len(batch.targets) :].amax((1, 2, 3)) < 0.05).all()


def test_outliers_are_made_for_the_alphabet(examples: Examples) -> None:
    recipe = replace(RECIPE, outliers=40)
    made, again = (with_extras(examples, DIGITS, recipe, None).outliers for _ in range(2))
    assert made.shape == (40, 28, 28)
    assert made.dtype == torch.uint8
    assert torch.equal(made, again)
    assert (made.amax((1, 2)) > 0).all()


class Notes(Callback):
    def __init__(self) -> None:
        self.passed_over: dict[str, list[str]] = {}

    def on_skipped_files(self, dataset: str, problems: Sequence[SkippedFile]) -> None:
        self.passed_over[dataset] = [problem.where for problem in problems]


@pytest.fixture
def sevens_and_threes(tmp_path: Path) -> Path:
    """Six more images, whose own alphabet counts 3 as its class 0 and 7 as its class 1."""
    for label, shade in (("3", 60), ("7", 120)):
        folder = tmp_path / "more" / label
        folder.mkdir(parents=True)
        for number in range(3):
            image = np.zeros((28, 28), np.uint8)
            image[4:24, 12 + number : 15 + number] = shade
            assert cv2.imwrite(str(folder / f"{number}.png"), image)
    return tmp_path / "more"


def test_further_datasets_are_learnt_from_under_the_alphabets_labels(
    examples: Examples, sevens_and_threes: Path
) -> None:
    recipe = replace(RECIPE, extra_datasets=(str(sevens_and_threes),), synthetic_photo_prob=0.5)
    (sevens_and_threes / "7" / "torn.png").write_text("no image")
    cv2.imwrite(str(sevens_and_threes / "3" / "blank.png"), np.zeros((28, 28), np.uint8))
    notes = Notes()
    made = with_extras(examples, DIGITS, recipe, None, callback=notes)
    assert notes.passed_over == {"more": ["7/torn.png", "3/blank.png"]}
    assert len(made) == len(examples) + 6
    assert sorted(made.labels[-6:].tolist()) == [3, 3, 3, 7, 7, 7]
    assert torch.equal(made.images[: len(examples)], examples.images)
    assert made.photographs.shape[1] == len(made)


def test_further_datasets_stay_what_they_were_when_the_run_began(
    examples: Examples, sevens_and_threes: Path, tmp_path: Path
) -> None:
    recipe = replace(RECIPE, extra_datasets=(str(sevens_and_threes),))
    run = tmp_path / "run"
    run.mkdir()
    made = with_extras(examples, DIGITS, recipe, None, run)
    shutil.rmtree(sevens_and_threes)
    found = with_extras(examples, DIGITS, recipe, None, run)
    assert torch.equal(made.images, found.images)
    assert torch.equal(made.labels, found.labels)
    with pytest.raises(TrainingError, match="of another run"):
        with_extras(examples, DIGITS, replace(RECIPE, outliers=5), None, run)


def test_a_further_dataset_with_other_labels_is_refused(examples: Examples, sevens_and_threes: Path) -> None:
    alphabet = Alphabet("no-seven", tuple("0123456"))
    with pytest.raises(RecipeError, match="labels that no-seven lacks: 7"):
        with_extras(examples, alphabet, replace(RECIPE, extra_datasets=(str(sevens_and_threes),)), None)


def test_what_was_drawn_is_kept_while_the_run_goes_on(examples: Examples, tmp_path: Path) -> None:
    few = replace(examples, images=examples.images[:9], labels=examples.labels[:9])
    recipe = replace(RECIPE, synthetic_photo_prob=0.5, outliers=10)
    made = with_extras(few, DIGITS, recipe, None, tmp_path)
    other = replace(recipe, seed=99)  # had it been drawn anew, it would differ
    found = with_extras(few, DIGITS, other, None, tmp_path)
    assert torch.equal(made.photographs, found.photographs)
    assert torch.equal(made.outliers, found.outliers)
    with pytest.raises(TrainingError, match="of another run"):
        with_extras(replace(few, images=few.images[:5]), DIGITS, recipe, None, tmp_path)
    (tmp_path / EXTRAS).write_bytes(b"half a file")
    with pytest.raises(TrainingError, match="cannot be read"):
        with_extras(few, DIGITS, recipe, None, tmp_path)
    forget_extras(tmp_path)
    forget_extras(tmp_path)
    assert not list(tmp_path.iterdir())


def test_only_the_main_process_writes(examples: Examples, tmp_path: Path) -> None:
    with_extras(examples, DIGITS, replace(RECIPE, outliers=5), None, tmp_path, main=False)
    assert not list(tmp_path.iterdir())
