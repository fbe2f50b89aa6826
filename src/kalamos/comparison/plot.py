"""A comparison as a plot: accuracy against time, and the validation error of each run by epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kalamos.comparison.outcomes import Comparison, SystemOutcome
from kalamos.evaluation.plots import LINE, drawing
from kalamos.writers.escape import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["comparison_plot"]

SERIES_COLOURS: Final = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#e69f00",
    "#6b7280",
    "#1b1f24",
)
"""Told apart by colour-blind readers too (Okabe and Ito 2008)."""
SERIES_MARKERS: Final = "osD^vP*X"


def comparison_plot(found: Comparison) -> bytes:
    """Draw accuracy with 95 % intervals against ms an image; the validation error of every run by epoch; PNG.

    Raises:
        MissingExtraError: Matplotlib, of the extra 'train', is not installed.
    """
    with drawing(10, 4.8, layout="constrained") as (figure, done):
        cost, curves = figure.subplots(1, 2)
        for axes in (cost, curves):
            axes.grid(visible=True, color=LINE)
        shown = [system for system in found.systems if system.measured]
        for index, system in enumerate(shown):
            colour = SERIES_COLOURS[index % len(SERIES_COLOURS)]
            marker = SERIES_MARKERS[index // len(SERIES_COLOURS) % len(SERIES_MARKERS)]
            _draw_cost(cost, system, colour, marker)
            _draw_curves(curves, system, colour, marker)
        _finish_cost(cost, found, shown)
        _finish_curves(curves, shown)
        if shown:
            _add_legend(figure, cost)
        return done()


def _draw_cost(axes: Axes, system: SystemOutcome, colour: str, marker: str) -> None:
    if system.speed is None:
        return
    low, high = system.interval
    accuracy = system.accuracy
    # Rounding may put an end of the interval on the other side of a mean over seeds.
    spread = [[max(0.0, accuracy - low)], [max(0.0, high - accuracy)]]
    axes.errorbar(
        [system.speed.milliseconds], [accuracy], spread,
        fmt=marker, color=colour, markersize=7, elinewidth=1.6, capsize=4, label=_short(system.name),
    )  # fmt: skip


def _draw_curves(axes: Axes, system: SystemOutcome, colour: str, marker: str) -> None:
    for member in system.measured:
        epochs = [report.epoch for report in member.epochs]
        wrong = [1 - report.val_accuracy for report in member.epochs]
        point = marker if len(epochs) < 30 else ""
        axes.plot(epochs, wrong, color=colour, linewidth=1.4, marker=point, markersize=3.5, alpha=0.85)


def _finish_cost(axes: Axes, found: Comparison, shown: list[SystemOutcome]) -> None:
    speeds = [system.speed.milliseconds for system in shown if system.speed is not None]
    if speeds and max(speeds) > 4 * min(speeds):
        from matplotlib.ticker import LogLocator, NullFormatter

        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlim(min(speeds) / 1.6, max(speeds) * 1.6)
    elif speeds:
        axes.set_xlim(0, 1.15 * max(speeds))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter(lambda share, _: f"{share * 100:g} %")
    axes.set(xlabel="ms an image (batch 1, one thread)")
    axes.set_title(f"Accuracy, {_short(one_line(found.dataset))} {found.part}, 95 % intervals", loc="left")


def _finish_curves(axes: Axes, shown: list[SystemOutcome]) -> None:
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

    wrong = [1 - e.val_accuracy for system in shown for member in system.measured for e in member.epochs]
    # Errors that differ tenfold are told apart on a logarithmic axis; but that has no room for none at all.
    if wrong and min(wrong) > 0 and max(wrong) > 4 * min(wrong):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(lambda share, _: f"{share * 100:g} %")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="epoch")
    axes.set_title("Validation error, a line each run", loc="left")


def _add_legend(figure: Figure, axes: Axes) -> None:
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=min(4, len(names)), frameon=False)


def _short(name: str) -> str:
    return name if len(name) <= 32 else f"{name[:31]}…"
