"""Plots with Matplotlib, of the extra 'train'; each function returns the bytes of a PNG.

Plots are dark on white; a page shows them on a white card, which suits light and dark screens alike.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from kalamos.errors import MissingExtraError
from kalamos.evaluation.evaluate import Evaluation
from kalamos.evaluation.metrics import Reliability
from kalamos.evaluation.selective import COVERAGES
from kalamos.privacy import import_matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["PLOTS", "confusion_plot", "drawing", "reliability_plot", "require", "risk_coverage_plot"]

DPI = 160
NUMBERED, TICKED = 26, 130
"""Classes up to which every cell has its count, and every row and column its label."""
POINTS = 1000
"""Most points of a curve that are drawn."""


PAPER, INK, FAINT, LINE = "#ffffff", "#1b1f24", "#6b7280", "#e3e6ea"
RIGHT, WRONG = "#0072b2", "#d55e00"
"""Blue and vermilion differ for colour-blind readers too (Okabe and Ito 2008)."""

MISTAKES: Final = ("#fde3cf", "#f9b27c", "#ea7a2e", "#c24a00", "#6d2500")
"""From one mistake to many."""


def require() -> None:
    """Raise `MissingExtraError` unless Matplotlib is installed."""
    try:
        import_matplotlib()
    except ImportError as error:
        raise MissingExtraError("plots need matplotlib, not installed here", extra="train") from error


def confusion_plot(measured: Evaluation) -> bytes:
    """Row = truth, column = answer: right readings in blue by recall, mistakes in orange, logarithmic.

    A scale for each, so that a single mistake is seen beside thousands of right readings.
    """
    classes = len(measured.labels)
    cell = np.interp(classes, [10, 62, 130, 500], [0.46, 0.2, 0.1, 0.024])
    side = max(3.2, float(cell) * classes)
    with drawing(side + 2.1, side + 1.0) as (figure, done):
        from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize

        axes = figure.add_axes(
            (1.0 / (side + 2.1), 0.72 / (side + 1.0), side / (side + 2.1), side / (side + 1))
        )
        counts = measured.confusion
        diagonal = np.eye(classes, dtype=bool)
        recall = np.where(diagonal, measured.classes.recall[:, np.newaxis], np.nan)
        blues = LinearSegmentedColormap.from_list("right", [LINE, RIGHT])
        axes.imshow(recall, cmap=blues, norm=Normalize(0, 1), interpolation="nearest")
        mistakes = np.where(diagonal | (counts == 0), np.nan, counts)
        oranges = LinearSegmentedColormap.from_list("mistakes", MISTAKES)
        most = int(np.where(diagonal, 0, counts).max())
        shown = axes.imshow(mistakes, cmap=oranges, norm=LogNorm(1, max(most, 10)), interpolation="nearest")
        _label_cells(axes, measured, cell_inches=float(cell))
        axes.set_xlabel("read as", labelpad=8)
        axes.set_ylabel("true label", labelpad=8)
        bar = figure.add_axes(
            (
                (1.35 + side) / (side + 2.1),
                0.72 / (side + 1.0),
                0.13 / (side + 2.1),
                min(side, 3.2) / (side + 1),
            )
        )
        scale = figure.colorbar(shown, cax=bar, format="{x:,.0f}")
        scale.minorticks_off()
        scale.set_label("images misread so", color=FAINT)
        scale.outline.set_visible(False)
        return done()


def reliability_plot(bins: Reliability) -> bytes:
    """Accuracy against confidence with 95 % intervals; below, how many images a bin holds."""
    with drawing(5.6, 5.6) as (figure, done):
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        figure.subplots_adjust(left=0.15, right=0.94, top=0.92, bottom=0.1, hspace=0.1)
        upper.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (4, 4)), zorder=1)
        filled = bins.counts > 0
        x, y = bins.confidence[filled], bins.accuracy[filled]
        spread = np.clip([y - bins.low[filled], bins.high[filled] - y], 0, 1)
        upper.vlines(x, np.minimum(x, y), np.maximum(x, y), color=WRONG, linewidth=4, alpha=0.35)
        upper.errorbar(
            x, y, spread, fmt="o", markersize=5, color=RIGHT, elinewidth=1.4, capsize=3, clip_on=False
        )
        upper.set(xlim=(0, 1), ylim=(-0.02, 1.02), ylabel="accuracy")
        upper.set_title(f"Reliability: ECE {_percent(bins.ece)}", loc="left")
        width = 1 / len(bins.counts)
        middles = (np.arange(len(bins.counts)) + 0.5) * width
        lower.bar(middles, bins.counts, width * 0.86, color=RIGHT, alpha=0.75)
        lower.set_ylim(0.7, max(10, 6 * int(bins.counts.max())))
        lower.set_yscale("log")
        for x_at, count in zip(middles[filled], bins.counts[filled].tolist(), strict=True):
            lower.annotate(
                _short(count), (x_at, count), (0, 2), textcoords="offset points",
                ha="center", fontsize=7, color=FAINT,
            )  # fmt: skip
        lower.minorticks_off()
        lower.set(xlabel="confidence", ylabel="images")
        for axes in (upper, lower):
            axes.xaxis.set_major_formatter("{x:.0%}")
        upper.yaxis.set_major_formatter("{x:.0%}")
        lower.yaxis.set_major_formatter("{x:,.0f}")
        return done()


def risk_coverage_plot(measured: Evaluation) -> bytes:
    """The share of errors among the surest images, for every share of images answered."""
    curve = measured.selective
    with drawing(5.6, 5.6) as (figure, done):
        axes = figure.subplots()
        figure.subplots_adjust(left=0.15, right=0.94, top=0.92, bottom=0.1)
        kept = np.unique(np.linspace(0, measured.n - 1, POINTS).round().astype(int))
        coverage = (kept + 1) / measured.n
        axes.fill_between(coverage, curve.risk[kept], color=RIGHT, alpha=0.12, linewidth=0)
        axes.plot(coverage, curve.risk[kept], color=RIGHT, linewidth=1.8)
        top = max(float(curve.risk[kept].max()) * 1.25, 1e-3)
        for share in (*COVERAGES, 1.0):
            risk = 1 - curve.accuracy_at(share)
            axes.vlines(share, 0, risk, color=FAINT, linewidth=0.8, linestyle=(0, (2, 3)))
            axes.plot(share, risk, "o", color=WRONG, markersize=5)
        told = "\n".join(f"{_share(c)} answered: {curve.accuracy_at(c):.2%} right" for c in (*COVERAGES, 1.0))
        axes.text(0.04, 0.96, told, transform=axes.transAxes, va="top", linespacing=1.6, color=INK)
        axes.set(xlim=(0, 1.01), ylim=(0, top), xlabel="share of images answered, the surest first")
        axes.set_ylabel("share of those misread")
        axes.set_title(f"Risk and coverage: AURC {curve.area:.2g}", loc="left")
        axes.xaxis.set_major_formatter("{x:.0%}")
        axes.yaxis.set_major_formatter(_percent_axis(top))
        return done()


@contextmanager
def drawing(width: float, height: float, **options: Any) -> Iterator[tuple[Figure, Callable[[], bytes]]]:
    """Make a figure of so many inches, and a function that returns it as PNG.

    Without pyplot, which would keep the figure alive and choose a window system. `options` are
    for Matplotlib.
    """
    require()
    import matplotlib as mpl
    from matplotlib.figure import Figure

    style: Any = {
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "axes.titlesize": 10.5,
        "axes.titleweight": "bold",
        "text.color": INK,
        "axes.titlecolor": INK,
        "axes.labelcolor": FAINT,
        "axes.edgecolor": LINE,
        "axes.facecolor": PAPER,
        "figure.facecolor": PAPER,
        "xtick.color": LINE,
        "ytick.color": LINE,
        "xtick.labelcolor": FAINT,
        "ytick.labelcolor": FAINT,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "text.parse_math": False,  # a label may hold a dollar sign
    }
    # From the defaults: a user's matplotlibrc is for other plots, and may ask for a TeX that is not there.
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update(style)
        # A label in a script that the font lacks is a box in the picture, not the end of a report.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from", category=UserWarning)
        figure = Figure(figsize=(width, height), **options)

        def done() -> bytes:
            content = io.BytesIO()
            figure.savefig(content, format="png", dpi=DPI, metadata={"Software": None})
            return content.getvalue()

        yield figure, done


def _label_cells(axes: Axes, measured: Evaluation, *, cell_inches: float) -> None:
    classes = len(measured.labels)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(True)
    # Above this, every n-th label, so that they do not run into one another.
    step = max(1, -(-classes // TICKED))
    positions = list(range(0, classes, step))
    points = min(10.0, 72 * cell_inches * step * 0.62)
    labels = [_cut(measured.labels[position]) for position in positions]
    across = 90 if max(map(len, labels)) > 2 else 0
    axes.set_xticks(positions, labels, fontsize=points, rotation=across, color=INK)
    axes.set_yticks(positions, labels, fontsize=points, color=INK)
    if classes > NUMBERED:  # far from the axis, a column is followed upwards as well
        axes.tick_params(labeltop=True, labelright=True)
    if classes > TICKED:
        return
    axes.set_xticks(np.arange(0.5, classes - 1), minor=True)
    axes.set_yticks(np.arange(0.5, classes - 1), minor=True)
    axes.grid(which="minor", color=LINE, linewidth=0.4)
    axes.tick_params(which="minor", length=0)
    if classes > NUMBERED:
        return
    counts = measured.confusion
    most = max(10, int(np.where(np.eye(classes, dtype=bool), 0, counts).max()))
    for row, column in np.argwhere(counts).tolist():
        count = int(counts[row, column])
        depth = measured.classes.recall[row] if row == column else np.log(count) / np.log(most)
        strong = depth > 0.5
        colour = PAPER if strong else INK
        size = min(9.0, 72 * cell_inches * 0.3)
        axes.text(column, row, _short(count), ha="center", va="center", fontsize=size, color=colour)


def _cut(label: str) -> str:
    return label if len(label) <= 12 else f"{label[:11]}…"


def _short(count: int) -> str:
    if count < 10_000:
        return str(count)
    return f"{count / 1000:.0f}k" if count < 1_000_000 else f"{count / 1e6:.1f}M"


def _share(share: float) -> str:
    return f"{share:.0%}".rjust(4)


def _percent(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.2%}"


def _percent_axis(top: float) -> str:
    return "{x:.0%}" if top > 0.05 else "{x:.1%}" if top > 0.005 else "{x:.2%}"


PLOTS: Final[dict[str, Callable[[Evaluation], bytes]]] = {
    "confusion": confusion_plot,
    "reliability": lambda measured: reliability_plot(measured.reliability),
    "risk_coverage": risk_coverage_plot,
}
"""By the name of the file that a report gives each."""
