"""`kalamos evaluate`: measure a model on a dataset."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kalamos.cli.names import DatasetName, ModelName
from kalamos.cli.options import data_dir_option, predict_option
from kalamos.cli.outliers import evaluate_outliers, outlier_options, refuse_beside_outliers
from kalamos.cli.passed_over import tell_passed_over
from kalamos.cli.shift import evaluate_under_shift, refuse_mixture, shift_options
from kalamos.cli.terminal import echo, echo_json
from kalamos.errors import UsageError

if TYPE_CHECKING:
    from kalamos.datasets import Dataset, Split
    from kalamos.evaluation.evaluate import EvalTarget
    from kalamos.model_file import Metric


@click.command(
    no_args_is_help=True, epilog="Exit status: 0 all read, 1 some images have no ink, 2 wrong usage."
)
@click.argument("model", type=ModelName())
@click.argument("dataset", type=DatasetName())
@click.option(
    "--split",
    "--part",
    type=click.Choice(["test", "train", "val", "all"]),
    help="Which images.  [default: the test split where there is one, else all]",
)
@click.option(
    "--split-of",
    "--run",
    "run",
    type=click.Path(path_type=Path),
    help="Take the part from the split saved with this run folder.  [default part: val]",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    help="Also write figures (JSON), plots, pictures and a page (HTML) to this folder.",
)
@click.option(
    "-f", "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True
)
@click.option(
    "-k", "--top-k", type=click.IntRange(1), default=5, show_default=True, help="Candidates counted."
)
@predict_option("charset")
@click.option("--record", is_flag=True, help="Store the figures in the model file, and write its card.")
@shift_options
@outlier_options
@data_dir_option
@click.pass_context
def evaluate(
    context: click.Context,
    model: str,
    dataset: str,
    split: str | None,
    run: Path | None,
    report: Path | None,
    form: str,
    top_k: int,
    charset: str | None,
    record: bool,
    shift: bool,
    shift_limit: int | None,
    seed: int | None,
    outliers: bool,
    outlier_sets: tuple[str, ...],
    outlier_count: int | None,
    data_dir: Path | None,
) -> None:
    """Measure MODEL (a name or an .onnx file) on DATASET (a name, or a folder with one sub-folder a class).

    Accuracy with its 95 % interval, precision and recall by class, what is confused with what, what the
    confidences are worth.
    """
    from kalamos.datasets import load_dataset
    from kalamos.evaluation.evaluate import EvalTarget, filter_charset
    from kalamos.evaluation.evaluate import evaluate as measure
    from kalamos.evaluation.html import make_folder, report_json
    from kalamos.evaluation.report import as_metric, metrics, write_report
    from kalamos.recognizer import load

    if record and charset is not None:
        raise UsageError("--record keeps figures of the whole alphabet", remedy="leave out --charset")
    refuse_beside_outliers(
        outliers=outliers, count=outlier_count, sets=outlier_sets,
        shift=shift, limit=shift_limit, record=record, charset=charset,
    )  # fmt: skip
    refuse_mixture(shift=shift or outliers, limit=shift_limit, seed=seed, record=record, charset=charset)
    if record:
        from kalamos.cli.extras import require_training

        require_training()
    _refuse_folder(model)
    reader = load(model)
    data = load_dataset(dataset, data_dir)
    images, part = _choose(data, split, run)
    every = len(images)
    if charset is not None:
        images = filter_charset(images, data.alphabet.labels, reader.spec.alphabet, charset)
    subject = EvalTarget(model, dataset, part, len(data.problems), every - len(images))
    tell_passed_over(dataset, data.problems)
    _tell_left_out(subject, every)
    _allow_any_label()
    if shift:
        unread = evaluate_under_shift(
            reader, images, data.alphabet.labels, subject,
            limit=shift_limit, seed=seed, form=form, report=report, progress=_progress,
        )  # fmt: skip
        context.exit(1 if unread else 0)
    if outliers:
        evaluate_outliers(
            reader, images, subject, sets=outlier_sets, count=outlier_count, seed=seed,
            form=form, report=report, data_dir=data_dir, progress=_progress,
        )  # fmt: skip
        return
    if report is not None:
        make_folder(report)
    with _progress(len(images)) as on_progress:
        measured = measure(reader, images, data.alphabet.labels, charset=charset, on_progress=on_progress)
    if form == "json":
        echo_json(report_json(metrics(measured, subject, reader, top_k=top_k)), nl=False)
    else:
        from rich.console import Console

        from kalamos.evaluation.console import print_evaluation

        print_evaluation(Console(highlight=False), measured, subject, top_k=top_k)
    if report is not None:
        names = write_report(report, measured, images, reader, subject, top_k=top_k)
        echo(f"wrote {report}/report.html and {len(names) - 1} files beside it", err=form == "json")
        if "confusion.png" not in names:
            echo("without plots: they need pip install 'kalamos[train]'", err=True)
    if record:
        _record(model, as_metric(measured, dataset, part), told_apart=form == "json")
    if measured.unread:
        context.exit(1)


def _refuse_folder(model: str) -> None:
    from kalamos.zoo import names

    path = Path(model)
    if model in names() or not path.is_dir():
        return
    if (path / "run.json").is_file():
        raise UsageError(f"{model}: is a run, not a model", remedy=f"export it first: kalamos export {model}")
    raise UsageError(f"{model}: is a folder, not a model", remedy="name a shipped model or an .onnx file")


def _allow_any_label() -> None:
    """A label that the terminal's encoding lacks must not end the table; in JSON the escape is right too."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _record(model: str, metric: Metric, *, told_apart: bool) -> None:
    from kalamos.export.onnx_file import record_metric
    from kalamos.zoo import find_model
    from kalamos.zoo.card import write_card

    path = find_model(model)
    record_metric(path, metric)
    echo(f"recorded in {path} and {write_card(path)}", err=told_apart)


def _choose(data: Dataset, split: str | None, run: Path | None) -> tuple[Split, str]:
    from kalamos.evaluation.parts import dataset_split, run_split

    if run is None:
        return dataset_split(data, split)
    part = split or "val"
    if part == "all":
        raise UsageError(
            "--split-of RUN names one part of a split, --split all every image", remedy="drop one"
        )
    return run_split(data, run, part), f"{part} of {run}"


def _tell_left_out(subject: EvalTarget, every: int) -> None:
    if subject.left_out:
        told = f"{subject.left_out:,} of {every:,} images left out, not of the charset"
        echo(f"{subject.dataset}: {told}", err=True)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    bar = Progress(
        BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip
    with bar:
        task = bar.add_task("images", total=total)
        yield lambda done: bar.update(task, completed=done)
