"""`kalamos evaluate`, `robustness` and `ood`: measure a model on a dataset."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kalamos.cli._shared import (
    DATASET_NAME,
    MODEL_NAME,
    AliasedCommand,
    classes_option,
    data_dir_option,
    echo,
    format_option,
    predict_option,
    print_result,
    print_skipped,
    progress_callback,
    warn_deprecated,
)
from kalamos.errors import UsageError

if TYPE_CHECKING:
    from kalamos.datasets import ClassFolders
    from kalamos.evaluation.evaluate import EvalData
    from kalamos.model_file import Metric

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_OUTLIER_COUNT = 1000
DEFAULT_SEED = 42

_OPTIONS = (
    click.argument("model", type=MODEL_NAME),
    click.argument("dataset", type=DATASET_NAME),
    click.option(
        "--split",
        type=click.Choice(["test", "train", "val", "all"]),
        help="Which images.  [default: the test split if the dataset has one, else all]",
    ),
    click.option(
        "--split-of",
        "run",
        metavar="RUN",
        type=click.Path(path_type=Path),
        help="Split the dataset as the run in this folder did.  [default split: val]",
    ),
    click.option(
        "--report",
        type=click.Path(path_type=Path),
        metavar="FOLDER",
        help="Also write the figures (JSON), plots and a page (HTML) to this folder.",
    ),
    format_option,
    classes_option,
    data_dir_option,
)
_OLD_SPELLINGS = {"--part": "--split", "--run": "--split-of"}
_seed_option = click.option(
    "--seed", type=click.IntRange(0), default=DEFAULT_SEED, show_default=True, help="Random seed."
)


def _measurement_options(command: F) -> F:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


class _EvaluateCommand(AliasedCommand):
    """Passes `evaluate --shift` and `evaluate --outliers` on to the commands that have replaced them."""

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **more: Any) -> click.Context:
        for option, command in (("--shift", robustness), ("--outliers", ood)):
            if option in args:
                warn_deprecated(f"evaluate {option}", f"kalamos {command.name}")
                args = [argument for argument in args if argument != option]
                return command.make_context(command.name, args, *rest, **more)
        return super().make_context(info_name, args, *rest, **more)


@click.command(
    cls=_EvaluateCommand,
    old_spellings=_OLD_SPELLINGS,
    no_args_is_help=True,
    epilog="Exit status: 0 all images read, 1 no ink found on some, 2 wrong usage.",
)
@_measurement_options
@click.option(
    "-k",
    "--top-k",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Candidates per image for the top-k accuracy.",
)
@predict_option("charset")
@click.option("--record", is_flag=True, help="Store the figures in the model file, and write its card.")
@click.pass_context
def evaluate(
    context: click.Context,
    model: str,
    dataset: str,
    split: str | None,
    run: Path | None,
    report: Path | None,
    format_name: str,
    top_k: int,
    charset: str | None,
    record: bool,
    data_dir: Path | None,
    classes: ClassFolders | None,
) -> None:
    """Measure MODEL (a name or an .onnx file) on DATASET (a name, or a folder with one sub-folder per class).

    Reports accuracy with its 95 % interval, precision and recall per class, which classes are confused, and
    how well the confidences are calibrated.
    """
    from kalamos.evaluation.evaluate import evaluate_split
    from kalamos.evaluation.report import as_metric, metrics, print_evaluation, write_report
    from kalamos.evaluation.reporting import report_json

    if record:
        from kalamos.cli._shared import require_training

        if charset is not None:
            raise UsageError("--record stores figures of the whole alphabet", remedy="leave out --charset")
        require_training()
    inputs = _load_inputs(model, dataset, split, run, report, data_dir, classes, charset)
    reader, images, target = inputs.reader, inputs.split, inputs.target
    with progress_callback(total=len(images)) as on_progress:
        measured = evaluate_split(reader, images, inputs.labels, charset=charset, on_progress=on_progress)
    print_result(
        format_name,
        lambda: report_json(metrics(measured, target, reader, top_k=top_k)),
        lambda console: print_evaluation(console, measured, target, top_k=top_k),
    )
    if report is not None:
        names = write_report(report, measured, images, reader, target, top_k=top_k)
        _print_written(format_name, report, "report.html", names, plot="confusion.png")
    if record:
        _record(model, as_metric(measured, dataset, target.split), to_stderr=format_name == "json")
    if measured.unread:
        context.exit(1)


@click.command(
    cls=AliasedCommand,
    old_spellings={**_OLD_SPELLINGS, "--shift-limit": "--limit"},
    no_args_is_help=True,
    epilog="Exit status: 0 all images read, 1 no ink found on some before any corruption, 2 wrong usage.",
)
@_measurement_options
@click.option(
    "--limit",
    type=click.IntRange(0),
    default=1000,
    show_default=True,
    metavar="N",
    help="Size of the stratified sample of images; 0 takes all.",
)
@_seed_option
@click.pass_context
def robustness(
    context: click.Context,
    model: str,
    dataset: str,
    split: str | None,
    run: Path | None,
    report: Path | None,
    format_name: str,
    limit: int,
    seed: int,
    data_dir: Path | None,
    classes: ClassFolders | None,
) -> None:
    """Measure MODEL on DATASET under 30 corruptions at three strengths (those of MNIST-C, and a camera's)."""
    from kalamos.evaluation.robustness.canvas import STRENGTHS
    from kalamos.evaluation.robustness.corruptions import CORRUPTIONS
    from kalamos.evaluation.robustness.report import print_shift, shift_json, write_shift_report
    from kalamos.evaluation.robustness.suite import measure

    inputs = _load_inputs(model, dataset, split, run, report, data_dir, classes)
    reader, images, target = inputs.reader, inputs.split, inputs.target
    sampled = min(limit or len(images), len(images))
    with progress_callback(total=sampled * len(CORRUPTIONS) * len(STRENGTHS)) as on_progress:
        outcomes = measure(reader, images, inputs.labels, limit=limit, seed=seed, on_progress=on_progress)
    figures = outcomes.report()
    print_result(
        format_name,
        lambda: shift_json(figures, target, reader),
        lambda console: print_shift(console, figures, target),
    )
    if report is not None:
        names = write_shift_report(report, outcomes, figures, reader, target)
        _print_written(format_name, report, "shift.html", names, plot="shift.png")
    if figures.clean_no_ink:
        context.exit(1)


@click.command(
    cls=AliasedCommand,
    old_spellings={**_OLD_SPELLINGS, "--outlier-set": "--set", "--outlier-count": "--count"},
    no_args_is_help=True,
)
@_measurement_options
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="NAME",
    help="A set of outliers, or script:DATASET.  [repeatable; default: all]",
)
@click.option(
    "--count",
    type=click.IntRange(1),
    default=DEFAULT_OUTLIER_COUNT,
    show_default=True,
    metavar="N",
    help="Images per set.",
)
@_seed_option
def ood(
    model: str,
    dataset: str,
    split: str | None,
    run: Path | None,
    report: Path | None,
    format_name: str,
    sets: tuple[str, ...],
    count: int,
    seed: int,
    data_dir: Path | None,
    classes: ClassFolders | None,
) -> None:
    """Measure how well MODEL tells the characters of DATASET from out-of-distribution (OOD) images.

    These outliers are scribbles, paper, photos, shapes, textures and other scripts; what looks like one of
    the model's characters is measured apart.
    """
    from kalamos.evaluation.ood import default_sets, measure
    from kalamos.evaluation.ood.measure import outliers_json, print_outliers, write_outlier_report

    inputs = _load_inputs(model, dataset, split, run, report, data_dir, classes)
    reader, images, target = inputs.reader, inputs.split, inputs.target
    names = sets or default_sets(reader.spec.alphabet)
    # A script's look-alikes are measured too, apart.
    measured = len(names) + sum(name.startswith("script:") for name in names)
    with progress_callback(total=len(images) + measured * count) as on_progress:
        found = measure(reader, images, names, count, seed, data_dir=data_dir, on_progress=on_progress)
    print_result(
        format_name,
        lambda: outliers_json(found, target),
        lambda console: print_outliers(console, found, target),
    )
    if report is not None:
        written = write_outlier_report(report, found, target)
        echo(f"wrote {' and '.join(f'{report}/{name}' for name in written)}", err=format_name == "json")


