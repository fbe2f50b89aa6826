"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

__all__ = ["abstention_options", "charset_option", "data_dir_option", "licence_option", "timeout_option"]

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

charset_option = click.option(
    "--charset",
    metavar="CHARS",
    help='Only these characters can be there: digits, upper, lower, letters, or "ABC123"; several apart by '
    "spaces.",
)


timeout_option = click.option(
    "--timeout",
    type=click.FloatRange(0, 3600, min_open=True),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="Give up on an image that takes longer to decode; it is a row with its error.",
)


def abstention_options(command: F) -> F:
    """When to give no label: `min_confidence` or `target_accuracy`."""
    least = click.option(
        "--min-confidence",
        type=click.FloatRange(0, 1),
        metavar="P",
        help="Give no label below this confidence.",
    )
    target = click.option(
        "--target-accuracy",
        type=click.FloatRange(0, 1, min_open=True),
        metavar="A",
        help="Give no label below the confidence that reached this accuracy among the images answered, in "
        "the model's validation. Instead of --min-confidence.",
    )
    return least(target(command))
