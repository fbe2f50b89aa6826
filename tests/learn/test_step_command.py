"""Command lines of trainings by steps: what they write and print, and how they end."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from kalamos.errors import RecipeError, TrainingError
from kalamos.learn.checkpoint import read_weights, write_weights
from kalamos.learn.step_command import run_command, step_parser, train_to_file
from kalamos.learn.step_trainer import StepRecipe, StepTrainer

Run = Callable[..., nn.Linear]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Train a network of one weight as a command line says; nothing is learnt at a rate of 0."""

    def train(*arguments: object, lr: float = 0.1) -> nn.Linear:
        parser = step_parser("kalamos.learn.own", "Train.", "recipes/own.toml")
        given = parser.parse_args(["own.toml", "-o", str(tmp_path / "own.onnx"), *map(str, arguments)])
        torch.manual_seed(0)
        network = nn.Linear(1, 1, bias=False)

        def batch_loss(batch: int) -> tuple[Tensor, int]:
            return network.weight.sum() ** 2, batch

        recipe = StepRecipe(steps=4, lr=lr, weight_decay=0.0, warmup_steps=1)
        return train_to_file(
            StepTrainer(recipe, network, [1, 2, 3, 4], batch_loss, report_every=2, keep_every=2),
            given,
            lambda network: f"weight {network.weight.item()}".encode(),
            measure=lambda network: f"weighs {network.weight.item():.2f}",
            unit="sheets",
        )

    return train


def test_the_file_and_its_weights_are_those_of_the_trained_network(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    threads = torch.get_num_threads()
    try:
        trained = run("--threads", 1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)
    assert (tmp_path / "own.onnx").read_text() == f"weight {trained.weight.item()}"
    weights = read_weights(tmp_path / "own.safetensors")
    assert weights == {"weight": trained.weight}
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert re.fullmatch(r"\d\d:\d\d:\d\d  step 2  loss \d\.\d{4}  \d+ sheets/s", lines[0])
    assert lines[3] == f"step 4: weighs {trained.weight.item():.2f}"


def test_a_training_goes_on_from_a_file_of_weights(run: Run, tmp_path: Path) -> None:
    weights = tmp_path / "earlier.safetensors"
    write_weights(weights, {"weight": torch.tensor([[2.5]])})
    assert run("--weights", weights, lr=0.0).weight.item() == 2.5
    write_weights(weights, {"other": torch.tensor([[2.5]])})
    with pytest.raises(TrainingError, match="another network"):
        run("--weights", weights)
    with pytest.raises(RecipeError, match=r"none\.safetensors: cannot be read"):
        run("--weights", tmp_path / "none.safetensors")
    weights.write_bytes(b"no weights")
    with pytest.raises(TrainingError, match=r"earlier\.safetensors: is damaged"):
        run("--weights", weights)


@pytest.mark.parametrize(
    ("error", "status"),
    [(TrainingError("the loss became nan"), "kalamos: the loss became nan"), (KeyboardInterrupt(), 130)],
)
def test_a_command_ends_with_a_message_or_as_it_was_interrupted(
    error: BaseException, status: str | int
) -> None:
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        run_command(main)
    assert ended.value.code == status
