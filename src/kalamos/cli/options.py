"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["data_dir_option"]

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="The folder that holds the datasets.  [default: $KALAMOS_DATA, else the user's cache]",
)
