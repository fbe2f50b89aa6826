"""`kalamos data inspect`: find what is wrong with a dataset."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from kalamos.cli.names import DatasetName
from kalamos.cli.options import data_dir_option
from kalamos.cli.terminal import echo, echo_json


@click.command(
    no_args_is_help=True,
    epilog="Exit status: 0 no errors (there may be warnings), 1 errors were found, 2 wrong usage.",
)
@click.argument("dataset", type=DatasetName())
@click.option(
    "-f", "--format", "format_name", type=click.Choice(["text", "json"]), default="text", show_default=True
)
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    metavar="FILE.html|FOLDER",
    help="Also write a page with images; to a folder, also the findings as JSON.",
)
@click.option(
    "--labels/--no-labels",
    default=True,
    show_default=True,
    help="Look for likely label errors. Needs `pip install 'kalamos[doctor]'`.",
)
@click.option(
    "--sample",
    type=click.IntRange(1),
    help="Look for label errors in a random sample of about this size.  [default: 50000]",
)
@click.option(
    "--most",
    type=click.IntRange(0),
    default=3,
    show_default=True,
    help="Examples of each finding in the text.",
)
@data_dir_option
def inspect(
    dataset: str,
    format_name: str,
    report: Path | None,
    labels: bool,
    sample: int | None,
    most: int,
    data_dir: Path | None,
) -> None:
    """Find what is wrong with DATASET: a name, a folder with one sub-folder per class, a CSV file or a zip.

    Errors: unreadable or misplaced images; blank images; equal images under two labels, in two splits or
    in two groups; classes without a training image.

    Warnings: near duplicates; equal images within a split; likely label errors; ink that is not found;
    mixed polarity; unusual sizes; classes with few images, absent from a split or imbalanced; other files.
    """
    from kalamos.doctor import inspect as inspect_dataset
    from kalamos.doctor.examination import DEFAULT_LABEL_SAMPLE

    diagnosis = inspect_dataset(
        dataset, labels=labels, sample=sample or DEFAULT_LABEL_SAMPLE, data_dir=data_dir
    )
    if report is not None:
        from kalamos.doctor.report import write_report

        write_report(report, diagnosis)
    if format_name == "json":
        from kalamos.doctor.records import as_record
        from kalamos.evaluation.html import report_json

        echo_json(report_json(as_record(diagnosis)), nl=False)
    else:
        from rich.console import Console

        from kalamos.doctor.console import print_diagnosis

        print_diagnosis(Console(highlight=False), diagnosis, most=most)
        if report is not None:
            echo(f"\nwrote {report}")
    sys.exit(1 if diagnosis.errors else 0)
