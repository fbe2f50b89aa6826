"""Training by steps: what is reported and kept, what comes out, and what a recipe may not say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from kalamos.errors import RecipeError, TrainingError
from kalamos.learn.recipe import Fraction, NonNegative, PositiveCount, check_fields
from kalamos.learn.step_trainer import StepRecipe, StepTrainer

RECIPE = StepRecipe(steps=5, lr=0.1, weight_decay=0.0, warmup_steps=1, ema_decay=0.9)


def trainer(
    batches: Iterable[float], recipe: StepRecipe = RECIPE, clip_norm: float | None = None
) -> StepTrainer[nn.Linear, float]:
    """A network of one weight, which any batch pulls down; a batch is its own loss, of seven examples."""
    torch.manual_seed(0)
    network = nn.Linear(1, 1, bias=False)

    def batch_loss(batch: float) -> tuple[Tensor, int]:
        pull = 10 * network.weight.sum()
        return batch + pull - pull.detach(), 7

    return StepTrainer(recipe, network, batches, batch_loss, clip_norm, report_every=2, keep_every=3)


def test_losses_are_reported_and_networks_kept_now_and_then_and_at_the_end() -> None:
    losses: list[tuple[int, float]] = []
    kept: list[tuple[int, bool, float]] = []
    trained = trainer([1, 2, 3, 4, 5]).train(
        report=lambda step, loss, rate: losses.append((step, loss if rate > 0 else rate)),
        keep=lambda step, network: kept.append((step, network.training, network.weight.item())),
    )
    assert losses == [(2, 1.5), (4, 3.5), (5, 5.0)]
    assert [(step, training) for step, training, _ in kept] == [(3, False), (5, False)]
    assert kept[0][2] > kept[1][2] == trained.weight.item()


@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_what_comes_out_has_the_moving_average_of_the_weights(decay: float) -> None:
    recipe = StepRecipe(steps=5, lr=0.1, weight_decay=0.0, warmup_steps=1, ema_decay=decay)
    made = trainer([1] * 5, recipe)
    trained = made.train()
    assert (trained.weight.item() == made.network.weight.item()) == (decay == 0)
    assert trained.weight.item() >= made.network.weight.item()


def test_as_many_batches_are_taken_as_there_are_steps() -> None:
    batches = count()
    trainer(batches).train()
    assert next(batches) == 5


@pytest.mark.parametrize(("clip_norm", "norm"), [(None, 10.0), (2.0, 2.0)])
def test_gradients_are_clipped_where_that_is_asked_for(clip_norm: float | None, norm: float) -> None:
    made = trainer([1] * 5, clip_norm=clip_norm)
    made.train()
    gradient = made.network.weight.grad
    assert gradient is not None
    assert gradient.norm().item() == pytest.approx(norm)


def test_a_loss_that_is_not_finite_ends_the_training() -> None:
    kept: list[int] = []
    with pytest.raises(TrainingError, match=r"the loss became nan by step 4; lower lr"):
        trainer([1, 2, 3, float("nan"), 5]).train(keep=lambda step, network: kept.append(step))
    assert kept == [3]


def test_a_training_goes_on_from_weights_of_the_same_network_alone() -> None:
    still = StepRecipe(steps=2, lr=0.0, weight_decay=0.0, warmup_steps=1)
    trained = trainer([1, 1], still).train(begin_with={"weight": torch.tensor([[3.5]])})
    assert trained.weight.item() == 3.5
    for other in ({"weight": torch.zeros(2, 1)}, {"bias": torch.zeros(1)}, {}):
        with pytest.raises(TrainingError, match="another network"):
            trainer([1, 1], still).train(begin_with=other)


@dataclass(frozen=True)
class Table:
    share: Fraction = 0.5

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Own(StepRecipe):
    """A recipe as a network has it: with defaults, a table and a list."""

    steps: PositiveCount = 1_000
    lr: NonNegative = 1e-3
    weight_decay: NonNegative = 0.0
    sizes: tuple[int, ...] = (1, 2)
    table: Table = field(default_factory=Table)


def test_a_recipe_is_read_from_toml_with_its_tables_and_lists(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text("seed = 3\nsizes = [4, 5]\n[table]\nshare = 0.25\n", "utf-8")
    assert Own.load(path) == Own(seed=3, sizes=(4, 5), table=Table(0.25))
    path.write_text("", "utf-8")
    assert Own.load(path) == Own()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("step = 3", r"own\.toml: a recipe has no key 'step'; did you mean 'steps'"),
        ("[table]\nshares = 0.1", r"own\.toml: \[table\] has no key 'shares'; did you mean 'share'"),
        ("table = 3", r"own\.toml: table = 3 is not a table"),
        ("[table]\nshare = 2", r"own\.toml: share = 2 is not a share in \[0, 1\)"),
        ("steps = 0", r"own\.toml: steps = 0 is not a whole number of at least 1"),
        ("warmup_steps = 1000", r"own\.toml: warmup_steps = 1000 are all of steps = 1000"),
        ("seed = [1]", r"own\.toml: seed = \[1\] is not a whole number of at least 0"),
        ("ema_decay = 1.0", r"own\.toml: ema_decay = 1\.0 is not a share"),
        ("steps =", r"cannot be read as TOML"),
    ],
)
def test_what_a_recipe_may_not_say(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(RecipeError, match=message):
        Own.load(path)
    with pytest.raises(RecipeError, match="cannot be read"):
        Own.load(tmp_path / "none.toml")
