from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
from rich.console import Console

from kalamos.evaluation.console import print_evaluation
from kalamos.evaluation.evaluate import EvalTarget, Evaluation
from kalamos.model_file import OperatingPoint, SelectiveAccuracy


def printed(measured: Evaluation, subject: EvalTarget, top_k: int = 5, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    print_evaluation(console, measured, subject, top_k=top_k)
    return console.file.getvalue().splitlines()


def test_the_figures_come_first(measured: Evaluation, subject: EvalTarget) -> None:
    rows = printed(measured, subject)
    assert rows[0] == "tiny.onnx on mnist test, n = 60"
    assert rows[1].split()[:2] == ["accuracy", f"{measured.accuracy:.2%}"]
    assert [row.split()[0] for row in rows[2:7]] == ["top", "macro", "calibration", "surest", "could"]
    assert [row[:13] for row in rows[7:11]] == [f"  target {g:>2} %"[:13] for g in (95, 99, 99.5, 99.9)]
    assert rows[11] == "  unread        1 (no ink), counted as wrong"
    assert any(row.startswith("worst classes") for row in rows)
    assert any(row.startswith("confused") for row in rows)
    assert len(rows) < 35


def test_without_mistakes_there_are_no_tables(measured: Evaluation, subject: EvalTarget, answering) -> None:
    rows = printed(answering(measured, measured.truth), subject)
    assert len(rows) == 7


def test_nothing_read(measured: Evaluation, subject: EvalTarget) -> None:
    rows = printed(replace(measured, probabilities=np.zeros_like(measured.probabilities)), subject)
    assert not any("nan" in row for row in rows)
    assert not any(row.startswith("confused") for row in rows)


def test_labels_are_no_markup_and_a_narrow_terminal_cuts_no_figure(measured: Evaluation) -> None:
    named = replace(measured, labels=("[red]", "[/]", *"ABCDEFGa"))
    rows = printed(named, EvalTarget("[b]m", "d", "all"), width=30)
    assert rows[0] == "[b]m on d, all images, n = 60"
    assert any(row.lstrip().startswith("case folded") for row in rows)
    assert any("[red]" in row for row in printed(named, EvalTarget("m", "d", "all")))


def test_one_candidate_has_no_line_of_ranks(measured: Evaluation, subject: EvalTarget) -> None:
    assert not any(row.startswith("  top") for row in printed(measured, subject, top_k=1))


def test_a_target_says_what_is_answered_and_right(measured: Evaluation, subject: EvalTarget) -> None:
    table = SelectiveAccuracy(9, (OperatingPoint(0.8, 0.0, 1.0), OperatingPoint(0.97, 0.9, 0.5)))
    sure = replace(measured, validated=table)
    rows = [row for row in printed(sure, subject) if "target" in row]
    right = int((sure.correct & (sure.confidence >= 0.9)).sum())
    answered = int((sure.confidence >= 0.9).sum())
    assert 0 < answered < 60
    assert len(rows) == 1
    assert rows[0].startswith(
        f"  target 95 %   {answered / 60:.2%} answered   {right / answered:.2%} of them"
    )
    assert rows[0].endswith("confidence from 0.9000")


def test_a_charset_is_told_with_what_it_took(measured: Evaluation, subject: EvalTarget) -> None:
    removed = np.full(measured.n, 0.25, np.float32)
    rows = printed(replace(measured, charset="digits", removed=removed), subject)
    assert rows[0] == "tiny.onnx on mnist test, charset 'digits', n = 60"
    assert "  left out      25.00% of the probability, by the charset" in rows


def test_labels_counted_as_one_have_intervals(measured: Evaluation, subject: EvalTarget) -> None:
    named = replace(measured, labels=("0", "O", "a", "A", *"BCDEFG"))
    rows = [row for row in printed(named, subject) if "counted as one label" in row]
    assert [row.split()[0] for row in rows] == ["case", "look-alikes", "both"]
    assert all("95 % interval [" in row for row in rows)
