"""`kalamos evaluate --outliers`: the options and the work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kalamos.cli.terminal import echo, echo_json
from kalamos.errors import UsageError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from kalamos.datasets import Split
    from kalamos.evaluation.evaluate import EvalTarget
    from kalamos.recognizer import Recognizer

__all__ = ["evaluate_outliers", "outlier_options", "refuse_beside_outliers"]

F = TypeVar("F", bound=Callable[..., Any])
Progress = Callable[[int], "AbstractContextManager[Callable[[int], None]]"]

DEFAULT_COUNT, DEFAULT_SEED = 1000, 42


def outlier_options(command: F) -> F:
    """`--outliers`, `--outlier-set`, `--outlier-count`."""
    for option in (
        click.option(
            "--outlier-count", type=click.IntRange(1), metavar="N",
            help=f"Images of each set.  [default: {DEFAULT_COUNT}]",
        ),
        click.option(
            "--outlier-set", "outlier_sets", multiple=True, metavar="NAME",
            help="One of them, or script:DATASET; may be repeated.  [default: all]",
        ),
        click.option(
            "--outliers", is_flag=True,
            help="Measure instead how well it rejects scribbles, paper, photos, shapes, textures, scripts.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def refuse_beside_outliers(
    *,
    outliers: bool,
    count: int | None,
    sets: tuple[str, ...],
    shift: bool,
    limit: int | None,
    record: bool,
    charset: str | None,
) -> None:
    """Raise `UsageError` for options that belong to another measurement."""
    given = "--outlier-count" if count is not None else "--outlier-set" if sets else ""
    if given and not outliers:
        raise UsageError(f"{given} is of the outliers", remedy="add --outliers")
    others = {
        "--shift": shift,
        "--shift-limit": limit is not None,
        "--record": record,
        "--charset": charset is not None,
    }
    for option, used in others.items():
        if used and outliers:
            raise UsageError(f"{option} does not go with --outliers", remedy="measure twice, once with each")


def evaluate_outliers(
    reader: Recognizer,
    images: Split,
    subject: EvalTarget,
    *,
    sets: tuple[str, ...],
    count: int | None,
    seed: int | None,
    form: str,
    report: Path | None,
    data_dir: Path | None,
    progress: Progress,
) -> None:
    """Measure, print, and write the report where one is asked for."""
    from kalamos.evaluation.html import make_folder
    from kalamos.outliers import default_sets, measure
    from kalamos.outliers.saving import outliers_json, write_outlier_report

    names = sets or default_sets(reader.spec.alphabet)
    count = count or DEFAULT_COUNT
    seed = DEFAULT_SEED if seed is None else seed
    if report is not None:
        make_folder(report)
    with progress(len(images) + len(names) * count) as on_progress:
        found = measure(reader, images, names, count, seed, data_dir=data_dir, on_progress=on_progress)
    if form == "json":
        echo_json(outliers_json(found, subject), nl=False)
    else:
        from rich.console import Console

        from kalamos.outliers.console import print_outliers

        print_outliers(Console(highlight=False), found, subject)
    if report is not None:
        written = write_outlier_report(report, found, subject)
        echo(f"wrote {' and '.join(f'{report}/{name}' for name in written)}", err=form == "json")
