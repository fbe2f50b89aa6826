"""`kalamos train` and `kalamos compare`: train one network, or several and compare them."""

from __future__ import annotations

import os
import shlex
import tomllib
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kalamos.cli._shared import (
    ARCHITECTURE_NAME,
    AUGMENTATION_NAME,
    DATASET_NAME,
    AliasedCommand,
    allow_any_label,
    classes_option,
    data_dir_option,
    echo,
    require_training,
)
from kalamos.errors import UsageError

if TYPE_CHECKING:
    from kalamos.learn import Recipe, Run
    from kalamos.learn.compare.outcomes import Comparison

__all__ = ["parse_settings"]

Command = TypeVar("Command", bound=Callable[..., Any])

MIN_STEPS = 300
"""Optimiser steps below which averages such as batch norm's have hardly begun, however easy the images."""

RECIPE_OPTIONS = ("epochs", "batch_size", "lr", "optimizer", "schedule", "augmentation")
"""Options that set keys of a recipe; `--set` sets any key."""

_OPTIONS = (
    click.option("--epochs", type=click.IntRange(1), help="Epochs.  [default: 10]"),
    click.option("--batch-size", type=click.IntRange(1), help="Images per batch.  [default: 64]"),
    click.option(
        "--lr", type=click.FloatRange(0, min_open=True), help="Peak learning rate.  [default: 1e-3]"
    ),
    click.option("--optimizer", metavar="NAME", help="adamw, adam or sgd.  [default: adamw]"),
    click.option(
        "--schedule",
        metavar="NAME",
        help="one-cycle, cosine, step, plateau or constant.  [default: one-cycle]",
    ),
    click.option("--augmentation", type=AUGMENTATION_NAME, help="Augmentation policy.  [default: none]"),
    click.option(
        "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any other key of a recipe, as in TOML."
    ),
    click.option(
        "--device",
        type=click.Choice(["auto", "cpu", "cuda"]),
        default="auto",
        show_default=True,
        help="Where to train.",
    ),
    click.option("--no-cuda", is_flag=True, help="Same as --device cpu."),
    click.option(
        "--workers",
        type=click.IntRange(0),
        default=0,
        show_default=True,
        help="Data-loading threads.",
    ),
)


def training_options(command: Command) -> Command:
    """Add the options of `RECIPE_OPTIONS`, --set (as `settings`), --device, --no-cuda and --workers."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def choose_device(device: str, *, no_cuda: bool) -> str:
    """Return the device; raise `UsageError` if the two options contradict each other."""
    if no_cuda and device == "cuda":
        raise UsageError("--no-cuda and --device cuda contradict each other")
    return "cpu" if no_cuda else device


def parse_settings(settings: tuple[str, ...]) -> dict[str, Any]:
    """Return the recipe keys that several `--set KEY=VALUE` set.

    Raises:
        UsageError: one of them does not have this form.

    >>> parse_settings(("keep=best", "augmentation.rotate=3", "augmentation.shear=2"))
    {'keep': 'best', 'augmentation': {'rotate': 3, 'shear': 2}}
    """
    parsed: dict[str, Any] = {}
    for setting in settings:
        for key, value in _parse(setting).items():
            tables = isinstance(value, dict) and isinstance(parsed.get(key), dict)
            parsed[key] = {**parsed[key], **value} if tables else value
    return parsed


def given_options(options: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return those of the named options that were given on the command line."""
    return {name: options[name] for name in names if options[name] is not None}


def _parse(setting: str) -> dict[str, Any]:
    key, equals, value = setting.partition("=")
    try:
        return tomllib.loads(setting)
    except tomllib.TOMLDecodeError:
        pass
    if not equals or not key.strip():
        raise UsageError(f"--set {setting!r} is not KEY=VALUE", remedy="write for example --set patience=5")
    try:  # a shell has eaten the quotes
        return tomllib.loads(f"{key} = '{value}'")
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"--set {setting!r} cannot be read as TOML ({error})") from error


