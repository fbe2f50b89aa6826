from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn
from torch.optim import SGD

from kalamos.errors import TrainingError
from kalamos.learn import Callback, Recipe, checkpoint
from kalamos.learn.callbacks import EpochReport, StepReport
from kalamos.learn.checkpoint import (
    BEST_FILE,
    LAST_FILE,
    Checkpoints,
    TrainingState,
    make_optimizer,
    make_schedule,
    read_weights,
    write_weights,
)
from kalamos.learn.data import Examples
from kalamos.learn.distributed import Engine
from kalamos.learn.loop import train_network
from kalamos.learn.models import StagedNetwork
from kalamos.learn.recipe import AUGMENTATIONS

Make = Callable[..., StagedNetwork]

EVERYTHING = Recipe(
    epochs=5,
    batch_size=16,
    lr=0.02,
    ema_decay=0.9,
    augmentation=AUGMENTATIONS["seed-arabic"],
    checkpoint="best",
)


class Interrupted(Exception):  # noqa: N818
    pass


class Interrupt(Callback):
    """At the end of this epoch, or in the middle of it."""

    def __init__(self, epoch: int, *, within: bool) -> None:
        self.epoch, self.within = epoch, within

    def on_step(self, report: StepReport) -> None:
        if self.within and report.epoch == self.epoch:
            raise Interrupted

    def on_epoch(self, report: EpochReport) -> None:
        if report.epoch == self.epoch:
            raise Interrupted


def trained(
    recipe: Recipe, network: StagedNetwork, few: Examples, folder: Path | None = None, **more: Any
) -> TrainingState:
    checkpoints = None if folder is None else Checkpoints(folder)
    return train_network(recipe, network, few, few, checkpoints=checkpoints, **more)


def assert_same(one: TrainingState, other: TrainingState) -> None:
    for ours, theirs in ((one.to_tensors(), other.to_tensors()), (one.best, other.best)):
        assert ours.keys() == theirs.keys()
        for name in ours:
            assert torch.equal(ours[name], theirs[name]), name
    plain = [
        state.to_plain() | {"reports": [(r.epoch, r.loss, r.val_loss, r.lr) for r in state.reports]}
        for state in (one, other)
    ]
    plain = json.loads(json.dumps(plain))  # where a pair is a list
    assert plain[0] == plain[1]


@pytest.mark.parametrize(
    ("optimizer", "schedule", "more"),
    [
        ("adamw", "constant", {"no_aug_epochs": 2}),
        ("adamw", "step", {"step_epochs": 2, "ema_decay": 0.0}),
        ("adamw", "cosine", {"label_smoothing": 0.1}),
        ("adamw", "one-cycle", {"clip_norm": 0.5}),
        ("adamw", "plateau", {"plateau_patience": 0}),
        ("adam", "one-cycle", {"ema_decay": 0.0, "checkpoint": "last"}),
        ("sgd", "constant", {"momentum": 0.0}),
        ("sgd", "step", {"step_epochs": 2, "clip_norm": 0.1}),
        ("sgd", "cosine", {"ema_decay": 0.0}),
        ("sgd", "one-cycle", {"no_aug_epochs": 1}),
        ("sgd", "plateau", {"plateau_patience": 0, "gamma": 0.5}),
    ],
)
def test_a_training_that_was_interrupted_again_and_again_ends_the_same_bit_for_bit(
    small: Make, few: Examples, tmp_path: Path, optimizer: str, schedule: str, more: dict[str, Any]
) -> None:
    recipe = replace(EVERYTHING, optimizer=optimizer, schedule=schedule, **more)
    whole = trained(recipe, small(dropout=0.3), few)
    for epoch, within in ((1, True), (2, True), (2, False), (4, False)):
        with pytest.raises(Interrupted):
            trained(recipe, small(dropout=0.3), few, tmp_path, callback=Interrupt(epoch, within=within))
    # Where it began does not matter any more.
    assert_same(trained(recipe, small(seed=99, dropout=0.3), few, tmp_path), whole)


