from __future__ import annotations

import shutil
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from kalamos.alphabets import DIGITS, LATIN_47, Alphabet
from kalamos.datasets import Dataset, SkippedFile
from kalamos.errors import RecipeError, TrainingError
from kalamos.learn import Callback, Recipe
from kalamos.learn.data import (
    EXTRAS_FILE,
    Batch,
    Examples,
    Shard,
    count_steps,
    epoch_batches,
    forget_extras,
    join_characters,
    seed_of,
    with_extras,
)
from kalamos.learn.recipe import AUGMENTATIONS, Augmentation
from kalamos.preprocessing import Preprocessor, default_steps
from kalamos.preprocessing.grouping import count_characters

PLAIN = Recipe(epochs=3, batch_size=16)
DEFORMED = replace(PLAIN, augmentation=AUGMENTATIONS["seed-arabic"])


@pytest.fixture(autouse=True)
def no_named_datasets(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Outliers are of the sets that need no files: opening the real ones takes seconds each time."""
    monkeypatch.setenv("KALAMOS_DATA", str(tmp_path_factory.mktemp("none")))


@pytest.fixture(scope="module")
def numbered() -> Examples:
    """50 images, each of one grey value of its own."""
    values = torch.arange(50, dtype=torch.uint8)
    return Examples(values.view(50, 1, 1).expand(50, 8, 8).contiguous(), torch.arange(50) % 10, 10)


def assert_equal(ours: list[Batch], theirs: list[Batch]) -> None:
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.targets, other.targets)
        assert one.whole == other.whole


def values(batches: list[Batch]) -> list[int]:
    return [round(float(image.mean()) * 255) for batch in batches for image in batch.images]


def test_normalised_is_what_the_preprocessor_gives(digits: Dataset) -> None:
    preprocessor = Preprocessor(default_steps(28))
    images = digits.train.stack()[:20]
    data = Examples.of(images, digits.train.labels[:20], 10, preprocessor)
    expected = preprocessor.batch(list(images))
    assert data.normalised(slice(None)).dtype == torch.float32
    np.testing.assert_array_equal(data.normalised(torch.arange(20)).numpy(), expected)


def test_a_class_that_never_comes_counts_as_one_image() -> None:
    data = Examples(torch.zeros(8, 4, 4, dtype=torch.uint8), torch.tensor([0, 0, 0, 0, 0, 1, 1, 1]), 3)
    assert data.log_priors().tolist() == pytest.approx(np.log([5 / 8, 3 / 8, 1 / 8]).tolist())


def test_an_epoch_is_every_image_once_in_an_order_of_its_own(numbered: Examples) -> None:
    orders = [values(list(epoch_batches(numbered, PLAIN, epoch))) for epoch in range(3)]
    for order in orders:
        assert sorted(order) == list(range(50))
    assert orders[0] != orders[1] != orders[2] != sorted(orders[2])
    other = list(epoch_batches(numbered, replace(PLAIN, seed=43), 0))
    assert values(other) != orders[0]


def test_labels_stay_with_their_images(numbered: Examples) -> None:
    for batch in epoch_batches(numbered, PLAIN, 0):
        assert [value % 10 for value in values([batch])] == batch.targets.tolist()


@pytest.mark.parametrize("recipe", [PLAIN, DEFORMED], ids=["plain", "deformed"])
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_workers_change_nothing(examples: Examples, recipe: Recipe, workers: int) -> None:
    assert_equal(
        list(epoch_batches(examples, recipe, 1, workers=workers)), list(epoch_batches(examples, recipe, 1))
    )


def test_epochs_steps_and_seeds_deform_differently(examples: Examples) -> None:
    same = Examples(examples.images[:1].expand(32, 28, 28).contiguous(), examples.labels[:1].expand(32), 10)
    drawn = [
        batch.images
        for recipe in (DEFORMED, replace(DEFORMED, seed=43))
        for epoch in (0, 1)
        for batch in epoch_batches(same, recipe, epoch)
    ]
    assert len({images.numpy().tobytes() for images in drawn}) == len(drawn) == 8


@pytest.mark.parametrize("recipe", [PLAIN, DEFORMED], ids=["plain", "deformed"])
@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_each_batch_out(examples: Examples, recipe: Recipe, world: int) -> None:
    whole = list(epoch_batches(examples, recipe, 0))
    shares = [list(epoch_batches(examples, recipe, 0, shard=Shard(rank, world))) for rank in range(world)]
    for parts in zip(whole, *shares, strict=True):
        together = parts[0]
        for rank, part in enumerate(parts[1:]):
            assert part.whole == together.whole == len(together.images)
            assert torch.equal(part.images, together.images[rank::world])
            assert torch.equal(part.targets, together.targets[rank::world])


@pytest.mark.parametrize(
    ("count", "size", "world", "expected"),
    [
        (10, 5, 1, [5, 5]),
        (12, 5, 1, [5, 5, 2]),
        (11, 5, 1, [5, 5]),  # a batch of one has no variance
        (1, 5, 1, [1]),  # but something must remain
        (3, 1, 1, [1, 1, 1]),
        (13, 5, 2, [5, 5]),  # nor have two images in two processes
        (14, 5, 2, [5, 5, 4]),
        (2, 64, 2, [2]),
    ],
)
def test_batches_cover_the_data_without_a_last_one_that_is_too_small(
    count: int, size: int, world: int, expected: list[int]
) -> None:
    data = Examples(torch.zeros(count, 8, 8, dtype=torch.uint8), torch.zeros(count, dtype=torch.int64), 10)
    made = epoch_batches(data, replace(PLAIN, batch_size=size), 0, shard=Shard(0, world))
    assert [batch.whole for batch in made] == expected
    assert count_steps(count, size, world) == len(expected)


@pytest.mark.parametrize(
    ("no_aug_epochs", "expected"), [(0, [True] * 3), (1, [True, True, False]), (9, [False] * 3)]
)
def test_the_last_epochs_are_not_deformed(
    numbered: Examples, no_aug_epochs: int, expected: list[bool]
) -> None:
    recipe = replace(DEFORMED, no_aug_epochs=no_aug_epochs)
    for epoch, changed in enumerate(expected):
        batches = list(epoch_batches(numbered, recipe, epoch))
        assert (values(batches) != values(list(epoch_batches(numbered, PLAIN, epoch)))) == changed


def test_the_ground_that_moves_in_is_black_however_it_is_normalised(examples: Examples) -> None:
    recipe = replace(PLAIN, augmentation=Augmentation(translate=0.3))
    mean, std = 0.1307, 0.3081
    other = replace(examples, scale=1 / (255 * std), shift=mean / std)
    for one, two in zip(epoch_batches(examples, recipe, 0), epoch_batches(other, recipe, 0), strict=True):
        assert torch.allclose((one.images - mean) / std, two.images, atol=1e-5)
        assert two.images.min() == pytest.approx(-mean / std, abs=1e-5)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("kalamos_")]


def test_closing_it_early_ends_its_threads(examples: Examples) -> None:
    batches = epoch_batches(examples, DEFORMED, 0, workers=3)
    next(batches)
    assert threads()
    batches.close()
    assert not threads()


def test_seeds_are_in_range_and_each_part_counts() -> None:
    parts = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (42, 3, 7), (42, 7, 3), (2**70, 0, 1)]
    seeds = {seed_of(*part) for part in parts}
    assert len(seeds) == len(parts)
    assert all(0 <= seed < 2**63 for seed in seeds)


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


def test_characters_are_joined_side_by_side(examples: Examples) -> None:
    preprocessor = Preprocessor(RECIPE.preprocessing)
    joined = join_characters(examples.images.numpy(), preprocessor, 30, seed=1)
    again = join_characters(examples.images.numpy(), preprocessor, 30, seed=1)
    assert joined.shape == (30, 28, 28)
    assert (joined == again).all()
    assert np.mean([count_characters(image) > 1 for image in joined]) > 0.6
    assert join_characters(examples.images.numpy(), preprocessor, 0, seed=1).shape == (0, 28, 28)


def test_what_is_held_out_of_the_outliers_is_of_all_kinds(
    examples: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    def white(images: np.ndarray, *_: object) -> np.ndarray:
        return np.full_like(images, 255)

    monkeypatch.setattr("kalamos.learn.synthetic_photos.photographed", white)
    recipe = replace(RECIPE, outliers=100, synthetic_photo_prob=0.3)
    is_photo = with_extras(examples, DIGITS, recipe, None).outliers.float().mean((1, 2)) == 255
    assert int(is_photo.sum()) == 30
    assert 0 < int(is_photo[:20].sum()) < 20


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


def test_cases_that_the_alphabet_merges_are_learnt_as_one(
    examples: Examples, sevens_and_threes: Path
) -> None:
    for old, new in (("7", "c"), ("3", "a")):
        (sevens_and_threes / old).rename(sevens_and_threes / new)
    recipe = replace(RECIPE, extra_datasets=(str(sevens_and_threes),))
    made = with_extras(examples, LATIN_47, recipe, None)
    assert sorted(made.labels[-6:].tolist()) == sorted(3 * [LATIN_47.index("C")] + 3 * [LATIN_47.index("a")])


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
    (tmp_path / EXTRAS_FILE).write_bytes(b"half a file")
    with pytest.raises(TrainingError, match="cannot be read"):
        with_extras(few, DIGITS, recipe, None, tmp_path)
    forget_extras(tmp_path)
    forget_extras(tmp_path)
    assert not list(tmp_path.iterdir())


def test_only_the_main_process_writes(examples: Examples, tmp_path: Path) -> None:
    with_extras(examples, DIGITS, replace(RECIPE, outliers=5), None, tmp_path, main=False)
    assert not list(tmp_path.iterdir())
