from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console
from tests.html_pages import Page

from kalamos.errors import OutputError
from kalamos.evaluation.evaluate import EvalTarget
from kalamos.evaluation.robustness import report as report_module
from kalamos.evaluation.robustness.report import (
    corruption_rows,
    print_shift,
    robustness_page,
    shift_json,
    shift_plot,
    surest_misreadings,
    write_shift_report,
)
from kalamos.evaluation.robustness.suite import Outcomes, ShiftReport
from kalamos.recognizer import Recognizer


def printed(report: ShiftReport, subject: EvalTarget, width: int = 100) -> list[str]:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    print_shift(console, report, subject)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_the_figures_then_a_row_for_each_corruption(report: ShiftReport, subject: EvalTarget) -> None:
    lines = printed(report, subject)
    assert lines[0] == "digits on mnist train, shift suite, n = 40, seed 7"
    assert lines[1] == f"  clean         {report.clean}"
    assert lines[2] == f"  mean          {report.means['all']}"
    assert lines[5].startswith(f"  worst         {report.worst()[0]} ")
    assert "ECE" in lines[6]
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.startswith("  ") and "_" in line}
    cells = report.of("thin_pen")
    assert rows["thin_pen"][:4] == [
        *(f"{cell.accuracy:.2%}" for cell in cells),
        f"{report.accuracy('thin_pen'):.2%}",
    ]
    assert [line.strip() for line in lines if line.strip() in {"MNIST-C", "photograph"}] == [
        "MNIST-C",
        "photograph",
    ]


def test_a_narrow_terminal_keeps_the_figures(report: ShiftReport, subject: EvalTarget) -> None:
    assert any(f"{report.accuracy('stripe'):.2%}" in line for line in printed(report, subject, width=60))


def test_images_without_ink_are_told(report: ShiftReport, subject: EvalTarget) -> None:
    assert not any(
        line.startswith("  no ink")
        for line in printed(
            replace(report, cells=tuple(replace(cell, no_ink=0) for cell in report.cells)), subject
        )
    )
    some = replace(report, cells=(replace(report.cells[0], no_ink=4), *report.cells[1:]))
    assert any("of 480 corrupted images, counted as wrong" in line for line in printed(some, subject))


def with_answers(outcomes: Outcomes, predicted: np.ndarray) -> Outcomes:
    confidence = np.where(predicted < 0, 0, 0.9).astype(np.float32)
    return replace(outcomes, predicted=predicted, confidence=confidence)


@pytest.fixture
def all_right(outcomes: Outcomes) -> np.ndarray:
    return np.broadcast_to(outcomes.truth, outcomes.predicted.shape).copy()


def test_each_image_says_how_it_was_read(
    outcomes: Outcomes, reader: Recognizer, all_right: np.ndarray
) -> None:
    all_right[1, 1] = (outcomes.truth + 1) % 10
    all_right[1, 2] = -1
    rows = corruption_rows(with_answers(outcomes, all_right), outcomes.names[1], reader)
    assert [len(row) for row in rows] == [10, 10, 10]
    assert [{each.kind for each in row} for row in rows] == [{"right"}, {"wrong"}, {"no-ink"}]
    assert rows[2][0].words == f"{rows[2][0].truth}, no ink found"


def test_the_image_is_the_corrupted_one(outcomes: Outcomes, reader: Recognizer) -> None:
    rows = corruption_rows(outcomes, "brightness", reader)
    assert [int(row[0].image[0, 0]) for row in rows] == [64, 128, 178]
    assert rows[0][0].seen.shape == (28, 28)


def test_images_are_of_all_classes(outcomes: Outcomes, reader: Recognizer) -> None:
    few = replace(
        outcomes,
        clean=replace(outcomes.clean, truth=outcomes.truth[:3], probabilities=np.eye(3, 10, dtype="f4")),
        rows=outcomes.rows[:3], inks=outcomes.inks[:3],
        predicted=outcomes.predicted[..., :3], confidence=outcomes.confidence[..., :3],
    )  # fmt: skip
    assert [len(row) for row in corruption_rows(few, "stripe", reader)] == [3, 3, 3]
    truths = [each.truth for each in corruption_rows(outcomes, "stripe", reader)[0]]
    assert len(set(truths)) == len(np.unique(outcomes.truth))


def test_the_most_confident_misreadings_come_first(
    outcomes: Outcomes, reader: Recognizer, all_right: np.ndarray
) -> None:
    all_right[0, 2, :4] = (outcomes.truth[:4] + 1) % 10
    confidence = np.linspace(0.5, 0.9, 40, dtype=np.float32) + np.zeros((4, 3, 1), np.float32)
    spoilt = replace(outcomes, predicted=all_right, confidence=confidence)
    wrong, shown = surest_misreadings(spoilt, outcomes.names[0], reader)
    assert (wrong, len(shown), {each.kind for each in shown}) == (4, 4, {"wrong"})
    assert [each.confidence for each in shown] == sorted((each.confidence for each in shown), reverse=True)
    assert {each.strength for each in shown} == {3}
    assert surest_misreadings(spoilt, outcomes.names[1], reader) == (0, [])


def test_labels_of_any_script_are_isolated_and_escaped(
    outcomes: Outcomes, reader: Recognizer, subject: EvalTarget
) -> None:
    labels = ("<script>", *"بتثجحخدذر")
    named = replace(outcomes, clean=replace(outcomes.clean, labels=labels))
    page = robustness_page(named, named.report(), reader, subject, {})
    assert "script" not in Page(page).tags
    assert '<bdi class="truth">ب</bdi>' in page
    assert page.count("<figure") > 3 * 10 * len(outcomes.names)


def test_a_picture(report: ShiftReport) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra 'train'")
    picture = cv2.imdecode(np.frombuffer(shift_plot(report), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape[1] == 1280
    assert picture.mean() > 127
    assert picture.std() > 20


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
    monkeypatch.setattr("kalamos.evaluation.robustness.report.find_spec", lambda name: None)
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
    assert all(key in (report_module.__doc__ or "") for key in list(stored)[:6])
    assert (stored["model"], stored["dataset"], stored["split"]) == ("digits", "mnist", "train")


def test_a_folder_that_cannot_be_made(
    outcomes: Outcomes, report: ShiftReport, reader: Recognizer, subject: EvalTarget, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        write_shift_report(tmp_path / "taken", outcomes, report, reader, subject)
