"""What a comparison leaves in its folder, beside the runs and the model files."""

from __future__ import annotations

import json
from pathlib import Path

from kalamos.atomic import write_bytes
from kalamos.comparison.outcomes import Comparison
from kalamos.comparison.plot import comparison_plot
from kalamos.comparison.record import as_plain
from kalamos.comparison.table import as_markdown

__all__ = ["FILES", "save_comparison"]

FILES = ("comparison.json", "comparison.md", "comparison.png")


def save_comparison(found: Comparison, folder: Path) -> None:
    """Write `FILES`, over those of an earlier comparison.

    Raises:
        OutputError: a file cannot be written.
    """
    record = json.dumps(as_plain(found), indent=2, ensure_ascii=False, allow_nan=False)
    contents = (f"{record}\n".encode(), as_markdown(found).encode(), comparison_plot(found))
    for name, content in zip(FILES, contents, strict=True):
        write_bytes(folder / name, content)
