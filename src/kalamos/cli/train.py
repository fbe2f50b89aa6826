"""`kalamos train`: train as a recipe and the options over it say; writes a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kalamos.cli.names import ArchitectureName, DatasetName
from kalamos.cli.options import data_dir_option
from kalamos.cli.terminal import echo
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
    from kalamos.training import Recipe, Run

MIN_STEPS = 300
"""Optimiser steps below which averages such as batch norm's have hardly begun, however easy the images."""


@click.command(no_args_is_help=True)
@click.argument("dataset", required=False, type=DatasetName())
@click.option("--arch", type=ArchitectureName(), help="Network architecture.  [default: kalamos_xs]")
@click.option("--weights", metavar="FILE", help="Start from a file, a run folder, or 'imagenet'.")
@click.option("--recipe", type=click.Path(path_type=Path), help="A TOML recipe; options override it.")
@click.option("--seed", type=click.IntRange(0), help="Random seed.  [default: 42]")
@training_options
@click.option(
    "--run-dir",
    type=click.Path(path_type=Path),
    help="A new folder for the run.  [default: runs/ and the recipe's name, else DATASET-ARCH]",
)
@click.option("--resume", type=click.Path(path_type=Path), metavar="RUN", help="Continue an interrupted run.")
@data_dir_option
def train(
    dataset: str | None,
    recipe: Path | None,
    settings: tuple[str, ...],
    device: str,
    no_cuda: bool,
    workers: int,
    run_dir: Path | None,
    resume: Path | None,
    data_dir: Path | None,
    **options: Any,
) -> None:
    """Train a network on DATASET, or as a recipe says. Needs `pip install 'kalamos[train]'`.

    DATASET is a name (`kalamos data list`), a folder with one sub-folder per class, a CSV manifest, or a
    zip of either. Ctrl-C stops a run, --resume continues it.
    """
    from kalamos.cli.extras import require_training

    require_training()
    device = choose_device(device, no_cuda=no_cuda)
    given = given_options(options, ("arch", "weights", "seed", *RECIPE_OPTIONS))
    if resume is not None and any((dataset, recipe, run_dir, given, settings)):
        raise UsageError("--resume continues a run as it began", remedy="leave out the other options")

    from kalamos.cli.training_progress import training_context
    from kalamos.training import resume_run, run_recipe

    common: dict[str, Any] = {"data_dir": data_dir, "device": device, "workers": workers}
    if resume is not None:
        with training_context(resume) as progress:
            run = resume_run(resume, **common, callback=progress)
        _print_outcome(run, resume)
        return
    chosen = _choose_recipe(dataset, recipe, given, settings)
    default_name = recipe.stem if recipe else _default_name(chosen)
    folder = run_dir or Path("runs") / default_name
    with training_context(folder) as progress:
        run = run_recipe(chosen, run_dir=folder, **common, callback=progress)
    _print_outcome(run, folder)
    if recipe is None and chosen.epochs == type(chosen)().epochs:
        _warn_of_few_steps(run)


def _choose_recipe(
    dataset: str | None, recipe: Path | None, given: dict[str, Any], settings: tuple[str, ...]
) -> Recipe:
    from kalamos.architectures import find_architecture
    from kalamos.images.files import display_name
    from kalamos.training import Recipe, load_recipe

    if recipe is None and dataset is None:
        raise UsageError("nothing to train on", remedy="name a dataset or give --recipe")
    if dataset is not None and Path(dataset).suffix.lower() == ".toml":
        raise UsageError(f"{display_name(dataset)}: a recipe, not a dataset", remedy="give it after --recipe")
    base = load_recipe(recipe) if recipe else Recipe()
    over = {**({"dataset": dataset} if dataset else {}), **given}
    chosen = base.with_overrides(over).with_overrides(parse_settings(settings))
    # Reading the data can take a while; a misspelt name should not wait for it.
    find_architecture(chosen.arch)
    return chosen


def _default_name(recipe: Recipe) -> str:
    return f"{dataset_stem(recipe.dataset)}-{recipe.arch.replace(':', '-').replace('/', '-')}"


def _print_outcome(run: Run, folder: Path) -> None:
    from kalamos.cli.training_progress import is_main_process
    from kalamos.model_file.temperature import temperature_text

    if not is_main_process():
        return
    kept = f", epoch {run.kept_epoch} of {len(run.epochs)}" if run.kept_epoch != len(run.epochs) else ""
    calibration = temperature_text(run.temperature, run.val_count)
    echo(
        f"validation accuracy {run.val_accuracy:.2%} (n = {run.val_count:,}{kept}), "
        f"temperature {calibration}, saved to {folder}\n"
        f"next: kalamos export {folder}"
    )


def _warn_of_few_steps(run: Run) -> None:
    """On a small folder the default number of epochs is far too small."""
    from kalamos.cli.training_progress import is_main_process

    steps_per_epoch = -(-run.train_count // run.recipe.batch_size)
    steps = steps_per_epoch * len(run.epochs)
    if is_main_process() and steps < MIN_STEPS // 2:
        epochs = -(-MIN_STEPS // steps_per_epoch)
        echo(f"trained for only {steps} steps: --epochs {epochs} may give a better model", err=True)
