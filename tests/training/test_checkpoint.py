from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from kalamos.architectures import StagedNetwork
from kalamos.errors import TrainingError
from kalamos.training import Callback, Recipe, checkpoint
from kalamos.training.batches import Examples
from kalamos.training.checkpoint import BEST, LAST, Checkpoints, read_weights, write_weights
from kalamos.training.engine import Engine
from kalamos.training.loop import train_network
from kalamos.training.policy import AUGMENTATIONS
from kalamos.training.reports import EpochReport, StepReport
from kalamos.training.state import TrainingState

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
        count += path.name == LAST
        if (path.name, count) == (LAST, 3):
            raise Interrupted
        real(path, *rest)

    monkeypatch.setattr(checkpoint, "write_weights", write)
    with pytest.raises(Interrupted):
        trained(EVERYTHING, small(), few, tmp_path)
    monkeypatch.undo()
    assert_same(trained(EVERYTHING, small(), few, tmp_path), whole)


def test_the_files_hold_no_pickle_and_what_they_say(small: Make, few: Examples, tmp_path: Path) -> None:
    state = trained(EVERYTHING, small(), few, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {LAST, BEST}
    with safe_open(tmp_path / LAST, "pt") as file:
        plain = json.loads(file.metadata()["state"])
        assert set(file.keys()) == set(state.to_tensors())
    assert [entry["epoch"] for entry in plain["reports"]] == [1, 2, 3, 4, 5]
    best = read_weights(tmp_path / BEST)
    assert all(torch.equal(best[name], value) for name, value in state.best.items())


def test_without_a_checkpoint_a_state_stays_what_it_is(small: Make, tmp_path: Path) -> None:
    state = TrainingState.begin(EVERYTHING, small(), 10, Engine().scaler)
    before = {name: value.clone() for name, value in state.to_tensors().items()}
    Checkpoints(tmp_path).restore(state)
    assert all(torch.equal(before[name], value) for name, value in state.to_tensors().items())
    assert state.epoch == 0


def test_stale_temporary_files_harm_nothing(small: Make, few: Examples, tmp_path: Path) -> None:
    for name in (LAST, BEST):
        (tmp_path / f".{name}.0a1b2c3d.tmp").write_bytes(b"half of it")
    whole = trained(EVERYTHING, small(), few)
    with pytest.raises(Interrupted):
        trained(EVERYTHING, small(), few, tmp_path, callback=Interrupt(2, within=False))
    assert_same(trained(EVERYTHING, small(), few, tmp_path), whole)


AFRESH = r"remove last\.safetensors to begin this run again from its first epoch"


@pytest.fixture
def folder(small: Make, few: Examples, tmp_path: Path) -> Path:
    with pytest.raises(Interrupted):
        trained(EVERYTHING, small(), few, tmp_path, callback=Interrupt(2, within=False))
    return tmp_path


@pytest.mark.parametrize("name", [LAST, BEST])
@pytest.mark.parametrize("cut", [0, 1, 7, 100, -1])
def test_a_truncated_checkpoint_is_told_and_left_as_it_is(
    small: Make, few: Examples, folder: Path, name: str, cut: int
) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes()[:cut])
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(TrainingError, match=AFRESH):
        trained(EVERYTHING, small(), few, folder)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_the_best_weights_are_missed(small: Make, few: Examples, folder: Path) -> None:
    (folder / BEST).unlink()
    with pytest.raises(TrainingError, match=AFRESH):
        trained(EVERYTHING, small(), few, folder)


@pytest.mark.parametrize("metadata", [None, {}, *({"state": text} for text in ("{", "{}", "[]", "3"))])
def test_a_state_that_says_nothing_is_told(
    small: Make, few: Examples, folder: Path, metadata: dict[str, str] | None
) -> None:
    write_weights(folder / LAST, read_weights(folder / LAST), metadata)
    with pytest.raises(TrainingError, match=AFRESH):
        trained(EVERYTHING, small(), few, folder)


def test_another_networks_checkpoint_is_told(small: Make, few: Examples, folder: Path) -> None:
    other = small()
    other.head[1] = torch.nn.Linear(8 * 4 * 4, 11)
    with pytest.raises(TrainingError, match=rf"last\.safetensors: .*weights of another network.*{AFRESH}"):
        trained(EVERYTHING, other, few, folder)


def test_removing_the_last_checkpoint_begins_again(small: Make, few: Examples, folder: Path) -> None:
    (folder / LAST).write_bytes(b"damaged")
    (folder / LAST).unlink()
    assert_same(trained(EVERYTHING, small(), few, folder), trained(EVERYTHING, small(), few))
