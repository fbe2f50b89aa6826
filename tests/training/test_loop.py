from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from kalamos.datasets import Dataset, Split
from kalamos.errors import TrainingError
from kalamos.training import Recipe, loop
from kalamos.training.loop import EpochReport, infer, train
from kalamos.training.recipe import Augmentation

Arrays = tuple[NDArray[np.float32], NDArray[np.int64]]


def as_arrays(split: Split, count: int | None = None) -> Arrays:
    images = split.images[:count, None].astype(np.float32) / 255
    return images, split.labels[:count]


@pytest.fixture(scope="module")
def data(digits: Dataset) -> Arrays:
    return as_arrays(digits.train)


@pytest.fixture(scope="module")
def held(digits: Dataset) -> Arrays:
    return as_arrays(digits.test)


@pytest.fixture(scope="module")
def few(digits: Dataset) -> Arrays:
    return as_arrays(digits.train, 40)


SHORT = Recipe(epochs=1, batch_size=16, lr=0.01)


def weights(network: torch.nn.Module) -> list[bytes]:
    return [value.numpy().tobytes() for value in network.state_dict().values()]


def test_what_can_be_learnt_is_learnt(quick_recipe: Recipe, data: Arrays, held: Arrays) -> None:
    reports: list[EpochReport] = []
    network = train(quick_recipe, 10, data, held, on_epoch=reports.append)
    accuracy = (infer(network, held[0]).argmax(1) == held[1]).mean()
    assert accuracy > 0.95
    assert [report.epoch for report in reports] == [1, 2, 3, 4, 5, 6]
    assert reports[-1].val_accuracy == accuracy  # the network that is reported on is the one returned
    assert reports[-1].loss < reports[0].loss
    assert all(report.images_per_second > 0 for report in reports)


def test_the_network_comes_back_ready_to_use(few: Arrays) -> None:
    network = train(SHORT, 10, few, few)
    assert not network.training
    assert {p.device.type for p in network.parameters()} == {"cpu"}
    assert all(torch.isfinite(value).all() for value in network.state_dict().values())


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_the_same_seed_gives_the_same_weights_bit_for_bit(few: Arrays, ema_decay: float) -> None:
    recipe = replace(SHORT, epochs=2, ema_decay=ema_decay, augmentation=Augmentation(rotate=5))
    one, again = (train(recipe, 10, few, few) for _ in range(2))
    assert weights(one) == weights(again)
    other = train(replace(recipe, seed=43), 10, few, few)
    assert weights(one) != weights(other)


def test_watching_does_not_change_the_training(few: Arrays, held: Arrays) -> None:
    one = train(SHORT, 10, few, held)
    other = train(SHORT, 10, few, (held[0][:3], held[1][:3]), on_epoch=lambda report: torch.rand(1).item())
    assert weights(one) == weights(other)


def test_the_averaged_weights_are_the_ones_kept(few: Arrays) -> None:
    plain = train(SHORT, 10, few, few)
    barely = train(replace(SHORT, ema_decay=1e-9), 10, few, few)  # an average of the last step alone
    slow = train(replace(SHORT, ema_decay=0.9), 10, few, few)
    for a, b in zip(plain.parameters(), barely.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)
    assert weights(slow) != weights(plain)


def test_the_average_is_the_exponential_one(few: Arrays, monkeypatch: pytest.MonkeyPatch) -> None:
    # With one batch an epoch, the plain runs of 1, 2, 3 epochs are the states that the average has seen.
    recipe = replace(SHORT, batch_size=40, schedule="constant", epochs=3, optimizer="sgd", momentum=0)
    states = [train(replace(recipe, epochs=epochs), 10, few, few).state_dict() for epochs in (1, 2, 3)]
    averaged = train(replace(recipe, ema_decay=0.75), 10, few, few).state_dict()
    for name, value in averaged.items():
        if value.is_floating_point():
            expected = 0.75 * (0.75 * states[0][name] + 0.25 * states[1][name]) + 0.25 * states[2][name]
            assert torch.allclose(value, expected, atol=1e-5), name


@pytest.mark.parametrize(
    ("count", "size", "expected"),
    [
        (10, 5, [5, 5]),
        (12, 5, [5, 5, 2]),
        (11, 5, [5, 5]),  # a batch of one has no variance
        (1, 5, [1]),  # but something must remain
        (3, 1, [1, 1, 1]),
    ],
)
def test_batches_cover_the_data_without_a_last_one_of_one(count: int, size: int, expected: list[int]) -> None:
    assert [len(range(count)[rows]) for rows in loop._batches(count, size)] == expected


@pytest.mark.parametrize("count", [33, 17, 1])
def test_a_remainder_of_one_trains(data: Arrays, count: int) -> None:
    few = data[0][:count], data[1][:count]
    reports: list[EpochReport] = []
    train(SHORT, 10, few, few, on_epoch=reports.append)
    assert np.isfinite(reports[0].loss)


