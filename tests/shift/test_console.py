from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from kalamos.evaluation.evaluate import EvalTarget
from kalamos.shift.console import print_shift
from kalamos.shift.report import ShiftReport


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
