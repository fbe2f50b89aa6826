"""`kalamos compare`: which of several systems is better, and whether that is more than luck."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kalamos.cli.names import ArchitectureName, DatasetName
from kalamos.cli.options import data_dir_option
from kalamos.cli.terminal import echo
from kalamos.cli.training_options import KEYS, choose_device, parse_settings, training_options
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
            self.fail(f"{min(seeds)} is not a seed; seeds begin at 0", param, ctx)
        return seeds


@click.command(
    no_args_is_help=True,
    epilog="Exit status: 0 all compared, 1 a system failed and the others were compared, 2 wrong usage.",
)
@click.argument("dataset", type=DatasetName())
@click.option(
    "--arch", "archs", type=ArchitectureName(), multiple=True, help="A system: this network.  [repeatable]"
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
    help="A system: this finished run. Runs that differ only in the seed are one.  [repeatable]",
)
@click.option(
    "--seeds", type=Seeds(), help="Train each with every one of these.  [default: 42, or the recipe's]"
)
@click.option(
    "--seed", "seed", type=click.IntRange(0), multiple=True, help="The same, one by one.  [repeatable]"
)
@training_options
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The folder for runs, models and results.  [default: runs/compare-DATASET]",
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
    seeds: tuple[int, ...] | None,
    seed: tuple[int, ...],
    settings: tuple[str, ...],
    device: str,
    no_cuda: bool,
    workers: int,
    output: Path | None,
    data_dir: Path | None,
    **over: Any,
) -> None:
    """Compare systems on DATASET: accuracy, parameters, size, speed, training time, significance.

    Each --arch, --recipe and --run is a system; those that are not trained yet are trained, with the
    same options. Killed and repeated, the same command goes on where it was. All are measured on the
    same images: the dataset's test split, else what the runs held out. Writes comparison.json,
    comparison.md and comparison.png.
    """
    from kalamos.cli.extras import require_training

    require_training()
    chosen_device = choose_device(device, no_cuda=no_cuda)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(
            "compare works in one process", remedy="train under torchrun, then compare with --run"
        )
    asked = {key: over[key] for key in KEYS if over[key] is not None}
    said = parse_settings(settings)
    all_seeds = (*(seeds or ()), *seed)
    if (asked or said or all_seeds) and not archs and not recipes:
        given = [*asked, *said, *(["seed"] if all_seeds else [])]
        raise UsageError(
            f"{', '.join(given)}: nothing is trained here, all systems are finished runs",
            remedy="leave the training options away",
        )

    from kalamos.cli.comparison_progress import told
    from kalamos.comparison.compare import compare as run_comparison
    from kalamos.comparison.saving import FILES, save_comparison
    from kalamos.comparison.systems import assemble
    from kalamos.comparison.table import print_comparison

    folder = output or Path("runs") / f"compare-{Path(dataset).stem or Path(dataset).resolve().stem}"
    named = _recipes(dataset, archs, recipes, asked, said)
    systems = assemble(folder, recipes=named, seeds=all_seeds, runs=runs)
    with told(systems) as callback:
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
    dataset: str,
    archs: tuple[str, ...],
    files: tuple[Path, ...],
    asked: dict[str, Any],
    said: dict[str, Any],
) -> list[tuple[str, Recipe]]:
    """The systems to be trained: names and recipes."""
    from kalamos.training import Recipe, load_recipe

    for key, instead in (("dataset", "DATASET"), ("arch", "--arch"), ("seed", "--seed")):
        if key in said:
            raise UsageError(f"--set {key}: this is not the same for all", remedy=f"use {instead}")

    def over(base: Recipe, **own: Any) -> Recipe:
        return base.with_overrides(asked).with_overrides(said).with_overrides({**own, "dataset": dataset})

    named = [(arch, over(Recipe(), arch=arch)) for arch in archs]
    return named + [(path.stem, over(load_recipe(path))) for path in files]


def _print(show: Any, found: Comparison) -> None:
    from rich.console import Console

    from kalamos.comparison.table import WIDTH

    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name that the terminal's encoding lacks must not end the table.
        sys.stdout.reconfigure(errors="backslashreplace")
    console = Console()
    # Into a file or a pipe it is as wide as it likes; rich would take 80.
    show(console if console.is_terminal else Console(width=WIDTH), found)