@click.command(no_args_is_help=True, epilog="Exit status: 0 all images used, 1 some not, 2 wrong usage.")
@click.argument("dataset", required=False, type=DATASET_NAME)
@click.option(
    "--arch",
    type=ARCHITECTURE_NAME,
    help="Network architecture.  [default: kalamos_xs; for your own images kalamos_glyphs]",
)
@click.option(
    "--weights", metavar="FILE", help="Start from a model, a file of weights, a run folder, or 'imagenet'."
)
@click.option("--recipe", type=click.Path(path_type=Path), help="A TOML recipe; options override it.")
@click.option("--seed", type=click.IntRange(0), help="Random seed.  [default: 42]")
@training_options
@click.option(
    "--run-dir",
    type=click.Path(path_type=Path),
    help="A new folder for the run.  [default: runs/ and the recipe's name, else DATASET-ARCH]",
)
@click.option("--resume", type=click.Path(path_type=Path), metavar="RUN", help="Continue an interrupted run.")
@click.option(
    "--data",
    type=click.Path(),
    metavar="NEW",
    help="With --resume: where the dataset lies now, if it was moved.",
)
@classes_option
@data_dir_option
@click.pass_context
def train(
    context: click.Context,
    /,
    dataset: str | None,
    recipe: Path | None,
    settings: tuple[str, ...],
    device: str,
    no_cuda: bool,
    workers: int,
    run_dir: Path | None,
    resume: Path | None,
    data: str | None,
    data_dir: Path | None,
    **options: Any,
) -> None:
    """Train a network on DATASET, or as a recipe says. Needs `pip install 'kalamos[train]'`.

    DATASET is a name (`kalamos data list`), a folder with one sub-folder per class, a CSV manifest, or a
    zip of either. Of images of your own, and without a recipe, the network also learns to tell what is no
    character; --set outliers=0 leaves that out. Ctrl-C stops a run, --resume continues it.
    """
    require_training()
    device = choose_device(device, no_cuda=no_cuda)
    given = given_options(options, ("arch", "weights", "seed", "classes", *RECIPE_OPTIONS))
    if resume is not None and any((dataset, recipe, run_dir, given, settings)):
        raise UsageError("--resume continues a run as it began", remedy="leave out the other options")
    if data is not None and resume is None:
        raise UsageError("--data says where a resumed run finds its dataset", remedy="name DATASET alone")

    from kalamos.cli.training_progress import training_context
    from kalamos.learn import resume_run, run_recipe
    from kalamos.learn.train import choose_recipe

    common: dict[str, Any] = {"data_dir": data_dir, "device": device, "workers": workers}
    if resume is not None:
        with training_context(resume) as progress:
            run = resume_run(resume, data=data, **common, callback=progress)
        _print_outcome(run, resume)
        context.exit(1 if progress.lost else 0)
    chosen = choose_recipe(dataset, recipe, given, parse_settings(settings))
    folder = run_dir or Path("runs") / (recipe.stem if recipe else _default_name(chosen))
    with training_context(folder) as progress:
        run = run_recipe(chosen, run_dir=folder, **common, callback=progress)
    _print_outcome(run, folder)
    if recipe is None and chosen.budget == "epochs" and chosen.epochs == type(chosen)().epochs:
        _warn_of_few_steps(run)
    context.exit(1 if progress.lost else 0)


def _default_name(recipe: Recipe) -> str:
    data = Path(recipe.dataset)
    return f"{data.stem or data.resolve().stem}-{recipe.arch.replace(':', '-').replace('/', '-')}"


def _print_outcome(run: Run, folder: Path) -> None:
    from kalamos.cli.training_progress import is_main_process
    from kalamos.model_file.spec import few_known_text, temperature_text

    if not is_main_process():
        return
    kept = f", epoch {run.kept_epoch} of {len(run.epochs)}" if run.kept_epoch != len(run.epochs) else ""
    calibration = temperature_text(run.temperature, run.val_count)
    echo(
        f"validation accuracy {run.val_accuracy:.2%} (n = {run.val_count:,}{kept}), "
        f"temperature {calibration}, saved to {folder}"
    )
    if run.known is not None:
        echo(
            f"not a character: withholds {run.known.withheld:.2%} of {run.known.n:,} validation images, and "
            f"{1 - run.known.answered:.1%} of {run.known.outliers_n:,} that show none (held out too)"
        )
        if few := few_known_text(run.known.n):
            echo(few, err=True)
    echo(f"next: kalamos export {shlex.quote(str(folder))}")


def _warn_of_few_steps(run: Run) -> None:
    """On a small folder the default number of epochs is far too small."""
    from kalamos.cli.training_progress import is_main_process

    steps_per_epoch = -(-run.train_count // run.recipe.batch_size)
    steps = steps_per_epoch * len(run.epochs)
    if is_main_process() and steps < MIN_STEPS // 2:
        epochs = -(-MIN_STEPS // steps_per_epoch)
        echo(f"trained for only {steps} steps: --epochs {epochs} may give a better model", err=True)


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
@click.argument("dataset", type=DATASET_NAME)
@click.option(
    "--arch",
    "archs",
    type=ARCHITECTURE_NAME,
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

    from kalamos.cli.training_progress import comparison_context
    from kalamos.learn.compare import default_folder, name_recipes, run_comparison
    from kalamos.learn.compare.report import FILES, print_comparison, save_comparison
    from kalamos.learn.compare.systems import assemble

    folder = output or default_folder(dataset)
    named = name_recipes(dataset, archs, recipes, *overrides)
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


def _print(show: Any, found: Comparison) -> None:
    from rich.console import Console

    from kalamos.learn.compare.report import WIDTH

    allow_any_label()
    console = Console()
    # In a file or a pipe the table has its full width; rich would take 80 columns.
    show(console if console.is_terminal else Console(width=WIDTH), found)
