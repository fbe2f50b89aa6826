from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
from rich.console import Console

from kalamos.evaluation.console import print_evaluation
from kalamos.evaluation.evaluate import Evaluation
from kalamos.evaluation.report import Subject


def printed(measured: Evaluation, subject: Subject, top_k: int = 5, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    print_evaluation(console, measured, subject, top_k=top_k)
    return console.file.getvalue().splitlines()


def test_the_figures_come_first(measured: Evaluation, subject: Subject) -> None:
    rows = printed(measured, subject)
    assert rows[0] == "tiny.onnx on mnist test, n = 60"
    assert rows[1].split()[:2] == ["accuracy", f"{measured.accuracy:.2%}"]
    assert [row.split()[0] for row in rows[2:6]] == ["top", "macro", "calibration", "surest"]
    assert rows[6] == "  unread        1 (no ink), counted as wrong"
    assert any(row.startswith("worst classes") for row in rows)
    assert any(row.startswith("confused") for row in rows)
    assert len(rows) < 30


def test_without_mistakes_there_are_no_tables(measured: Evaluation, subject: Subject, answering) -> None:
    rows = printed(answering(measured, measured.truth), subject)
    assert len(rows) == 6


def test_nothing_read(measured: Evaluation, subject: Subject) -> None:
    rows = printed(replace(measured, probabilities=np.zeros_like(measured.probabilities)), subject)
    assert not any("nan" in row for row in rows)
    assert not any(row.startswith("confused") for row in rows)


def test_labels_are_no_markup_and_a_narrow_terminal_cuts_no_figure(measured: Evaluation) -> None:
    named = replace(measured, labels=("[red]", "[/]", *"ABCDEFGa"))
    rows = printed(named, Subject("[b]m", "d", "all"), width=30)
    assert rows[0] == "[b]m on d, all images, n = 60"
    assert any(row.lstrip().startswith("case folded") for row in rows)
    assert any("[red]" in row for row in printed(named, Subject("m", "d", "all")))


def test_one_candidate_has_no_line_of_ranks(measured: Evaluation, subject: Subject) -> None:
    assert not any(row.startswith("  top") for row in printed(measured, subject, top_k=1))
