"""The command lines of trainings by steps: `python -m kalamos.learn.ink` and its like."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from kalamos.errors import KalamosError
from kalamos.learn.checkpoint import write_weights
from kalamos.learn.models.base import read_tensors
from kalamos.learn.step_trainer import StepTrainer
from kalamos.utils.atomic_write import write_bytes

__all__ = ["run_command", "step_parser", "train_to_file"]

Network = TypeVar("Network", bound=nn.Module)


def step_parser(module: str, description: str | None, example: str) -> argparse.ArgumentParser:
    """Make the parser of a training's command line, with the options that all of them take.

    Args:
        module: as `python -m` takes it.
        description: what it trains, and what it needs.
        example: path of a recipe.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    parser.add_argument("recipe", type=Path, help=f"a TOML file such as {example}")
    parser.add_argument("--data-dir", type=Path, help="where the datasets lie")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw")
    parser.add_argument("--threads", type=int, default=1, help="threads that train")
    parser.add_argument("--weights", type=Path, help="a file of an earlier training's weights to go on from")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="the ONNX file to write; its weights go beside it"
    )
    return parser


def train_to_file(
    trainer: StepTrainer[Network, Any],
    given: argparse.Namespace,
    encode: Callable[[Network], bytes],
    *,
    measure: Callable[[Network], str] | None = None,
    unit: str,
) -> Network:
    """Train as a command line says, print how it goes, and write each network that is kept.

    Args:
        given: what `step_parser` parsed.
        encode: a network -> the content of the ONNX file.
        measure: says in a line how well a network does.
        unit: what `trainer` counts: "scenes".

    Raises:
        RecipeError, TrainingError: the weights to begin with cannot be read, or see `StepTrainer.train`.
        ExportError: from `encode`.
        OutputError: a file cannot be written.
    """

    def report(step: int, loss: float, rate: float) -> None:
        print(f"{time.strftime('%H:%M:%S')}  step {step:,}  loss {loss:.4f}  {rate:.0f} {unit}/s", flush=True)

    def keep(step: int, network: Network) -> None:
        if measure is not None:
            print(f"step {step:,}: {measure(network)}", flush=True)
        write_bytes(given.output, encode(network))
        write_weights(given.output.with_suffix(".safetensors"), dict(network.state_dict()))

    torch.set_num_threads(given.threads)
    begin_with = None if given.weights is None else read_tensors(given.weights)
    return trainer.train(begin_with=begin_with, report=report, keep=keep)


def run_command(main: Callable[[], None]) -> None:
    """Run a command line; end with a message where it fails, and with status 130 where it is interrupted."""
    try:
        main()
    except KalamosError as error:
        sys.exit(f"kalamos: {error}")
    except KeyboardInterrupt:  # what was kept last stays
        sys.exit(130)
