"""`kalamos train`: a recipe, with options over it, to a run folder."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kalamos.cli.names import ArchitectureName, DatasetName
from kalamos.cli.options import data_dir_option
from kalamos.cli.terminal import echo
from kalamos.cli.training_options import KEYS, choose_device, parse_settings, training_options
from kalamos.errors import UsageError

if TYPE_CHECKING:
    from kalamos.training import Recipe, Run

OVER = ("arch", "weights", "seed", *KEYS)
"""Options that stand for recipe keys."""

ENOUGH_STEPS = 300
"""After a tenth of these, averages such as batch norm's are hardly begun, however easy the images."""


@click.command(no_args_is_help=True)
@click.argument("dataset", required=False, type=DatasetName())
@click.option("--arch", type=ArchitectureName(), help="The network.  [default: kalamos_xs]")
@click.option("--weights", metavar="FILE", help="Begin from a file, a run folder, or 'imagenet'.")
@click.option("--recipe", type=click.Path(path_type=Path), help="A TOML recipe; options override it.")
@click.option("--seed", type=click.IntRange(0), help="[default: 42]")
@training_options
@click.option(
    "--run-dir",
    type=click.Path(path_type=Path),
    help="A new folder for the run.  [default: runs/ and the recipe's name, else DATASET-ARCH]",
)
@click.option(
    "--resume", type=click.Path(path_type=Path), metavar="RUN", help="Go on with an interrupted run."
)
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
    **over: Any,
) -> None:
    """Train a network on DATASET, or as a recipe says. Needs `pip install 'kalamos[train]'`.

    DATASET is a name (`kalamos data list`), a folder with one sub-folder a class, a CSV manifest, or a
    zip of either. Ctrl-C stops a run, --resume goes on with it.
    """
    from kalamos.cli.extras import require_training

    require_training()
    device = choose_device(device, no_cuda=no_cuda)
    asked = {key: over[key] for key in OVER if over[key] is not None}
    given = [dataset, recipe, run_dir, *asked.values(), *settings]
    if resume is not None and any(value is not None for value in given):
        raise UsageError("--resume goes on with a run as it began", remedy="leave the other options away")

    from kalamos.training import resume_run, run_recipe

    common: dict[str, Any] = {
        "data_dir": data_dir,
        "device": device,
        "workers": workers,
    }
    if resume is not None:
        with _Told(resume) as told:
            run = resume_run(resume, **common, callback=told.callback)
        _print_outcome(run, resume)
        return
    chosen = _choose(dataset, recipe, asked, settings)
    folder = run_dir or Path("runs") / (recipe.stem if recipe else _default_name(chosen))
    with _Told(folder) as told:
        run = run_recipe(chosen, run_dir=folder, **common, callback=told.callback)
    _print_outcome(run, folder)
    if recipe is None and chosen.epochs == type(chosen)().epochs:
        _tell_few_steps(run)


def _choose(
    dataset: str | None, recipe: Path | None, asked: dict[str, Any], settings: tuple[str, ...]
) -> Recipe:
    from kalamos.architectures import find_architecture
    from kalamos.images.files import display_name
    from kalamos.training import Recipe, load_recipe

    if recipe is None and dataset is None:
        raise UsageError("there is nothing to train on", remedy="name a dataset or give --recipe")
    if dataset is not None and Path(dataset).suffix.lower() == ".toml":
        raise UsageError(f"{display_name(dataset)}: a recipe, not a dataset", remedy="give it after --recipe")
    base = load_recipe(recipe) if recipe else Recipe()
    over = {**({"dataset": dataset} if dataset else {}), **asked}
    chosen = base.with_overrides(over).with_overrides(parse_settings(settings))
    # Reading the data can take a while; a misspelt name should not wait for it.
    find_architecture(chosen.arch)
    return chosen


def _default_name(recipe: Recipe) -> str:
    data = Path(recipe.dataset)
    return f"{data.stem or data.resolve().stem}-{recipe.arch.replace(':', '-').replace('/', '-')}"


def _print_outcome(run: Run, folder: Path) -> None:
    from kalamos.model_file.temperature import temperature_text

    if not _is_main():
        return
    kept = f", epoch {run.kept_epoch} of {len(run.epochs)}" if run.kept_epoch != len(run.epochs) else ""
    calibration = temperature_text(run.temperature, run.val_count)
    echo(
        f"validation accuracy {run.val_accuracy:.2%} (n = {run.val_count:,}{kept}), "
        f"temperature {calibration}, saved to {folder}\n"
        f"next: kalamos export {folder}"
    )


def _tell_few_steps(run: Run) -> None:
    """To whom the default number of epochs was left: on a small folder it is far too small."""
    steps_an_epoch = -(-run.train_count // run.recipe.batch_size)
    steps = steps_an_epoch * len(run.epochs)
    if _is_main() and steps < ENOUGH_STEPS // 2:
        epochs = -(-ENOUGH_STEPS // steps_an_epoch)
        echo(f"trained in few steps ({steps}): --epochs {epochs} may read better", err=True)


def _is_main() -> bool:
    """Of several processes that `torchrun` started, only the first one speaks."""
    return os.environ.get("RANK", "0") == "0"


class _Told:
    """Shows the training, and after an interruption says how to go on with it."""

    def __init__(self, folder: Path) -> None:
        from kalamos.cli.training_progress import training_callback

        self._folder = folder
        self.callback = training_callback()

    def __enter__(self) -> _Told:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self.callback.close()
        if not _is_main():
            return
        if isinstance(error, KeyboardInterrupt) and (self._folder / "run.json").exists():
            echo(f"\nstopped; go on with: kalamos train --resume {self._folder}", err=True)
        elif isinstance(error, Exception):
            with suppress(OSError):
                self._folder.rmdir()  # where nothing has been written yet
