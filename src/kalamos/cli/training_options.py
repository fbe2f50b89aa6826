"""Options for a training that `train` and `compare` share."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from kalamos.cli.names import AugmentationName
from kalamos.errors import UsageError

__all__ = [
    "RECIPE_OPTIONS",
    "choose_device",
    "dataset_stem",
    "given_options",
    "parse_settings",
    "training_options",
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
