"""The files of an inspection."""

from __future__ import annotations

from pathlib import Path

from kalamos.doctor.examination import InspectionReport
from kalamos.doctor.page import inspection_page
from kalamos.doctor.records import as_record
from kalamos.evaluation.html import report_json, save_file, save_files

__all__ = ["write_report"]

PAGE_SUFFIXES = frozenset({".html", ".htm"})


def write_report(target: Path, inspection: InspectionReport) -> None:
    """Write the page, or a folder with `inspection.html` and `inspection.json`.

    Args:
        target: a file called .html or .htm; any other name is that of a folder.

    Raises:
        OutputError: a file or the folder cannot be written.
    """
    page = inspection_page(inspection)
    if target.suffix.lower() in PAGE_SUFFIXES:
        save_file(target, page)
        return
    save_files(target, {"inspection.html": page, "inspection.json": report_json(as_record(inspection))})
