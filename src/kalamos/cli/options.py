"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from kalamos.predict_options import PredictOptions, option_infos

__all__ = ["data_dir_option", "licence_option", "predict_option", "predict_options"]

F = TypeVar("F", bound=Callable[..., Any])

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="The folder that holds the datasets.  [default: $KALAMOS_DATA, else the user's cache]",
)

licence_option = click.option(
    "--licence",
    "--license",
    "licence",
    metavar="SPDX",
    help="Under which the new model may be used, such as CC-BY-4.0.  [default: not stated]",
)


def predict_option(name: str) -> Callable[[F], F]:
    """The option of `PredictOptions` that is called so."""
    info = option_infos()[name]
    default = PredictOptions.__dataclass_fields__[name].default
    if default is None:
        default = info.cli_default
    kind: Any = click.STRING
    if info.kind is not str:
        lowest, highest = (
            info.ge if info.gt is None else info.gt,
            info.le if info.cli_le is None else info.cli_le,
        )
        kind = click.IntRange if info.kind is int else click.FloatRange
        kind = kind(lowest, highest, min_open=info.gt is not None)
    spelled = {each: f"--{each.replace('_', '-')}" for each in option_infos()}
    return click.option(
        *info.flags,
        name,
        type=kind,
        default=default,
        show_default=default is not None,
        metavar=info.metavar,
        help=info.help.format_map(spelled),
    )


def predict_options(command: F) -> F:
    """All options of `PredictOptions` that the command line offers."""
    for name, info in reversed(list(option_infos().items())):
        if info.flags:
            command = predict_option(name)(command)
    return command
