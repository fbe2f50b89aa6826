"""`kalamos evaluate --shift`: the options and the work of the shift suite."""

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

__all__ = ["evaluate_under_shift", "refuse_mixture", "shift_options"]

F = TypeVar("F", bound=Callable[..., Any])
Progress = Callable[[int], "AbstractContextManager[Callable[[int], None]]"]


def shift_options(command: F) -> F:
    """`--shift`, `--shift-limit`, `--seed`."""
    for option in (
        click.option("--seed", type=click.IntRange(0), help="Of all that is drawn.  [default: 42]"),
        click.option(
            "--shift-limit", type=click.IntRange(0), metavar="N",
            help="Images of the suite, a stratified sample; 0 takes all.  [default: 1000]",
        ),
        click.option(
            "--shift", is_flag=True,
            help="Measure under 30 corruptions at three strengths instead (MNIST-C's, and a camera's).",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def refuse_mixture(
    *, shift: bool, limit: int | None, seed: int | None, record: bool, charset: str | None
) -> None:
    """Raise `UsageError` for options that belong to the other measurement."""
    given = "--shift-limit" if limit is not None else "--seed" if seed is not None else ""
    if given and not shift:
        remedy = "add --shift, or --outliers" if given == "--seed" else "add --shift"
        raise UsageError(f"{given} is of the shift suite", remedy=remedy)
    unfit = "--record" if record else "--charset" if charset is not None else ""
    if unfit and shift:
        raise UsageError(f"{unfit} does not go with --shift", remedy="measure twice, once with each")


def evaluate_under_shift(
    reader: Recognizer,
    images: Split,
    labels: tuple[str, ...],
    subject: EvalTarget,
    *,
    limit: int | None,
    seed: int | None,
    form: str,
    report: Path | None,
    progress: Progress,
) -> int:
    """Measure, print, and write the report where one is asked for.

    Returns:
        How many of the images had no ink before anything was done to them.
    """
    from kalamos.evaluation.html import make_folder
    from kalamos.shift.catalogue import STRENGTHS
    from kalamos.shift.corruptions import CORRUPTIONS
    from kalamos.shift.saving import shift_json, write_shift_report
    from kalamos.shift.suite import DEFAULT_LIMIT, DEFAULT_SEED, measure

    limit = DEFAULT_LIMIT if limit is None else limit
    seed = DEFAULT_SEED if seed is None else seed
    if report is not None:
        make_folder(report)
    sampled = min(limit or len(images), len(images))
    with progress(sampled * len(CORRUPTIONS) * len(STRENGTHS)) as on_progress:
        outcomes = measure(reader, images, labels, limit=limit, seed=seed, on_progress=on_progress)
    figures = outcomes.report()
    if form == "json":
        echo_json(shift_json(figures, subject, reader), nl=False)
    else:
        from rich.console import Console

        from kalamos.shift.console import print_shift

        print_shift(Console(highlight=False), figures, subject)
    if report is not None:
        names = write_shift_report(report, outcomes, figures, reader, subject)
        echo(f"wrote {report}/shift.html and {len(names) - 1} files beside it", err=form == "json")
        if "shift.png" not in names:
            echo("without the plot: it needs pip install 'kalamos[train]'", err=True)
    return figures.clean_no_ink
