"""How files that were passed over are told, on standard error: by kind and count, the first few by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kalamos.cli.terminal import echo

if TYPE_CHECKING:
    from kalamos.datasets import SkippedFile
    from kalamos.passed_over import SkippedFiles

__all__ = ["tell_files_passed_over", "tell_passed_over"]

SHOWN = 5
"""Files of a dataset that are named."""


def tell_files_passed_over(passed_over: SkippedFiles) -> None:
    """Tell what a search for images passed over; nothing is said where that is nothing."""
    if not passed_over.total:
        return
    files = "1 file that is" if passed_over.total == 1 else f"{passed_over.total:,} files that are"
    echo(f"passed over {files} no image by name:", err=True)
    for line in passed_over.lines():
        echo(f"  {line}", err=True)


def tell_passed_over(dataset: str, problems: Sequence[SkippedFile]) -> None:
    """Tell what a dataset could not use; nothing is said where there are no problems."""
    if not problems:
        return
    count = "one file" if len(problems) == 1 else f"{len(problems):,} files"
    echo(f"{dataset}: {count} passed over", err=True)
    from kalamos.passed_over import file_kind, foreign_files

    for line in foreign_files(problem.where for problem in problems).lines():
        echo(f"  {line}", err=True)
    others = [problem for problem in problems if file_kind(problem.where.strip("'")) is None]
    for problem in others[:SHOWN]:
        echo(f"  {problem}", err=True)
    if len(others) > SHOWN:
        echo(f"  and {len(others) - SHOWN:,} more", err=True)
