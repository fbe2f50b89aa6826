"""`kalamos teach` (`fine-tune`): make a new model from an old one and a few examples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kalamos.cli._shared import (
    DATASET_NAME,
    MODEL_NAME,
    data_dir_option,
    echo,
    format_option,
    licence_option,
    print_licence,
    print_result,
    print_skipped,
)

if TYPE_CHECKING:
    from kalamos.finetune import FineTuned, Score


@click.command(no_args_is_help=True, epilog="Exit status: 0 all examples used, 1 some not, 2 wrong usage.")
@click.argument("model", type=MODEL_NAME)
@click.argument("folder", type=DATASET_NAME)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="The new model file, NEW.onnx."
)
@click.option(
    "--holdout",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.2,
    show_default=True,
    metavar="SHARE",
    help="The share of each class to hold out for measuring accuracy; 0 measures nothing.",
)
@click.option("--name", help="Name of the new model.  [default: the output's name]")
@click.option("--seed", type=click.IntRange(0), default=42, show_default=True, help="Random seed.")
@click.option("--force", is_flag=True, help="Replace an existing file; never the old model.")
@format_option
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
    format_name: str,
    licence: str | None,
    data_dir: Path | None,
) -> None:
    """Fine-tune MODEL (a name or an .onnx file) on the characters in FOLDER, also of new classes.

    5 to 20 examples per class are enough. FOLDER has one sub-folder per class, or is a CSV file with
    path,label, or a zip archive of either. The old model stays as it is. Accuracy before and after is
    measured on held-out examples; the new model then learns from all of them. Takes seconds on a CPU, and
    needs no PyTorch. `kalamos fine-tune` is the same command.
    """
    from kalamos.finetune import check_target, fine_tune
    from kalamos.model_file.spec import NOT_STATED, check_licence
    from kalamos.zoo import find_model

    chosen = NOT_STATED if licence is None else check_licence(licence)
    check_target(output, find_model(model), force=force)
    tuned = fine_tune(
        model,
        folder,
        name=name or output.stem,
        holdout=holdout,
        seed=seed,
        licence=chosen,
        data_dir=data_dir,
    )
    tuned.save(output, force=force)
    print_result(
        format_name,
        lambda: json.dumps(_as_json(tuned, model, output), ensure_ascii=False, indent=2),
        lambda _: _print_outcome(tuned, model, output),
    )
    print_skipped(folder, tuned.problems)
    if tuned.problems:
        context.exit(1)


def _print_outcome(tuned: FineTuned, model: str, output: Path) -> None:

    before, after = tuned.before, tuned.after
    echo(f"{output}: {len(tuned.labels):,} classes, fine-tuned from {model} on {tuned.n:,} examples")
    if tuned.new_labels:
        echo(f"new classes: {' '.join(tuned.new_labels)}")
    if not after.n:
        echo("nothing held out, so nothing measured: that takes at least two examples per class")
    if after.new_n:
        echo(f"new classes   {_share(after.new_right, after.new_n)} held-out examples right")
    if after.known_n:
        was, now = _share(before.known_right, before.known_n), _share(after.known_right, after.known_n)
        echo(f"known classes {now} held-out examples right, before: {was}")
    elif tuned.new_labels:
        echo("no examples of known classes, so the accuracy on those is not measured")
    print_licence(tuned.spec)


def _share(right: int, n: int) -> str:
    return f"{right:,} of {n:,} ({right / n:.1%})"


def _as_json(tuned: FineTuned, model: str, output: Path) -> dict[str, Any]:
    return {
        "model": output.as_posix(),
        "name": tuned.spec.name,
        "taught_from": model,
        "examples": tuned.n,
        "temperature": tuned.spec.temperature,
        "licence": tuned.spec.licence,
        "labels": list(tuned.labels),
        "new_labels": list(tuned.new_labels),
        "before": _score_json(tuned.before),
        "after": _score_json(tuned.after),
        "problems": [{"where": each.where, "what": each.what} for each in tuned.problems],
    }


def _score_json(score: Score) -> dict[str, Any]:
    return {
        "n": score.n,
        "accuracy": score.accuracy,
        "known": {"n": score.known_n, "right": score.known_right, "accuracy": score.known_accuracy},
        "new": {"n": score.new_n, "right": score.new_right, "accuracy": score.new_accuracy},
    }
