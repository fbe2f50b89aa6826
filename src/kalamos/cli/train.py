"""Options for a training that `train` and `compare` share.

`kalamos train`: train as a recipe and the options over it say; writes a run folder.

Progress of a training: a live bar on a terminal, and one line per epoch.
"""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kalamos.cli._shared import (
    ArchitectureName,
    AugmentationName,
    DatasetName,
    bar_of,
    data_dir_option,
    echo,
    print_skipped,
)
from kalamos.errors import UsageError
from kalamos.learn.callbacks import Callback, EpochReport, Start, StepReport

if TYPE_CHECKING:
    from rich.progress import Progress

    from kalamos.datasets import SkippedFile
    from kalamos.learn import Recipe, Run

__all__ = [
    "RECIPE_OPTIONS",
    "TrainingProgress",
    "choose_device",
    "dataset_stem",
    "given_options",
    "parse_settings",
    "training_options",
    "training_progress",
]

Command = TypeVar("Command", bound=Callable[..., Any])

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
    click.option("--augmentation", type=AugmentationName(), help="Augmentation policy.  [default: none]"),
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


def dataset_stem(dataset: str) -> str:
    """Return a dataset's name for folders: without its own folder and ending.

    >>> dataset_stem("scans/letters.zip"), dataset_stem("mnist")
    ('letters', 'mnist')
    """
    return Path(dataset).stem or Path(dataset).resolve().stem


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
    from kalamos.cli._shared import require_training

    require_training()
    device = choose_device(device, no_cuda=no_cuda)
    given = given_options(options, ("arch", "weights", "seed", *RECIPE_OPTIONS))
    if resume is not None and any((dataset, recipe, run_dir, given, settings)):
        raise UsageError("--resume continues a run as it began", remedy="leave out the other options")

    from kalamos.learn import resume_run, run_recipe

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
    from kalamos.images.files import display_name
    from kalamos.learn import Recipe, load_recipe
    from kalamos.learn.models import find_architecture

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
    from kalamos.model_file.spec import temperature_text

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
    steps_per_epoch = -(-run.train_count // run.recipe.batch_size)
    steps = steps_per_epoch * len(run.epochs)
    if is_main_process() and steps < MIN_STEPS // 2:
        epochs = -(-MIN_STEPS // steps_per_epoch)
        echo(f"trained for only {steps} steps: --epochs {epochs} may give a better model", err=True)


def is_main_process() -> bool:
    """Of several processes that `torchrun` started, only the first one prints."""
    return os.environ.get("RANK", "0") == "0"


def training_progress() -> TrainingProgress:
    """Return what shows a training in this process."""
    if not is_main_process():
        return TrainingProgress()
    return LiveBar() if sys.stdout.isatty() else EpochLines()


@contextmanager
def training_context(folder: Path) -> Iterator[TrainingProgress]:
    """Show a training, and after an interruption print how to continue it."""
    progress = training_progress()
    try:
        yield progress
    except KeyboardInterrupt:
        progress.close()
        if is_main_process() and (folder / "run.json").exists():
            echo(f"\nstopped; continue with: kalamos train --resume {folder}", err=True)
        raise
    except Exception:
        if is_main_process():
            with suppress(OSError):
                folder.rmdir()  # if nothing has been written yet
        raise
    finally:
        progress.close()


class TrainingProgress(Callback):
    """Shows nothing."""

    def close(self) -> None: ...


class EpochLines(TrainingProgress):
    """The model, then one line per epoch, on standard output; skipped files on standard error."""

    def on_skipped_files(self, dataset: str, problems: Sequence[SkippedFile]) -> None:
        print_skipped(dataset, problems)

    def on_start(self, start: Start) -> None:
        self._epochs = start.epochs
        done = f", {len(start.earlier)} of {start.epochs} epochs done" if start.earlier else ""
        self._print(
            f"{start.arch}: {start.parameters:,} parameters; {start.train_count:,} training images, "
            f"{start.val_count:,} held out; {start.device}, {start.precision}{done}"
        )

    def on_epoch(self, report: EpochReport) -> None:
        self._print(
            f"epoch {report.epoch:>3}/{self._epochs}  loss {report.loss:.4f}  "
            f"validation loss {report.val_loss:.4f} accuracy {report.val_accuracy:.2%}  "
            f"{report.images_per_second:,.0f} images/s"
        )

    def _print(self, line: str) -> None:
        echo(line)


class LiveBar(EpochLines):
    """The same lines, and below them a bar with the loss, the speed and the time left."""

    _bar: Progress | None = None

    def on_start(self, start: Start) -> None:
        from rich.progress import BarColumn, TimeRemainingColumn

        self._steps = start.steps
        self._best = max((report.val_accuracy for report in start.earlier), default=0.0)
        self._bar = bar_of(
            "epoch {task.fields[epoch]:>3}/{task.fields[epochs]}",
            BarColumn(),
            "loss {task.fields[loss]}",
            "best {task.fields[best]}",
            "{task.fields[rate]:,.0f} images/s",
            TimeRemainingColumn(elapsed_when_finished=True),
            stderr=False,
        )
        self._task = self._bar.add_task(
            "training",
            total=start.epochs * start.steps,
            completed=len(start.earlier) * start.steps,
            epoch=min(len(start.earlier) + 1, start.epochs),
            epochs=start.epochs,
            loss="  –   ",
            best=f"{self._best:.2%}" if start.earlier else "–",
            rate=0.0,
        )
        super().on_start(start)
        self._bar.start()

    def on_step(self, report: StepReport) -> None:
        assert self._bar is not None  # noqa: S101  (a step comes after the start)
        self._bar.update(
            self._task,
            completed=(report.epoch - 1) * self._steps + report.step,
            epoch=report.epoch,
            loss=f"{report.loss:.4f}",
            rate=report.images_per_second,
        )

    def on_epoch(self, report: EpochReport) -> None:
        assert self._bar is not None  # noqa: S101
        self._best = max(self._best, report.val_accuracy)
        self._bar.update(self._task, best=f"{self._best:.2%}")
        super().on_epoch(report)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _print(self, line: str) -> None:
        assert self._bar is not None  # noqa: S101
        self._bar.console.print(line, highlight=False, markup=False)
