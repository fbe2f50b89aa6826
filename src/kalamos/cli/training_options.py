"""What `train` and `compare` let one say of a training."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from typing import Any, TypeVar

import click

from kalamos.cli.names import AugmentationName
from kalamos.errors import UsageError

__all__ = ["KEYS", "choose_device", "parse_settings", "training_options"]

Command = TypeVar("Command", bound=Callable[..., Any])

KEYS = ("epochs", "batch_size", "lr", "optimizer", "schedule", "augmentation")
"""Options that stand for recipe keys; `--set` stands for any."""

_OPTIONS = (
    click.option("--epochs", type=click.IntRange(1), help="[default: 10]"),
    click.option("--batch-size", type=click.IntRange(1), help="[default: 64]"),
    click.option(
        "--lr", type=click.FloatRange(0, min_open=True), help="Highest learning rate.  [default: 1e-3]"
    ),
    click.option("--optimizer", metavar="NAME", help="adamw, adam or sgd.  [default: adamw]"),
    click.option(
        "--schedule",
        metavar="NAME",
        help="one-cycle, cosine, step, plateau or constant.  [default: one-cycle]",
    ),
    click.option("--augmentation", type=AugmentationName(), help="A policy by name.  [default: none]"),
    click.option(
        "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any other key of a recipe, as in TOML."
    ),
    click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True),
    click.option("--no-cuda", is_flag=True, help="The same as --device cpu."),
    click.option(
        "--workers",
        type=click.IntRange(0),
        default=0,
        show_default=True,
        help="Threads that augment ahead.",
    ),
)


def training_options(command: Command) -> Command:
    """Add the options `KEYS`, --set (as `settings`), --device, --no-cuda and --workers."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def choose_device(device: str, *, no_cuda: bool) -> str:
    """Raises `UsageError` where the two options contradict each other."""
    if no_cuda and device == "cuda":
        raise UsageError("--no-cuda and --device cuda contradict each other")
    return "cpu" if no_cuda else device


def parse_settings(settings: tuple[str, ...]) -> dict[str, Any]:
    """What several `--set KEY=VALUE` say.

    Raises:
        UsageError: one of them is not of this form.

    >>> parse_settings(("keep=best", "augmentation.rotate=3", "augmentation.shear=2"))
    {'keep': 'best', 'augmentation': {'rotate': 3, 'shear': 2}}
    """
    said: dict[str, Any] = {}
    for setting in settings:
        for key, value in _parse(setting).items():
            tables = isinstance(value, dict) and isinstance(said.get(key), dict)
            said[key] = {**said[key], **value} if tables else value
    return said


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
