"""`kalamos evaluate`: measure a model on a dataset's test split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kalamos.cli.names import DatasetName, ModelName
from kalamos.cli.options import data_dir_option

if TYPE_CHECKING:
    from kalamos.evaluation.evaluate import Evaluation


@click.command(no_args_is_help=True)
@click.argument("model", type=ModelName())
@click.argument("dataset", type=DatasetName())
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    help="Also write metrics.json and mistakes.png to this folder.",
)
@click.option("--record", is_flag=True, help="Store the figures in the model file, and write its card.")
@data_dir_option
def evaluate(model: str, dataset: str, report: Path | None, record: bool, data_dir: Path | None) -> None:
    """Measure MODEL on DATASET's official test split: accuracy, its 95 % interval, calibration."""
    from kalamos.datasets import load_dataset
    from kalamos.evaluation.evaluate import evaluate as measure
    from kalamos.recognizer import load
    from kalamos.zoo import find_model

    reader = load(model)
    data = load_dataset(dataset, data_dir)
    measured = measure(reader, data.test, data.alphabet.labels)
    _print(model, dataset, measured)
    if report is not None:
        from kalamos.evaluation.report import write_report

        write_report(report, measured, data.test, reader)
        click.echo(f"wrote {report}/metrics.json and mistakes.png")
    if record:
        from kalamos.cli.extras import require_training

        require_training()
        from kalamos.evaluation.report import as_metric
        from kalamos.export.onnx_file import record_metric
        from kalamos.zoo.card import write_card

        path = find_model(model)
        record_metric(path, as_metric(measured, dataset, "test"))
        click.echo(f"recorded in {path} and {write_card(path)}")


def _print(model: str, dataset: str, measured: Evaluation) -> None:
    low, high = measured.interval
    wrong = measured.n - int(measured.correct.sum())
    click.echo(f"{model} on {dataset} test, n = {measured.n:,}")
    click.echo(f"  accuracy  {measured.accuracy:.2%}  95 % interval [{low:.2%}, {high:.2%}]  {wrong} wrong")
    if measured.unread:
        click.echo(f"  unread    {measured.unread:,} (blank), counted as wrong")
    click.echo(f"  ECE       {measured.ece:.2%}")
    confused = ", ".join(f"{t} as {p} ({count})" for t, p, count in measured.most_confused())
    click.echo(f"  confused  {confused or 'nothing'}")
