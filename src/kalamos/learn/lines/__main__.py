"""Train a line recogniser by a recipe and write it as ONNX.

Needs the datasets `mnist` and `unipen`, and the digits that `make fonts` draws.
"""

from __future__ import annotations

from kalamos.learn.lines.drawing import Hands
from kalamos.learn.lines.hands import StrokeHands, image_hand, unipen_strokes
from kalamos.learn.lines.network import LineNet
from kalamos.learn.lines.recipe import LineRecipe
from kalamos.learn.lines.train import LineBatches, encode_lines, line_trainer, lines_right
from kalamos.learn.step_command import run_command, step_parser, train_to_file

VALIDATION_SEED, VALIDATION_BATCHES = 999, 10


def main() -> None:
    """Run the command."""
    parser = step_parser("kalamos.learn.lines", __doc__, "recipes/digit-lines.toml")
    parser.add_argument("--fonts", default="build/rendered/digits", help="the folder of drawn digits")
    given = parser.parse_args()
    recipe = LineRecipe.load(given.recipe)
    strokes, fonts = unipen_strokes(given.data_dir), image_hand(given.fonts, None)
    learnt, other = (
        Hands(image_hand("mnist", given.data_dir, held_out=held), fonts, StrokeHands(strokes, held_out=held))
        for held in (False, True)
    )
    drawing = LineBatches(other, recipe, seed=VALIDATION_SEED, count=VALIDATION_BATCHES)
    validation = [drawing[index] for index in range(len(drawing))]

    def encode(network: LineNet) -> bytes:
        return encode_lines(network, recipe)

    def measure(network: LineNet) -> str:
        right, count = lines_right(network, validation)
        return f"{right} of {count} lines right, {right / count:.1%}"

    trainer = line_trainer(recipe, learnt, workers=given.workers)
    train_to_file(trainer, given, encode, measure=measure, unit="lines")


if __name__ == "__main__":
    run_command(main)
