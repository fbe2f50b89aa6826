"""`kalamos compare`: which of several systems is better, and whether the difference is significant."""

from __future__ import annotations

import os
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kalamos.cli.aliases import AliasedCommand
from kalamos.cli.names import ArchitectureName, DatasetName
from kalamos.cli.options import data_dir_option
from kalamos.cli.terminal import allow_any_label, echo
from kalamos.cli.training_options import (
    RECIPE_OPTIONS,
    choose_device,
    dataset_stem,
    given_options,
    parse_settings,
    training_options,
)
from kalamos.errors import UsageError

if TYPE_CHECKING:
    from kalamos.comparison.outcomes import Comparison
    from kalamos.training import Recipe


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
    from kalamos.cli.extras import require_training

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

    from kalamos.cli.comparison_progress import comparison_context
    from kalamos.comparison.compare import run_comparison
    from kalamos.comparison.saving import FILES, save_comparison
    from kalamos.comparison.systems import assemble
    from kalamos.comparison.table import print_comparison

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
    from kalamos.training import Recipe, load_recipe

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

    from kalamos.comparison.table import WIDTH

    allow_any_label()
    console = Console()
    # In a file or a pipe the table has its full width; rich would take 80 columns.
    show(console if console.is_terminal else Console(width=WIDTH), found)
