"""Train an ink finder by a recipe and write it as ONNX.

Needs the datasets `unipen`, `emnist-47`, `mnist`, `ahcd` and `hijja-28`, and a folder of fonts of many
scripts (Debian's fonts-noto-core).
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from kalamos.datasets.named import data_dir
from kalamos.datasets.named.unipen import UNIPEN
from kalamos.datasets.strokes import read_strokes
from kalamos.errors import KalamosError
from kalamos.learn.checkpoint import write_weights
from kalamos.learn.ink.glyphs import (
    GlyphPool,
    draw_bars,
    draw_scribble,
    font_glyphs,
    hand_glyphs,
    stroke_glyphs,
)
from kalamos.learn.ink.network import InkNet
from kalamos.learn.ink.recipe import HELD_OUT_WRITERS, InkRecipe, load_ink_recipe
from kalamos.learn.ink.train import SceneBatches, encode_ink, measure_masks, train_ink
from kalamos.utils.atomic_write import write_bytes

VALIDATION_SEED, VALIDATION_BATCHES = 999, 40


def glyph_pools(recipe: InkRecipe, fonts: Path, data: Path | None) -> tuple[GlyphPool, GlyphPool]:
    """Collect the characters to learn from, and those of other writers to measure on."""
    strokes = read_strokes(UNIPEN.find(data_dir(data))[0])
    held_out = strokes.writers % HELD_OUT_WRITERS == 0
    sources = {
        "strokes": stroke_glyphs(strokes, np.flatnonzero(~held_out)),
        "hands": hand_glyphs({"emnist-47": False, "mnist": False}, data),
        "arabic": hand_glyphs({"ahcd": False, "hijja-28": True}, data),
        "fonts": font_glyphs(fonts, recipe.seed),
        "scribbles": draw_scribble,
        "bars": draw_bars,
    }
    learnt = GlyphPool(sources, vars(recipe.shares), count=recipe.glyphs, seed=recipe.seed)
    other = {"strokes": stroke_glyphs(strokes, np.flatnonzero(held_out))}
    return learnt, GlyphPool(other, {"strokes": 1.0}, count=2_000, seed=recipe.seed + 1)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m kalamos.learn.ink", description=__doc__)
    parser.add_argument("recipe", type=Path, help="a TOML file such as recipes/ink.toml")
    parser.add_argument("--fonts", type=Path, required=True, help="a folder of fonts")
    parser.add_argument("--data-dir", type=Path, help="where the datasets lie")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw scenes")
    parser.add_argument(
        "--weights", type=Path, help="a .safetensors file of an earlier training to go on from"
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="the ONNX file to write; its weights go beside it"
    )
    given = parser.parse_args()
    recipe = load_ink_recipe(given.recipe)
    torch.set_num_threads(1)
    learnt, other = glyph_pools(recipe, given.fonts, given.data_dir)
    validation = SceneBatches(other, recipe, seed=VALIDATION_SEED, count=VALIDATION_BATCHES)

    def report(step: int, loss: float, rate: float) -> None:
        print(f"{time.strftime('%H:%M:%S')}  step {step:,}  loss {loss:.4f}  {rate:.0f} scenes/s", flush=True)

    def keep(step: int, network: InkNet) -> None:
        overlap = measure_masks(network, validation)
        print(f"step {step:,}: mean overlap {overlap.mean():.4f}, below a half {(overlap < 0.5).mean():.1%}")
        write_bytes(given.output, encode_ink(network, recipe))
        write_weights(given.output.with_suffix(".safetensors"), dict(network.state_dict()))

    begin_with = None if given.weights is None else load_file(given.weights)
    train_ink(recipe, learnt, begin_with=begin_with, workers=given.workers, report=report, keep=keep)


if __name__ == "__main__":
    try:
        main()
    except KalamosError as error:
        sys.exit(f"kalamos: {error}")
    except KeyboardInterrupt:  # what was kept last stays
        sys.exit(130)