@pytest.mark.parametrize("patience", [1, 2])
def test_the_epochs_without_progress_are_still_counted(
    small: Make, few: Examples, tmp_path: Path, patience: int
) -> None:
    recipe = replace(EVERYTHING, epochs=50, patience=patience, lr=1e-9)
    whole = trained(recipe, small(), few)
    assert 1 < whole.epoch < 50
    for epoch in range(1, whole.epoch):
        with pytest.raises(Interrupted):
            trained(recipe, small(), few, tmp_path, callback=Interrupt(epoch, within=False))
    assert_same(trained(recipe, small(), few, tmp_path), whole)
    assert_same(trained(recipe, small(), few, tmp_path), whole)  # nothing more to do


def test_interrupted_between_the_two_files(
    small: Make, few: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trained(EVERYTHING, small(), few)
    real, count = write_weights, 0

    def write(path: Path, *rest: Any) -> None:
        nonlocal count
        count += path.name == LAST_FILE
        if (path.name, count) == (LAST_FILE, 3):
            raise Interrupted
        real(path, *rest)

    monkeypatch.setattr(checkpoint, "write_weights", write)
    with pytest.raises(Interrupted):
        trained(EVERYTHING, small(), few, tmp_path)
    monkeypatch.undo()
    assert_same(trained(EVERYTHING, small(), few, tmp_path), whole)


def test_the_files_hold_no_pickle_and_what_they_say(small: Make, few: Examples, tmp_path: Path) -> None:
    state = trained(EVERYTHING, small(), few, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {LAST_FILE, BEST_FILE}
    with safe_open(tmp_path / LAST_FILE, "pt") as file:
        plain = json.loads(file.metadata()["state"])
        assert set(file.keys()) == set(state.to_tensors())
    assert [entry["epoch"] for entry in plain["reports"]] == [1, 2, 3, 4, 5]
    best = read_weights(tmp_path / BEST_FILE)
    assert all(torch.equal(best[name], value) for name, value in state.best.items())


def test_without_a_checkpoint_a_state_stays_what_it_is(small: Make, tmp_path: Path) -> None:
    state = TrainingState.begin(EVERYTHING, small(), 10, Engine().scaler)
    before = {name: value.clone() for name, value in state.to_tensors().items()}
    Checkpoints(tmp_path).restore(state)
    assert all(torch.equal(before[name], value) for name, value in state.to_tensors().items())
    assert state.epoch == 0


def test_stale_temporary_files_harm_nothing(small: Make, few: Examples, tmp_path: Path) -> None:
    for name in (LAST_FILE, BEST_FILE):
        (tmp_path / f".{name}.0a1b2c3d.tmp").write_bytes(b"half of it")
    whole = trained(EVERYTHING, small(), few)
    with pytest.raises(Interrupted):
        trained(EVERYTHING, small(), few, tmp_path, callback=Interrupt(2, within=False))
    assert_same(trained(EVERYTHING, small(), few, tmp_path), whole)


RESTART_REMEDY = r"remove last\.safetensors to begin this run again from its first epoch"


@pytest.fixture
def folder(small: Make, few: Examples, tmp_path: Path) -> Path:
    with pytest.raises(Interrupted):
        trained(EVERYTHING, small(), few, tmp_path, callback=Interrupt(2, within=False))
    return tmp_path


@pytest.mark.parametrize("name", [LAST_FILE, BEST_FILE])
@pytest.mark.parametrize("cut", [0, 1, 7, 100, -1])
def test_a_truncated_checkpoint_is_told_and_left_as_it_is(
    small: Make, few: Examples, folder: Path, name: str, cut: int
) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes()[:cut])
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(TrainingError, match=RESTART_REMEDY):
        trained(EVERYTHING, small(), few, folder)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_the_best_weights_are_missed(small: Make, few: Examples, folder: Path) -> None:
    (folder / BEST_FILE).unlink()
    with pytest.raises(TrainingError, match=RESTART_REMEDY):
        trained(EVERYTHING, small(), few, folder)


@pytest.mark.parametrize("metadata", [None, {}, *({"state": text} for text in ("{", "{}", "[]", "3"))])
def test_a_state_that_says_nothing_is_told(
    small: Make, few: Examples, folder: Path, metadata: dict[str, str] | None
) -> None:
    write_weights(folder / LAST_FILE, read_weights(folder / LAST_FILE), metadata)
    with pytest.raises(TrainingError, match=RESTART_REMEDY):
        trained(EVERYTHING, small(), few, folder)


def test_another_networks_checkpoint_is_told(small: Make, few: Examples, folder: Path) -> None:
    other = small()
    other.head[1] = torch.nn.Linear(8 * 4 * 4, 11)
    with pytest.raises(
        TrainingError, match=rf"last\.safetensors: .*weights of another network.*{RESTART_REMEDY}"
    ):
        trained(EVERYTHING, other, few, folder)


def test_removing_the_last_checkpoint_begins_again(small: Make, few: Examples, folder: Path) -> None:
    (folder / LAST_FILE).write_bytes(b"damaged")
    (folder / LAST_FILE).unlink()
    assert_same(trained(EVERYTHING, small(), few, folder), trained(EVERYTHING, small(), few))


def begun(network: StagedNetwork, **recipe: Any) -> TrainingState:
    return TrainingState.begin(Recipe(**recipe), network, 10, Engine().scaler)


def report(epoch: int, val_accuracy: float) -> EpochReport:
    return EpochReport(epoch, 1.0, 1.0, val_accuracy, 0.1, 100.0, 1.0)


def recorded(state: TrainingState, *accuracies: float) -> list[bool]:
    return [state.record(report(epoch, accuracy)) for epoch, accuracy in enumerate(accuracies, start=1)]


def test_the_best_epoch_is_the_first_of_equally_good_ones(small: Make) -> None:
    state = begun(small())
    assert (state.epoch, state.best_epoch, state.best) == (0, 0, {})
    assert recorded(state, 0.5, 0.5, 0.7, 0.6, 0.7) == [True, False, True, False, False]
    assert (state.epoch, state.best_epoch) == (5, 3)


def test_patience_counts_the_epochs_since_the_best(small: Make) -> None:
    state = begun(small())
    assert not state.out_of_patience(1)
    recorded(state, 0.5, 0.4, 0.3)
    assert state.out_of_patience(1)
    assert state.out_of_patience(2)
    assert not state.out_of_patience(3)
    assert not state.out_of_patience(0)  # never


@pytest.mark.parametrize("ema_decay", [0.0, 0.5])
def test_the_best_weights_are_a_copy_of_those_that_count(small: Make, ema_decay: float) -> None:
    state = begun(small(), ema_decay=ema_decay)
    assert (state.kept is state.network) == (ema_decay == 0)
    recorded(state, 0.5)
    before = {name: value.clone() for name, value in state.kept.state_dict().items()}
    with torch.no_grad():
        for value in state.kept.state_dict().values():
            value.fill_(7)
    assert state.best.keys() == before.keys()
    assert all(torch.equal(state.best[name], before[name]) for name in before)


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
@pytest.mark.parametrize("schedule", ["constant", "step", "cosine", "one-cycle", "plateau"])
def test_a_state_becomes_another(small: Make, optimizer: str, schedule: str) -> None:
    recipe = {"optimizer": optimizer, "schedule": schedule, "ema_decay": 0.9}
    one, other = begun(small(1), **recipe), begun(small(2), **recipe)
    for _ in range(3):
        one.network(torch.rand(4, 1, 28, 28)).sum().backward()
        one.optimizer.step()
        one.schedule.after_step()
        assert one.average is not None
        one.average.update_parameters(one.network)
    one.schedule.after_epoch(2.0)
    recorded(one, 0.5)

    plain = json.loads(json.dumps(one.to_plain()))  # the way it goes to a file
    other.restore(one.to_tensors(), plain, one.best)
    assert other.to_plain() == plain
    ours, theirs = one.to_tensors(), other.to_tensors()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert (other.reports, other.best_epoch) == (one.reports, 1)
    assert other.optimizer.param_groups[0]["lr"] == one.optimizer.param_groups[0]["lr"]


def test_momenta_lie_in_memory_as_their_parameters_do(small: Make) -> None:
    # The order of summation, and so the last bit, can depend on it.
    one, other = (
        begun(small().to(memory_format=torch.channels_last), optimizer="sgd", weight_decay=0.0)
        for _ in range(2)
    )
    one.network(torch.rand(4, 1, 28, 28)).sum().backward()
    one.optimizer.step()
    saved = {name: value.contiguous() for name, value in one.to_tensors().items()}
    other.restore(saved, one.to_plain(), {})
    for parameter in other.network.parameters():
        assert other.optimizer.state[parameter]["momentum_buffer"].stride() == parameter.stride()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda tensors, plain: tensors.pop("network.head.1.weight"),
        lambda tensors, plain: tensors.update({"network.stranger": torch.zeros(1)}),
        lambda tensors, plain: tensors.update({"network.head.1.bias": torch.zeros(11)}),
        lambda tensors, plain: tensors.update({"optimizer.99.exp_avg": torch.zeros(1)}),
        lambda tensors, plain: tensors.update({"optimizer.x.exp_avg": torch.zeros(1)}),
        lambda tensors, plain: plain.pop("groups"),
        lambda tensors, plain: plain.update(groups=[]),
        lambda tensors, plain: plain.update(groups=3),
        lambda tensors, plain: plain.update(schedule=None),
        lambda tensors, plain: plain.update(reports=[{"epoch": 1}]),
        lambda tensors, plain: plain.update(reports=[3]),
        lambda tensors, plain: plain.pop("scaler"),
    ],
)
def test_what_does_not_fit_is_a_training_error(
    small: Make, spoil: Callable[[dict[str, torch.Tensor], dict[str, Any]], object]
) -> None:
    one = begun(small())
    one.network(torch.rand(4, 1, 28, 28)).sum().backward()
    one.optimizer.step()
    recorded(one, 0.5)
    tensors, plain = one.to_tensors(), json.loads(json.dumps(one.to_plain()))
    spoil(tensors, plain)
    with pytest.raises(TrainingError, match="does not fit its recipe"):
        begun(small()).restore(tensors, plain, one.best)


