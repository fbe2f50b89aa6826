"""Train the base model by a recipe and write it as a model file; beside it, as .npz, what others are told by.

Needs the datasets `unipen`, `emnist-47`, `mnist`, `ahcd`, `hijja-28`, `hmbd` and `madbase`, and folders of
fonts of many scripts (Debian's fonts-noto-core and fonts-noto-cjk).
"""

from __future__ import annotations

from pathlib import Path

from kalamos.alphabets import DIGITS
from kalamos.evaluation.ood import exposure
from kalamos.learn.data import DRAWN_SETS
from kalamos.learn.glyphs.pool import STEPS, GlyphImages, collect
from kalamos.learn.glyphs.recipe import GlyphRecipe
from kalamos.learn.glyphs.train import N_OUTLIERS, encode_glyphs, encode_others, glyph_trainer
from kalamos.learn.models import StagedNetwork
from kalamos.learn.step_command import run_command, step_parser, train_to_file
from kalamos.preprocessing import Preprocessor
from kalamos.utils.atomic_write import write_bytes


def main() -> None:
    """Run the command."""
    parser = step_parser("kalamos.learn.glyphs", __doc__, "recipes/glyphs.toml")
    parser.add_argument("--fonts", type=Path, action="append", required=True, help="a folder of fonts")
    parser.add_argument("--images", type=Path, help="an .npz file that keeps the drawn images, or has them")
    given = parser.parse_args()
    recipe = GlyphRecipe.load(given.recipe)
    if given.images is not None and given.images.exists():
        data = GlyphImages.load(given.images)
    else:
        data = collect(recipe, given.fonts, given.data_dir, given.workers)
        if given.images is not None:
            data.save(given.images)
    print(f"{len(data.images):,} images of {len(data.characters):,} classes", flush=True)

    def encode(network: StagedNetwork) -> bytes:
        return encode_glyphs(network, recipe, len(data.images))

    network = train_to_file(glyph_trainer(recipe, data), given, encode, unit="images")
    outliers = exposure(DIGITS, Preprocessor(STEPS), N_OUTLIERS, recipe.seed, sets=DRAWN_SETS)
    write_bytes(given.output.with_suffix(".npz"), encode_others(network, data, outliers, recipe.seed))


if __name__ == "__main__":
    run_command(main)
