"""What an inspection leaves behind on the disk."""

from __future__ import annotations

import json
from pathlib import Path

from kalamos.atomic import write_bytes
from kalamos.doctor.examination import InspectionReport
from kalamos.doctor.page import render_page
from kalamos.doctor.records import as_record
from kalamos.doctor.sheets import contact_sheet, sample_of_class
from kalamos.errors import OutputError
from kalamos.evaluation.pictures import encode_png

__all__ = ["write_report"]

PAGES = frozenset({".html", ".htm"})


def write_report(target: Path, diagnosis: InspectionReport) -> None:
    """Write the page, or a folder with `inspection.html`, `inspection.json` and `sheets/NNN.png`.

    Args:
        target: a file that is called .html or .htm; any other name is that of a folder. Sheets are
            numbered as the classes are, from 000: a label is no safe name for a file.

    Raises:
        OutputError: a file or the folder cannot be written.
    """
    sheets = _sheets(diagnosis)
    if target.suffix.lower() in PAGES:
        _write(target, render_page(diagnosis, sheets).encode())
        return
    try:
        (target / "sheets").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{target}: cannot be made ({error.strerror})") from error
    _write(target / "inspection.html", render_page(diagnosis, sheets).encode())
    record = json.dumps(as_record(diagnosis), indent=2, ensure_ascii=False)
    _write(target / "inspection.json", f"{record}\n".encode())
    for label, png in sheets.items():
        _write(target / "sheets" / f"{label:03}.png", png)


def _sheets(diagnosis: InspectionReport) -> dict[int, bytes]:
    pool = diagnosis.images
    samples = {label: sample_of_class(pool, label) for label in range(len(diagnosis.dataset.alphabet))}
    return {
        label: encode_png(contact_sheet([pool[row] for row in rows]))
        for label, rows in samples.items()
        if rows
    }


def _write(path: Path, content: bytes) -> None:
    write_bytes(path, content)
