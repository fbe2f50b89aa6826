"""`kalamos evaluate`: measure a model on a dataset's test split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kalamos.cli.completion import complete_datasets, complete_models

if TYPE_CHECKING:
    from kalamos.evaluation.evaluate import Evaluation


def evaluate(
    model: Annotated[str, typer.Argument(help="A shipped model or a file.", autocompletion=complete_models)],
    dataset: Annotated[str, typer.Argument(help="A dataset's name.", autocompletion=complete_datasets)],
    report: Annotated[
        Path | None,
        typer.Option(help="Also write metrics.json and mistakes.png to this folder.", show_default=False),
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Store the figures in the model file, and write its card.")
    ] = False,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where datasets lie. [default: $KALAMOS_DATA]", show_default=False)
    ] = None,
) -> None:
    """Measure a model on the official test split: accuracy with its 95 % interval, calibration, mistakes."""
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
        typer.echo(f"wrote {report}/metrics.json and mistakes.png")
    if record:
        from kalamos.cli.extras import require_training

        require_training()
        from kalamos.evaluation.report import as_metric
        from kalamos.export.onnx_file import record_metric
        from kalamos.zoo.card import write_card

        path = find_model(model)
        record_metric(path, as_metric(measured, dataset, "test"))
        typer.echo(f"recorded in {path} and {write_card(path)}")


def _print(model: str, dataset: str, measured: Evaluation) -> None:
    low, high = measured.interval
    wrong = measured.n - int(measured.correct.sum())
    typer.echo(f"{model} on {dataset} test, n = {measured.n:,}")
    typer.echo(f"  accuracy  {measured.accuracy:.2%}  95 % interval [{low:.2%}, {high:.2%}]  {wrong} wrong")
    if measured.unread:
        typer.echo(f"  unread    {measured.unread:,} (blank), counted as wrong")
    typer.echo(f"  ECE       {measured.ece:.2%}")
    confused = ", ".join(f"{t} as {p} ({count})" for t, p, count in measured.most_confused())
    typer.echo(f"  confused  {confused or 'nothing'}")
