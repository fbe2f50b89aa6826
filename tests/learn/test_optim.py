from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import SGD

from kalamos.errors import TrainingError
from kalamos.learn import Recipe
from kalamos.learn.checkpoint import make_optimizer, make_schedule

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
