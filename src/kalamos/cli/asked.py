"""The arguments of `kalamos predict`, whichever engine does it."""

from __future__ import annotations

import os
import stat
import sys
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from kalamos.errors import UsageError

if TYPE_CHECKING:
    from kalamos.predict_options import PredictOptions
    from kalamos.writers import CsvStyle

__all__ = ["PredictCommand"]


@dataclass(frozen=True, kw_only=True)
class PredictCommand:
    """The arguments of `kalamos predict`; None for one that was left out and has no default."""

    paths: tuple[str, ...]
    model: str
    format_name: str | None
    output: str | None
    options: PredictOptions
    formula_guard: bool
    bom: bool
    show: str | None
    column: str | None
    jobs: int | None
    engine: str
    address: str | None
    quiet: bool

    def csv_style(self) -> CsvStyle:
        """How CSV is to be written; in a file names stay what they are."""
        from kalamos.writers import CsvStyle

        controls = "keep" if self.output else _controls_on_standard_output()
        return CsvStyle(formula_guard=self.formula_guard, bom=self.bom, controls=controls)

    def format(self) -> str:
        """Choose the output's format; all that could be wrong with it is refused.

        Raises:
            UsageError: the output's name is an image's, a workbook's or another format's; a file is needed
                and none named; an option for CSV with another format.
        """
        from kalamos.images import EXTENSIONS
        from kalamos.images.files import display_name
        from kalamos.writers import check_ending, format_for

        if self.output and PurePath(self.output).suffix.lower() in EXTENSIONS:
            # `-o *.png`, or a forgotten name after -o, would put the rows in an image's place.
            raise UsageError(
                f"{display_name(self.output)}: this is an image's name",
                remedy="name a file for the rows after -o",
            )
        if self.output:
            check_ending(self.output, self.format_name)
        chosen = self.format_name or (format_for(self.output) if self.output else None) or "text"
        if chosen == "parquet" and self.output is None:
            raise UsageError("parquet is not for a terminal", remedy="name a file with -o")
        if chosen != "csv" and (self.bom or not self.formula_guard):
            option = "--bom" if self.bom else "--no-formula-guard"
            raise UsageError(f"{option} is for CSV, not for {chosen}", remedy="use -f csv")
        return chosen


def _controls_on_standard_output() -> str:
    """What becomes of control characters there: what reads a pipe may be a pager, `head` or `tee`."""
    if sys.stdout.isatty():
        return "terminal"
    try:
        mode = os.fstat(sys.stdout.fileno()).st_mode
    except (OSError, ValueError):  # closed, or no file
        return "keep"
    return "pipe" if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else "keep"
