from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from kalamos.datasets import Dataset
from kalamos.preprocessing import Preprocessor, default_steps
from kalamos.training import Recipe
from kalamos.training.batches import Batch, Examples, Shard, count_steps, epoch_batches, seed_of
from kalamos.training.policy import AUGMENTATIONS, Augmentation

PLAIN = Recipe(epochs=3, batch_size=16)
DEFORMED = replace(PLAIN, augmentation=AUGMENTATIONS["seed-arabic"])


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