def _load_inputs(
    model: str,
    dataset: str,
    split: str | None,
    run: Path | None,
    report: Path | None,
    data_dir: Path | None,
    classes: ClassFolders | None,
    charset: str | None = None,
) -> EvalData:
    """Load the model and the images, print what was skipped, and make the folder for the report."""
    from kalamos.evaluation.evaluate import load_eval_data
    from kalamos.evaluation.reporting import make_folder

    data = load_eval_data(
        model, dataset, split=split, split_of=run, charset=charset, data_dir=data_dir, classes=classes
    )
    print_skipped(dataset, data.skipped)
    left_out = data.target.left_out
    if left_out:
        total = left_out + len(data.split)
        echo(f"{dataset}: left out {left_out:,} of {total:,} images, not in the charset", err=True)
    if report is not None:
        make_folder(report)
    return data


def _print_written(format_name: str, report: Path, page: str, names: Sequence[str], *, plot: str) -> None:
    echo(f"wrote {report}/{page} and {len(names) - 1} files beside it", err=format_name == "json")
    if plot not in names:
        echo("plots are missing: they need pip install 'kalamos[train]'", err=True)


def _record(model: str, metric: Metric, *, to_stderr: bool) -> None:
    from kalamos.learn.export.onnx_format import record_metric
    from kalamos.zoo import find_model, write_card

    path = find_model(model)
    record_metric(path, metric)
    echo(f"recorded in {path} and {write_card(path)}", err=to_stderr)
