"""Train an ink finder by a recipe and write it as ONNX.

Needs the datasets `unipen`, `emnist-47`, `mnist`, `ahcd` and `hijja-28`, and a folder of fonts of many
scripts (Debian's fonts-noto-core).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kalamos.datasets.named import data_dir
from kalamos.datasets.named.unipen import UNIPEN
from kalamos.datasets.strokes import read_strokes
from kalamos.learn.ink.glyphs import (
    GlyphPool,
    draw_bars,
    draw_scribble,
    font_glyphs,
    hand_glyphs,
    stroke_glyphs,
)
from kalamos.learn.ink.network import InkNet
from kalamos.learn.ink.recipe import HELD_OUT_WRITERS, InkRecipe
from kalamos.learn.ink.train import SceneBatches, encode_ink, ink_trainer, measure_masks
from kalamos.learn.step_command import run_command, step_parser, train_to_file

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
    parser = step_parser("kalamos.learn.ink", __doc__, "recipes/ink.toml")
    parser.add_argument("--fonts", type=Path, required=True, help="a folder of fonts")
    given = parser.parse_args()
    recipe = InkRecipe.load(given.recipe)
    learnt, other = glyph_pools(recipe, given.fonts, given.data_dir)
    validation = SceneBatches(other, recipe, seed=VALIDATION_SEED, count=VALIDATION_BATCHES)

    def encode(network: InkNet) -> bytes:
        return encode_ink(network, recipe)

    def measure(network: InkNet) -> str:
        overlap = measure_masks(network, validation)
        return f"mean overlap {overlap.mean():.4f}, below a half {(overlap < 0.5).mean():.1%}"

    trainer = ink_trainer(recipe, learnt, workers=given.workers)
    train_to_file(trainer, given, encode, measure=measure, unit="scenes")


if __name__ == "__main__":
    run_command(main)
