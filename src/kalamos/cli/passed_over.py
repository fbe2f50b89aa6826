"""How a dataset's files that could not be used are told: on standard error, the first few by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from kalamos.datasets import Problem

__all__ = ["tell_passed_over"]

SHOWN = 5
"""Files that are named."""


def tell_passed_over(dataset: str, problems: Sequence[Problem]) -> None:
    """Nothing is said where there are none."""
    if not problems:
        return
    count = "one file" if len(problems) == 1 else f"{len(problems):,} files"
    click.echo(f"{dataset}: {count} passed over", err=True)
    for problem in problems[:SHOWN]:
        click.echo(f"  {problem}", err=True)
    if len(problems) > SHOWN:
        click.echo(f"  and {len(problems) - SHOWN:,} more", err=True)
