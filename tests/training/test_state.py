from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from kalamos.architectures import StagedNetwork
from kalamos.errors import TrainingError
from kalamos.training import EpochReport, Recipe
from kalamos.training.engine import Engine
from kalamos.training.state import TrainingState

Make = Callable[..., StagedNetwork]


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
