"""The files of a comparison, beside its runs and model files."""

from __future__ import annotations

from pathlib import Path

from kalamos.comparison.outcomes import Comparison
from kalamos.comparison.plot import comparison_plot
from kalamos.comparison.record import as_plain
from kalamos.comparison.table import as_markdown
from kalamos.evaluation.html import report_json, save_files

__all__ = ["FILES", "save_comparison"]

FILES = ("comparison.json", "comparison.md", "comparison.png")


def save_comparison(found: Comparison, folder: Path) -> None:
    """Write `FILES`, over those of an earlier comparison.

    Raises:
        OutputError: a file cannot be written.
    """
    contents = (report_json(as_plain(found)), as_markdown(found), comparison_plot(found))
    save_files(folder, dict(zip(FILES, contents, strict=True)))