def test_a_state_without_an_average_is_no_state_with_one(small: Make) -> None:
    one = begun(small())
    with pytest.raises(TrainingError, match="does not fit its recipe"):
        begun(small(), ema_decay=0.9).restore(one.to_tensors(), one.to_plain(), {})


def test_only_what_is_learnt_has_an_optimiser_state(small: Make) -> None:
    network = small()
    network.stages.requires_grad_(False)
    state = begun(network)
    network(torch.rand(4, 1, 28, 28)).sum().backward()
    state.optimizer.step()
    again = begun(network)
    again.restore(state.to_tensors(), state.to_plain(), {})
    assert replace(again, reports=[]).to_tensors().keys() == state.to_tensors().keys()
    assert {name.split(".")[1] for name in state.to_tensors() if name.startswith("optimizer.")} == {"0", "1"}


def test_another_optimisers_state_is_refused(small: Make) -> None:
    one = begun(small(), optimizer="adamw")
    other = begun(small(), optimizer="sgd")
    with pytest.raises(TrainingError, match="it is another optimiser's"):
        other.restore(one.to_tensors(), json.loads(json.dumps(one.to_plain())), {})


SHORT = Recipe(epochs=1, batch_size=16, lr=0.01)
PER_EPOCH = 10


def rates(recipe: Recipe, epochs: int, losses: list[float] | None = None) -> list[float]:
    """The rate that each of the `PER_EPOCH` steps of each epoch is made with."""
    optimizer = SGD([torch.zeros(1, requires_grad=True)], recipe.lr)
    schedule = make_schedule(optimizer, recipe, epochs * PER_EPOCH)
    used = []
    for epoch in range(epochs):
        for _ in range(PER_EPOCH):
            used.append(float(optimizer.param_groups[0]["lr"]))
            optimizer.step()
            schedule.after_step()
        schedule.after_epoch(losses[epoch] if losses else 1.0)
    return used


