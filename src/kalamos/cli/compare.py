"""`kalamos compare`: which of several systems is better, and whether the difference is significant.

Progress of a comparison: which run it is at, and each training as `kalamos train` shows it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kalamos.cli._shared import (
    AliasedCommand,
    ArchitectureName,
    DatasetName,
    allow_any_label,
    data_dir_option,
    echo,
)
from kalamos.cli.train import (
    RECIPE_OPTIONS,
    TrainingProgress,
    choose_device,
    dataset_stem,
    given_options,
    parse_settings,
    training_options,
    training_progress,
)
from kalamos.errors import UsageError
from kalamos.learn.callbacks import EpochReport, Start, StepReport
from kalamos.learn.compare import ComparisonCallback
from kalamos.learn.compare.systems import SeededRun, System

if TYPE_CHECKING:
    from kalamos.datasets import SkippedFile
    from kalamos.learn import Recipe
    from kalamos.learn.compare.outcomes import Comparison


class Seeds(click.ParamType[tuple[int, ...]]):
    """`42,43,44`."""

    name = "N,N,…"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        try:
            seeds = tuple(int(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list of whole numbers, such as 42,43,44", param, ctx)
        if min(seeds) < 0:
            self.fail(f"{min(seeds)} is not a seed: seeds start at 0", param, ctx)
        return seeds


@click.command(
    cls=AliasedCommand,
    old_spellings={"--seed": "--seeds"},
    no_args_is_help=True,
    epilog="Exit status: 0 all compared, 1 a system failed and the others were compared, 2 wrong usage.",
)
@click.argument("dataset", type=DatasetName())
@click.option(
    "--arch",
    "archs",
    type=ArchitectureName(),
    multiple=True,
    help="A system: this architecture.  [repeatable]",
)
@click.option(
    "--recipe",
    "recipes",
    type=click.Path(path_type=Path),
    metavar="FILE",
    multiple=True,
    help="A system: this TOML recipe, on DATASET.  [repeatable]",
)
@click.option(
    "--run",
    "runs",
    type=click.Path(path_type=Path),
    metavar="RUN",
    multiple=True,
    help="A system: this finished run. Runs that differ only in the seed are one system.  [repeatable]",
)
@click.option(
    "--seeds",
    type=Seeds(),
    multiple=True,
    help="Train each system with each of these random seeds.  [default: 42, or the recipe's; repeatable]",
)
@training_options
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Folder for runs, models and results.  [default: runs/compare-DATASET]",
)
@data_dir_option
@click.pass_context
def compare(
    context: click.Context,
    /,
    dataset: str,
    archs: tuple[str, ...],
    recipes: tuple[Path, ...],
    runs: tuple[Path, ...],
    seeds: tuple[tuple[int, ...], ...],
    settings: tuple[str, ...],
    device: str,
    no_cuda: bool,
    workers: int,
    output: Path | None,
    data_dir: Path | None,
    **options: Any,
) -> None:
    """Compare systems on DATASET: accuracy, parameters, size, speed, training time, significance.

    Each --arch, --recipe and --run is a system; those that are not trained yet are trained, with the
    same options. If interrupted, run the same command again to continue. All are measured on the same
    images: the dataset's test split if it has one, else the images that the runs held out. Writes
    comparison.json, comparison.md and comparison.png.
    """
    from kalamos.cli._shared import require_training

    require_training()
    chosen_device = choose_device(device, no_cuda=no_cuda)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(
            "compare runs in one process", remedy="train under torchrun, then compare with --run"
        )
    overrides = [given_options(options, RECIPE_OPTIONS), parse_settings(settings)]
    all_seeds = tuple(chain(*seeds))
    if (any(overrides) or all_seeds) and not archs and not recipes:
        given = [*overrides[0], *overrides[1], *(["seed"] if all_seeds else [])]
        raise UsageError(
            f"{', '.join(given)}: nothing is trained here, all systems are finished runs",
            remedy="leave out the training options",
        )

    from kalamos.learn.compare import run_comparison
    from kalamos.learn.compare.report import FILES, print_comparison, save_comparison
    from kalamos.learn.compare.systems import assemble

    folder = output or Path("runs") / f"compare-{dataset_stem(dataset)}"
    named = _recipes(dataset, archs, recipes, overrides)
    systems = assemble(folder, recipes=named, seeds=all_seeds, runs=runs)
    with comparison_context(systems) as callback:
        found = run_comparison(
            dataset,
            systems,
            folder,
            data_dir=data_dir,
            device=chosen_device,
            workers=workers,
            callback=callback,
        )
    save_comparison(found, folder)
    echo()
    _print(print_comparison, found)
    echo(f"\nwrote {', '.join(FILES[:-1])} and {FILES[-1]} to {folder}")
    if found.failures:
        context.exit(1)


def _recipes(
    dataset: str, archs: tuple[str, ...], files: tuple[Path, ...], overrides: list[dict[str, Any]]
) -> list[tuple[str, Recipe]]:
    """Return the systems to be trained, with their names."""
    from kalamos.learn import Recipe, load_recipe

    for key, instead in (("dataset", "DATASET"), ("arch", "--arch"), ("seed", "--seed")):
        if key in overrides[1]:
            raise UsageError(f"--set {key}: not the same for all systems", remedy=f"use {instead}")

    def over(base: Recipe, **own: Any) -> Recipe:
        for override in (*overrides, {**own, "dataset": dataset}):
            base = base.with_overrides(override)
        return base

    named = [(arch, over(Recipe(), arch=arch)) for arch in archs]
    return named + [(path.stem, over(load_recipe(path))) for path in files]


def _print(show: Any, found: Comparison) -> None:
    from rich.console import Console

    from kalamos.learn.compare.report import WIDTH

    allow_any_label()
    console = Console()
    # In a file or a pipe the table has its full width; rich would take 80 columns.
    show(console if console.is_terminal else Console(width=WIDTH), found)


STATES = {
    "given": "a finished run",
    "finished": "already finished",
    "interrupted": "continuing",
    "new": "training",
}


@contextmanager
def comparison_context(systems: Sequence[System]) -> Iterator[ComparisonCallback]:
    """Show a comparison, and after an interruption print how to continue it."""
    progress = _ComparisonProgress(sum(len(system.members) for system in systems))
    try:
        yield progress
    except KeyboardInterrupt:
        progress.on_trained()
        print("\nstopped; run the same command again to continue", file=sys.stderr)
        raise
    finally:
        progress.on_trained()


class _ComparisonProgress(ComparisonCallback):
    def __init__(self, total: int) -> None:
        self._total = total
        self._count = 0
        self._training = TrainingProgress()
        self._skipped: set[frozenset[SkippedFile]] = set()

    def on_member(self, system: System, member: SeededRun, state: str) -> None:
        self._count += 1
        echo(f"[{self._count} of {self._total}] {_name(system, member)}: {STATES[state]} ({member.folder})")
        self._training = training_progress()

    def on_skipped_files(self, dataset: str, problems: Sequence[SkippedFile]) -> None:
        files = frozenset(problems)  # in any order: that depends on the seed
        if files not in self._skipped:
            self._skipped.add(files)
            self._training.on_skipped_files(dataset, problems)

    def on_start(self, start: Start) -> None:
        self._training.on_start(start)

    def on_step(self, report: StepReport) -> None:
        self._training.on_step(report)

    def on_epoch(self, report: EpochReport) -> None:
        self._training.on_epoch(report)

    def on_trained(self) -> None:
        self._training.close()

    def on_measured(self, system: System, member: SeededRun, accuracy: float) -> None:
        echo(f"{_name(system, member)}: accuracy {accuracy:.2%}")

    def on_failure(self, system: System, member: SeededRun, error: Exception) -> None:
        self._training.close()
        echo(f"{_name(system, member)}: failed: {error}", err=True)

    def on_timing(self) -> None:
        echo("timing all models, interleaved")


def _name(system: System, member: SeededRun) -> str:
    return f"{system.name}, seed {member.recipe.seed}"
