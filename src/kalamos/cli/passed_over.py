"""Report skipped files on standard error: by kind and count, the first few by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from kalamos.cli.terminal import echo

if TYPE_CHECKING:
    from kalamos.datasets import SkippedFile
    from kalamos.passed_over import SkippedFiles

__all__ = ["print_skipped", "print_skipped_inputs"]

MAX_NAMED_FILES = 5
"""Files of a dataset that are named one by one."""


def print_skipped_inputs(passed_over: SkippedFiles) -> None:
    """Print which files a search for images skipped; nothing if there are none."""
    if passed_over.total:
        files = "1 file" if passed_over.total == 1 else f"{passed_over.total:,} files"
        _print(f"skipped {files} without an image extension:", passed_over.lines())


def print_skipped(dataset: str, problems: Sequence[SkippedFile]) -> None:
    """Print what could not be used of a dataset; nothing if there are no problems."""
    if not problems:
        return
    from kalamos.passed_over import file_kind, foreign_files

    files = "1 file" if len(problems) == 1 else f"{len(problems):,} files"
    others = [str(problem) for problem in problems if file_kind(problem.where.strip("'")) is None]
    lines = [*foreign_files(problem.where for problem in problems).lines(), *others[:MAX_NAMED_FILES]]
    if len(others) > MAX_NAMED_FILES:
        lines.append(f"and {len(others) - MAX_NAMED_FILES:,} more")
    _print(f"{dataset}: skipped {files}:", lines)


def _print(heading: str, lines: Iterable[str]) -> None:
    echo(heading, err=True)
    for line in lines:
        echo(f"  {line}", err=True)
