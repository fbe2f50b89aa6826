"""Train the base model by a recipe and write it as a model file.

Needs the datasets `unipen`, `emnist-47`, `mnist`, `ahcd`, `hijja-28`, `hmbd` and `madbase`, and folders of
fonts of many scripts (Debian's fonts-noto-core and fonts-noto-cjk).
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch

from kalamos.alphabets import DIGITS
from kalamos.errors import KalamosError
from kalamos.evaluation.ood import exposure
from kalamos.learn.checkpoint import write_weights
from kalamos.learn.data import DRAWN_SETS
from kalamos.learn.glyphs.pool import STEPS, GlyphImages, collect
from kalamos.learn.glyphs.recipe import load_glyph_recipe
from kalamos.learn.glyphs.train import N_OUTLIERS, encode_glyphs, encode_others, train_glyphs
from kalamos.learn.models import StagedNetwork
from kalamos.preprocessing import Preprocessor
from kalamos.utils.atomic_write import write_bytes


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m kalamos.learn.glyphs", description=__doc__)
    parser.add_argument("recipe", type=Path, help="a TOML file such as recipes/glyphs.toml")
    parser.add_argument("--fonts", type=Path, action="append", required=True, help="a folder of fonts")
    parser.add_argument("--data-dir", type=Path, help="where the datasets lie")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw the images")
    parser.add_argument("--threads", type=int, default=1, help="threads that train")
    parser.add_argument("--images", type=Path, help="an .npz file that keeps the drawn images, or has them")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        help="the ONNX file to write; what others are told by goes beside it, as .npz",
    )
    given = parser.parse_args()
    recipe = load_glyph_recipe(given.recipe)
    if given.images is not None and given.images.exists():
        data = GlyphImages.load(given.images)
    else:
        data = collect(recipe, given.fonts, given.data_dir, given.workers)
        if given.images is not None:
            data.save(given.images)
    print(f"{len(data.images):,} images of {len(data.characters):,} classes", flush=True)
    torch.set_num_threads(given.threads)

    def report(step: int, loss: float, rate: float) -> None:
        print(f"{time.strftime('%H:%M:%S')}  step {step:,}  loss {loss:.4f}  {rate:.0f} images/s", flush=True)

    def keep(network: StagedNetwork) -> None:
        write_bytes(given.output, encode_glyphs(network, recipe, len(data.images)))
        write_weights(given.output.with_suffix(".safetensors"), dict(network.state_dict()))

    network = train_glyphs(recipe, data, report=report, keep=keep)
    outliers = exposure(DIGITS, Preprocessor(STEPS), N_OUTLIERS, recipe.seed, sets=DRAWN_SETS)
    write_bytes(given.output.with_suffix(".npz"), encode_others(network, data, outliers, recipe.seed))


if __name__ == "__main__":
    try:
        main()
    except KalamosError as error:
        sys.exit(f"kalamos: {error}")
    except KeyboardInterrupt:  # what was kept last stays
        sys.exit(130)