@pytest.mark.parametrize("schedule", ["constant", "one-cycle"])
@pytest.mark.parametrize("warmup", [0, 0.2, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("batches", [1, 3, 4])
def test_every_length_of_the_schedule(few: Arrays, schedule: str, warmup: float, batches: int) -> None:
    recipe = replace(SHORT, schedule=schedule, warmup=warmup, batch_size=-(-12 // batches))
    reports: list[EpochReport] = []
    train(recipe, 10, (few[0][:12], few[1][:12]), few, on_epoch=reports.append)
    assert np.isfinite(reports[0].loss)


def rates(recipe: Recipe, steps: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], recipe.lr)
    schedule = loop._schedule(optimizer, recipe, steps)
    used = []
    for _ in range(steps):
        used.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return used


def test_one_cycle_climbs_and_comes_down() -> None:
    used = rates(replace(SHORT, lr=0.1, warmup=0.2), 100)
    peak = int(np.argmax(used))
    assert max(used) == pytest.approx(0.1, rel=1e-3)
    assert peak == pytest.approx(20, abs=1)
    assert (np.diff(used[: peak + 1]) > 0).all()
    assert (np.diff(used[peak:]) < 0).all()
    assert used[-1] < 0.001


def test_constant_is_constant() -> None:
    assert set(rates(replace(SHORT, schedule="constant"), 5)) == {0.01}


@pytest.mark.parametrize(
    ("name", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_the_optimizer_is_the_one_asked_for(name: str, kind: type[torch.optim.Optimizer]) -> None:
    recipe = replace(SHORT, optimizer=name, lr=0.02, weight_decay=0.003, momentum=0.7)
    optimizer = loop._optimizer(torch.nn.Linear(2, 2), recipe)
    [group] = optimizer.param_groups
    assert type(optimizer) is kind
    assert (group["lr"], group["weight_decay"]) == (0.02, 0.003)
    if name == "sgd":
        assert (group["momentum"], group["nesterov"]) == (0.7, True)


def test_sgd_works_without_momentum(few: Arrays) -> None:
    train(replace(SHORT, optimizer="sgd", momentum=0), 10, few, few)


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_loss_that_is_not_a_number_ends_the_training(few: Arrays, epochs: int) -> None:
    wild = replace(SHORT, epochs=epochs, optimizer="sgd", lr=1e30, schedule="constant")
    with pytest.raises(TrainingError, match="in epoch 1") as caught:
        train(wild, 10, few, few)
    assert "lower learning rate (--lr)" in caught.value.remedy


def test_weights_that_the_last_step_ruined_are_not_returned(few: Arrays) -> None:
    # One step: its loss was still finite when it was taken.
    wild = replace(SHORT, batch_size=40, optimizer="sgd", lr=1e38, schedule="constant")
    with pytest.raises(TrainingError):
        train(wild, 10, few, few)


@pytest.mark.parametrize(
    ("clean_epochs", "expected"), [(0, [True] * 3), (1, [True, True, False]), (9, [False] * 3)]
)
def test_the_last_epochs_are_clean(
    few: Arrays, monkeypatch: pytest.MonkeyPatch, clean_epochs: int, expected: list[bool]
) -> None:
    deformed: list[bool] = []

    def watch(images: torch.Tensor, how: Augmentation, *rest: object) -> torch.Tensor:
        deformed.append(how != Augmentation())
        return images

    monkeypatch.setattr(loop, "augment", watch)
    recipe = replace(
        SHORT, epochs=3, batch_size=40, clean_epochs=clean_epochs, augmentation=Augmentation(rotate=5)
    )
    train(recipe, 10, few, few)
    assert deformed == expected


def test_the_ground_is_black_however_it_was_normalised(few: Arrays, monkeypatch: pytest.MonkeyPatch) -> None:
    grounds: list[float] = []
    real: Callable[..., torch.Tensor] = loop.augment

    def watch(*arguments: object) -> torch.Tensor:
        grounds.append(float(arguments[3]))  # type: ignore[arg-type]
        return real(*arguments)

    monkeypatch.setattr(loop, "augment", watch)
    normalised = (few[0] - np.float32(0.1307)) / np.float32(0.3081)
    train(replace(SHORT, batch_size=40), 10, (normalised, few[1]), (normalised, few[1]))
    assert grounds == [pytest.approx(-0.1307 / 0.3081)]


def test_label_smoothing_is_used(few: Arrays) -> None:
    assert weights(train(SHORT, 10, few, few)) != weights(
        train(replace(SHORT, label_smoothing=0.1), 10, few, few)
    )


@pytest.mark.parametrize("count", [1, 499, 500, 501, 1001])
def test_infer_goes_through_every_image_in_batches(count: int) -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3))
    images = np.random.default_rng(0).random((count, 1, 2, 2), np.float32)
    logits = infer(network, images)
    assert logits.shape == (count, 3)
    with torch.no_grad():
        expected = network(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(logits, expected, atol=1e-6)


def test_infer_leaves_the_statistics_alone() -> None:
    network = torch.nn.Sequential(torch.nn.BatchNorm2d(1), torch.nn.Flatten())
    before = weights(network)
    infer(network.train(), np.random.default_rng(0).random((8, 1, 2, 2), np.float32))
    assert weights(network) == before
