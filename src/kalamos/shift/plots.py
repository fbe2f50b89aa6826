"""The suite as a plot, with Matplotlib, of the extra 'train'."""

from __future__ import annotations

import numpy as np

from kalamos.evaluation.plots import FAINT, INK, MISTAKES, PAPER, RIGHT, WRONG, drawing
from kalamos.shift.catalogue import STRENGTHS
from kalamos.shift.report import ALL, ShiftReport

__all__ = ["shift_plot"]

TOP, BOTTOM, ROW = 0.5, 0.6, 0.26
"""Inches."""


def shift_plot(report: ShiftReport) -> bytes:
    """PNG: accuracy by corruption and strength as a heat map, and each corruption's mean as a bar.

    Raises:
        MissingExtraError: Matplotlib is not installed.
    """
    names = report.names
    height = TOP + BOTTOM + ROW * len(names)
    with drawing(8.0, height) as (figure, done):
        from matplotlib.colors import LinearSegmentedColormap, Normalize

        table, bars = figure.subplots(1, 2, sharey=True, width_ratios=[1, 1.7])
        figure.subplots_adjust(
            left=0.18, right=0.95, top=1 - TOP / height, bottom=BOTTOM / height, wspace=0.06
        )
        accuracy = np.array([[cell.accuracy for cell in report.of(name)] for name in names])
        # No error is the paper's own colour: what is coloured is what is lost.
        colours = LinearSegmentedColormap.from_list("lost", [PAPER, *MISTAKES])
        lost = 1 - accuracy
        top = max(0.2, float(lost.max()))
        # The square root: a model that loses 2 % here and 60 % there should show both.
        table.imshow(np.sqrt(lost), cmap=colours, norm=Normalize(0, np.sqrt(top)), aspect="auto")
        for (row, column), share in np.ndenumerate(accuracy):
            deep = np.sqrt((1 - share) / top) > 0.6
            table.text(
                column, row, f"{share * 100:.1f}", ha="center", va="center", fontsize=8,
                color=PAPER if deep else INK,
            )  # fmt: skip
        table.set_xticks(range(len(STRENGTHS)), [f"strength {s}" for s in STRENGTHS], fontsize=7.5)
        table.set_yticks(range(len(names)), names, color=INK)
        table.tick_params(length=0, labelcolor=INK)
        means = np.array([report.accuracy(name) for name in names])
        bars.barh(range(len(names)), means, 0.66, color=RIGHT, alpha=0.8)
        bars.axvline(report.clean.value, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
        bars.axvline(report.means[ALL].value, color=WRONG, linewidth=1.4)
        bars.set(xlim=(0, 1), xlabel="mean over the strengths (orange: of all; dashed: clean)")
        bars.tick_params(axis="y", length=0, labelleft=False)
        bars.xaxis.set_major_formatter("{x:.0%}")
        groups = [report.of(name)[0].group for name in names]
        for group in dict.fromkeys(groups):
            first, count = groups.index(group), groups.count(group)
            for axes in (table, bars) if first else ():
                axes.axhline(first - 0.5, color=INK, linewidth=1)
            bars.text(
                1.02, first + (count - 1) / 2, group, rotation=270, ha="left", va="center",
                color=FAINT,
            )  # fmt: skip
        mean = report.means[ALL]
        title = f"Shift suite: mean {mean.value:.2%} [{mean.low:.2%}, {mean.high:.2%}]"
        table.set_title(title, loc="left", pad=10)
        return done()