@pytest.mark.parametrize(
    ("name", "kind"), [("sgd", SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_the_optimizer_is_the_one_asked_for(name: str, kind: type[torch.optim.Optimizer]) -> None:
    recipe = replace(SHORT, optimizer=name, lr=0.02, weight_decay=0.003, momentum=0.7)
    optimizer = make_optimizer(nn.Linear(2, 2), recipe)
    [group] = optimizer.param_groups
    assert type(optimizer) is kind
    assert (group["lr"], group["weight_decay"]) == (0.02, 0.003)
    if name == "sgd":
        assert (group["momentum"], group["nesterov"]) == (0.7, True)


def test_sgd_without_momentum_has_no_nesterov() -> None:
    [group] = make_optimizer(nn.Linear(2, 2), replace(SHORT, optimizer="sgd", momentum=0)).param_groups
    assert (group["momentum"], group["nesterov"]) == (0, False)


def test_frozen_parameters_are_left_alone() -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4))
    network[0].requires_grad_(False)
    [group] = make_optimizer(network, SHORT).param_groups
    assert [p.shape for p in group["params"]] == [(4, 3), (4,)]
    with pytest.raises(TrainingError, match="no parameter to train: all are frozen"):
        make_optimizer(network.requires_grad_(False), SHORT)


def test_constant_is_constant() -> None:
    assert set(rates(replace(SHORT, schedule="constant"), 3)) == {0.01}


def test_one_cycle_climbs_and_comes_down() -> None:
    used = rates(replace(SHORT, schedule="one-cycle", lr=0.1, warmup=0.2), 10)
    peak = int(np.argmax(used))
    assert max(used) == pytest.approx(0.1, rel=1e-3)
    assert peak == pytest.approx(20, abs=1)
    assert (np.diff(used[: peak + 1]) > 0).all()
    assert (np.diff(used[peak:]) < 0).all()
    assert used[-1] < 0.001


def test_one_cycle_leaves_the_momentum_alone() -> None:
    optimizer = make_optimizer(nn.Linear(2, 2), replace(SHORT, optimizer="sgd", momentum=0.7))
    schedule = make_schedule(optimizer, replace(SHORT, schedule="one-cycle"), 10)
    for _ in range(10):
        optimizer.step()
        schedule.after_step()
        assert optimizer.param_groups[0]["momentum"] == 0.7


def test_cosine_climbs_in_a_line_and_follows_half_a_cosine() -> None:
    used = rates(replace(SHORT, schedule="cosine", lr=0.1, warmup=0.2), 10)
    expected = [0.1 * (step + 1) / 21 for step in range(20)]
    expected += [0.05 * (1 + np.cos(np.pi * step / 80)) for step in range(80)]
    np.testing.assert_allclose(used, expected, rtol=1e-6, atol=1e-9)


def test_cosine_without_warmup_begins_at_the_top() -> None:
    used = rates(replace(SHORT, schedule="cosine", warmup=0), 2)
    np.testing.assert_allclose(used, [0.005 * (1 + np.cos(np.pi * step / 20)) for step in range(20)])


def test_step_goes_down_again_and_again() -> None:
    used = rates(replace(SHORT, schedule="step", step_epochs=2, gamma=0.5), 5)
    np.testing.assert_allclose(used, np.repeat([0.01, 0.01, 0.005, 0.005, 0.0025], PER_EPOCH))


def test_plateau_waits_for_its_patience_and_for_nothing_else() -> None:
    recipe = replace(SHORT, schedule="plateau", plateau_patience=1, gamma=0.1)
    #              best  best  no    no →  best  no    no →
    losses = [3.0, 2.0, 2.0, 2.5, 1.0, 1.5, 1.5, 1.5]
    used = rates(recipe, 8, losses)[::PER_EPOCH]
    np.testing.assert_allclose(used, [0.01] * 4 + [0.001] * 3 + [0.0001])


def test_plateau_without_patience_goes_down_at_once() -> None:
    recipe = replace(SHORT, schedule="plateau", plateau_patience=0, gamma=0.5)
    np.testing.assert_allclose(rates(recipe, 4, [1, 1, 1, 1])[::PER_EPOCH], [0.01, 0.01, 0.005, 0.0025])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("schedule", ["constant", "step", "cosine", "one-cycle", "plateau"])
@pytest.mark.parametrize("warmup", [0, 0.2, 0.25, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 7])
def test_every_length_of_every_schedule(schedule: str, warmup: float, steps: int) -> None:
    recipe = replace(SHORT, schedule=schedule, warmup=warmup)
    optimizer = SGD([torch.zeros(1, requires_grad=True)], recipe.lr)
    made = make_schedule(optimizer, recipe, steps)
    used = []
    for _ in range(steps):
        used.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        made.after_step()
    made.after_epoch(1.0)
    assert all(0 <= rate <= recipe.lr * (1 + 1e-9) for rate in used)
    assert max(used) > 0
