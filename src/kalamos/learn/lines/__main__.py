"""Train a line recogniser by a recipe and write it as ONNX.

Needs the datasets `mnist` and `unipen`, and the digits that `make fonts` draws.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file

from kalamos.errors import KalamosError
from kalamos.learn.checkpoint import write_weights
from kalamos.learn.lines.drawing import Hands
from kalamos.learn.lines.hands import StrokeHands, image_hand, unipen_strokes
from kalamos.learn.lines.network import LineNet
from kalamos.learn.lines.recipe import load_line_recipe
from kalamos.learn.lines.train import LineBatches, encode_lines, lines_right, train_lines
from kalamos.utils.atomic_write import write_bytes

VALIDATION_SEED, VALIDATION_BATCHES = 999, 10


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m kalamos.learn.lines", description=__doc__)
    parser.add_argument("recipe", type=Path, help="a TOML file such as recipes/digit-lines.toml")
    parser.add_argument("--fonts", default="build/rendered/digits", help="the folder of drawn digits")
    parser.add_argument("--data-dir", type=Path, help="where the datasets lie")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw lines")
    parser.add_argument(
        "--weights", type=Path, help="a .safetensors file of an earlier training to go on from"
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="the ONNX file to write; its weights go beside it"
    )
    given = parser.parse_args()
    recipe = load_line_recipe(given.recipe)
    torch.set_num_threads(1)
    strokes, fonts = unipen_strokes(given.data_dir), image_hand(given.fonts, None)
    learnt, other = (
        Hands(image_hand("mnist", given.data_dir, held_out=held), fonts, StrokeHands(strokes, held_out=held))
        for held in (False, True)
    )
    drawing = LineBatches(other, recipe, seed=VALIDATION_SEED, count=VALIDATION_BATCHES)
    validation = [drawing[index] for index in range(len(drawing))]

    def report(step: int, loss: float, rate: float) -> None:
        print(f"{time.strftime('%H:%M:%S')}  step {step:,}  loss {loss:.4f}  {rate:.0f} lines/s", flush=True)

    def keep(step: int, network: LineNet) -> None:
        right, count = lines_right(network, validation)
        print(f"step {step:,}: {right} of {count} lines right, {right / count:.1%}", flush=True)
        write_bytes(given.output, encode_lines(network, recipe))
        write_weights(given.output.with_suffix(".safetensors"), dict(network.state_dict()))

    begin_with = None if given.weights is None else load_file(given.weights)
    train_lines(recipe, learnt, begin_with=begin_with, workers=given.workers, report=report, keep=keep)


if __name__ == "__main__":
    try:
        main()
    except KalamosError as error:
        sys.exit(f"kalamos: {error}")
    except KeyboardInterrupt:  # what was kept last stays
        sys.exit(130)
