"""`kalamos teach`: a new model from an old one and a few examples."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kalamos.cli.names import DatasetName, ModelName
from kalamos.cli.options import data_dir_option, licence_option
from kalamos.cli.terminal import echo, echo_json

if TYPE_CHECKING:
    from kalamos.teaching import FineTuned, Score

SHOWN = 5
"""Problems that are named."""


@click.command(no_args_is_help=True, epilog="Exit status: 0 all learnt, 1 some examples not, 2 wrong usage.")
@click.argument("model", type=ModelName())
@click.argument("folder", type=DatasetName())
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="The new model file, NEW.onnx."
)
@click.option(
    "--holdout",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.2,
    show_default=True,
    metavar="SHARE",
    help="The share of each class that is held back to measure on; 0 measures nothing.",
)
@click.option("--name", help="What the new model calls itself.  [default: the output's name]")
@click.option("--seed", type=click.IntRange(0), default=42, show_default=True)
@click.option("--force", is_flag=True, help="Replace a file that is there already; never the old model.")
@click.option(
    "-f", "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True
)
@licence_option
@data_dir_option
@click.pass_context
def teach(
    context: click.Context,
    model: str,
    folder: str,
    output: Path,
    holdout: float,
    name: str | None,
    seed: int,
    force: bool,
    form: str,
    licence: str | None,
    data_dir: Path | None,
) -> None:
    """Teach MODEL (a name or an .onnx file) the characters in FOLDER, also of new classes: 5 to 20 each do.

    FOLDER has one sub-folder a class, or is a CSV file with path,label, or a zip archive of either. The old
    model stays as it is. Accuracy before and after is that on held-back examples; the new model has then
    learnt from all of them. Takes seconds on a CPU, and needs no PyTorch.
    """
    from kalamos.model_file.licence import NOT_STATED, check_licence
    from kalamos.passed_over import file_kind, foreign_files
    from kalamos.recognizer import load
    from kalamos.teaching import fine_tune, load_examples
    from kalamos.teaching.lesson import check_target
    from kalamos.zoo import find_model

    chosen = NOT_STATED if licence is None else check_licence(licence)
    check_target(output, find_model(model), force=force)
    examples = load_examples(folder, data_dir)
    lesson = fine_tune(
        load(model), examples, name=name or output.stem, holdout=holdout, seed=seed, licence=chosen
    )
    lesson.save(output, force=force)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A label that the terminal's encoding lacks must not end the report.
        sys.stdout.reconfigure(errors="backslashreplace")
    if form == "json":
        echo_json(json.dumps(_as_json(lesson, model, output), ensure_ascii=False, indent=2))
    else:
        _tell(lesson, model, output)
    for line in foreign_files(problem.where for problem in lesson.problems).lines():
        echo(f"passed over: {line}", err=True)
    others = [problem for problem in lesson.problems if file_kind(problem.where.strip("'")) is None]
    for problem in others[:SHOWN]:
        echo(f"passed over: {problem}", err=True)
    if len(others) > SHOWN:
        echo(f"passed over: {len(others) - SHOWN:,} more", err=True)
    if lesson.problems:
        context.exit(1)


def _tell(lesson: FineTuned, model: str, output: Path) -> None:
    from kalamos.model_file.licence import NOT_STATED, licence_text
    from kalamos.zoo.card import calibration

    before, after = lesson.before, lesson.after
    echo(f"{output}: {len(lesson.labels):,} classes, taught from {model} with {lesson.n:,} examples")
    if lesson.new_labels:
        echo(f"new classes: {' '.join(lesson.new_labels)}")
    if not after.n:
        echo("nothing held back, so nothing measured: that takes two examples of a class or more")
    if after.new_n:
        echo(f"new classes   {_share(after.new_right, after.new_n)} held-back examples right")
    if after.known_n:
        was, now = _share(before.known_right, before.known_n), _share(after.known_right, after.known_n)
        echo(f"known classes {now} held-back examples right, before: {was}")
    elif lesson.new_labels:
        echo("no examples of known classes, so what became of those is not measured")
    choose = "; choose one with --licence" if lesson.spec.licence == NOT_STATED else ""
    echo(f"temperature {calibration(lesson.spec)}\nlicence: {licence_text(lesson.spec.licence)}{choose}")


def _share(right: int, n: int) -> str:
    return f"{right:,} of {n:,} ({right / n:.1%})"


def _as_json(lesson: FineTuned, model: str, output: Path) -> dict[str, Any]:
    return {
        "model": output.as_posix(),
        "name": lesson.spec.name,
        "taught_from": model,
        "examples": lesson.n,
        "temperature": lesson.spec.temperature,
        "licence": lesson.spec.licence,
        "labels": list(lesson.labels),
        "new_labels": list(lesson.new_labels),
        "before": _score_json(lesson.before),
        "after": _score_json(lesson.after),
        "problems": [{"where": each.where, "what": each.what} for each in lesson.problems],
    }


def _score_json(score: Score) -> dict[str, Any]:
    return {
        "n": score.n,
        "accuracy": score.accuracy,
        "known": {"n": score.known_n, "right": score.known_right, "accuracy": score.known_accuracy},
        "new": {"n": score.new_n, "right": score.new_right, "accuracy": score.new_accuracy},
    }
