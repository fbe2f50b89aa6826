from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import pytest

from kalamos.errors import OutputError
from kalamos.evaluation.evaluate import EvalTarget
from kalamos.recognizer import Recognizer
from kalamos.shift import saving
from kalamos.shift.report import ShiftReport
from kalamos.shift.saving import shift_json, write_shift_report
from kalamos.shift.suite import Outcomes


def test_the_files(
    outcomes: Outcomes, report: ShiftReport, reader: Recognizer, subject: EvalTarget, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra 'train'")
    folder = tmp_path / "a" / "b"
    written = write_shift_report(folder, outcomes, report, reader, subject)
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found == set(written) == {"shift.json", "shift.png", "shift_reliability.png", "shift.html"}
    for path in folder.rglob("*.png"):
        assert cv2.imread(str(path)) is not None
    assert (folder / "shift.json").read_text("utf-8") == shift_json(report, subject, reader)


def test_the_page_asks_nothing_of_the_network(
    outcomes: Outcomes,
    report: ShiftReport,
    reader: Recognizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(saving, "find_spec", lambda name: None)
    subject = EvalTarget("<script>", "أرقام & more", "train")
    written = write_shift_report(tmp_path, outcomes, report, reader, subject)
    assert "shift.png" not in written
    page = (tmp_path / "shift.html").read_text("utf-8")
    assert "<script" not in page
    assert "<bdi>أرقام &amp; more</bdi>" in page
    assert set(re.findall(r'src="([a-z:/]+)', page)) <= {"data:image/png", "data:image/jpeg"}
    assert re.findall(r'href="([^"]+)"', page) == [f"#{name}" for name in outcomes.names]
    for name in outcomes.names:
        assert f'<h3 id="{name}">' in page
    assert f"{report.means['all'].value:.2%}" in page


def test_the_json_says_what_was_measured(
    report: ShiftReport, reader: Recognizer, subject: EvalTarget
) -> None:
    stored = json.loads(shift_json(report, subject, reader))
    assert all(key in (saving.__doc__ or "") for key in list(stored)[:6])
    assert (stored["model"], stored["dataset"], stored["split"]) == ("digits", "mnist", "train")


def test_a_folder_that_cannot_be_made(
    outcomes: Outcomes, report: ShiftReport, reader: Recognizer, subject: EvalTarget, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        write_shift_report(tmp_path / "taken", outcomes, report, reader, subject)
