"""The files of a comparison: comparison.json, a table for terminals and Markdown, a plot.

`comparison.json`, which has always these keys; a figure that there is none of is null.

dataset, split, n     on what, and how many images; `split` is "test", "held-out test" or "held-out val"
passed_over           files of the dataset that hold no image that could be used; not in n
systems               in the order given, each with
  name, architecture
  accuracy            mean over the seeds, in [0, 1]; null where every seed failed, and so is what follows
  accuracy_std        standard deviation (n - 1) over the seeds; null for one seed
  interval_95         Wilson interval of the mean, for n images: [low, high]
  seeds               those that were measured
  parameters_trainable, parameters_total
  file_bytes          of the exported .onnx
  ms_per_image        one image at a time, one onnxruntime thread, the network alone: median over rounds in
                      which all systems were timed in turn; `ms_quartiles`: [first, third]
  ms_ratio            to the first system that there is a model of
  train_seconds       of all epochs with their validation, mean over the seeds
  train_images_per_second   median over the epochs, mean over the seeds
  runs                [{"seed", "folder", "model", "sha256", "n", "accuracy", "interval_95", "val_accuracy",
                      "train_count", "epochs", "train_seconds", "train_images_per_second", "error"}, ...];
                      `sha256` is that of the images measured on; after an `error` only seed and folder
pairs                 every two systems with a model each:
  a, b                their names, in the order of `systems`
  accuracy_a, accuracy_b   means over the seeds that both have
  difference          accuracy_a - accuracy_b
  p_value             of McNemar's tests, two-sided; of K seeds (K / k) times the k-th smallest, k the
                      smallest majority of K
  p_corrected         p_value corrected by Holm for the number of pairs
  significant         p_corrected is below `level`
  better              the name of the better system where it is; else null
  words               the sentence
  tests               [{"only_a", "only_b", "p_value", "exact"}, ...], seed by seed: images that only
                      one of the two reads right
level                 0.05
date, kalamos_version
"""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kalamos._version import __version__
from kalamos.evaluation.reporting import LINE_COLOUR, drawing, report_json, save_files
from kalamos.learn.compare.outcomes import (
    SIGNIFICANCE_LEVEL,
    Comparison,
    Failure,
    Measured,
    PairwiseTest,
    SystemOutcome,
)
from kalamos.writers.base import encodable, one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from rich.console import Console

__all__ = [
    "FILES",
    "WIDTH",
    "as_markdown",
    "as_plain",
    "comparison_plot",
    "print_comparison",
    "save_comparison",
]

WIDTH = 100

HEADS = (
    ("system", "seeds"),
    ("accuracy", "95 % interval"),
    ("sd", "over seeds"),
    ("parameters", "trainable"),
    ("file", ""),
    ("ms an image", "ratio"),
    ("training", "images/s"),
)
"""Each cell has two lines: a figure, and what belongs to it."""

Cell = tuple[str, str]

NOTES = """\
Accuracy, training time and images/s are means over the seeds. The interval is Wilson's, for the number
of images; the standard deviation is over the seeds. The ms an image are those of the network alone, one
image at a time in one onnxruntime thread: the median of rounds that time all systems in turn, like the
ratio to the first.
"""

FIGURES = (
    "model", "sha256", "n", "accuracy", "interval_95", "val_accuracy", "train_count", "epochs",
    "train_seconds", "train_images_per_second",
)  # fmt: skip
"""Of a run that did not fail."""

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

FILES = ("comparison.json", "comparison.md", "comparison.png")


def save_comparison(found: Comparison, folder: Path) -> None:
    """Write `FILES`, over those of an earlier comparison.

    Raises:
        OutputError: a file cannot be written.
    """
    contents = (report_json(as_plain(found)), as_markdown(found), comparison_plot(found))
    save_files(folder, dict(zip(FILES, contents, strict=True)))


def as_plain(found: Comparison) -> dict[str, Any]:
    """Everything found, as plain JSON types under the keys that this module's docstring lists."""
    return {
        "dataset": one_line(found.dataset),
        "split": found.part,
        "n": found.n,
        "passed_over": found.passed_over,
        "systems": [_system(system) for system in found.systems],
        "pairs": [_pair(verdict) for verdict in found.verdicts],
        "level": SIGNIFICANCE_LEVEL,
        "date": datetime.now(UTC).date().isoformat(),
        "kalamos_version": __version__,
    }


def _system(system: SystemOutcome) -> dict[str, Any]:
    first = next(iter(system.measured), None)
    speed = system.speed
    return {
        "name": system.name,
        "architecture": system.architecture,
        "accuracy": system.accuracy if first else None,
        "accuracy_std": system.deviation,
        "interval_95": list(system.interval) if first else None,
        "seeds": [member.seed for member in system.measured],
        "parameters_trainable": first.trainable if first else None,
        "parameters_total": first.parameters if first else None,
        "file_bytes": first.file_bytes if first else None,
        "ms_per_image": speed.milliseconds if speed else None,
        "ms_quartiles": list(speed.quartiles) if speed else None,
        "ms_ratio": speed.ratio if speed else None,
        "train_seconds": system.mean(lambda member: member.seconds) if first else None,
        "train_images_per_second": system.mean(lambda member: member.images_per_second) if first else None,
        "runs": [_run(member) for member in system.members],
    }


def _run(member: Measured | Failure) -> dict[str, Any]:
    common = {"seed": member.seed, "folder": encodable(member.folder.as_posix())}
    if isinstance(member, Failure):
        return {**common, **dict.fromkeys(FIGURES), "error": member.message}
    return {
        **common,
        "model": encodable(member.model.as_posix()),
        "sha256": member.sha256,
        "n": member.n,
        "accuracy": member.accuracy,
        "interval_95": list(member.interval),
        "val_accuracy": member.val_accuracy,
        "train_count": member.train_count,
        "epochs": len(member.epochs),
        "train_seconds": member.seconds,
        "train_images_per_second": member.images_per_second,
        "error": None,
    }


def _pair(verdict: PairwiseTest) -> dict[str, Any]:
    return {
        "a": verdict.a,
        "b": verdict.b,
        "accuracy_a": verdict.accuracy_a,
        "accuracy_b": verdict.accuracy_b,
        "difference": verdict.accuracy_a - verdict.accuracy_b,
        "p_value": verdict.p_value,
        "p_corrected": verdict.p_corrected,
        "significant": verdict.better is not None,
        "better": verdict.better,
        "words": str(verdict),
        "tests": [asdict(test) for test in verdict.tests],
    }


def print_comparison(console: Console, found: Comparison) -> None:
    """Print what was measured, the table, what failed, and the verdicts in words."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head in HEADS:
        table.add_column(Text("\n".join(head)), justify="right", no_wrap=True)
    name = table.columns[0]
    name.justify, name.no_wrap, name.overflow, name.max_width = "left", False, "fold", 24
    for system in found.systems:
        table.add_row(*(Text("\n".join(line for line in cell if line)) for cell in _cells(system)))
    console.print(_title(found), markup=False, highlight=False)
    console.print()
    console.print(table, highlight=False)
    console.print()
    for line in _words(found):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def as_markdown(found: Comparison) -> str:
    """The table and the verdicts; a system's name may hold any character."""
    heads = [f"{a} ({b})" if b else a for a, b in HEADS]
    rows = [heads, ["---", *["---:"] * (len(heads) - 1)]]
    rows += [[_escape(f"{a} ({b})" if b else a) for a, b in _cells(system)] for system in found.systems]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    notes = "\n".join(f"- {_escape(line)}" for line in _words(found))
    return f"# {_escape(_title(found))}\n\n{table}\n\n{notes}\n\n{NOTES}"


def _title(found: Comparison) -> str:
    over = f", {found.passed_over:,} files skipped" if found.passed_over else ""
    return f"{one_line(found.dataset)}, {found.part}: {found.n:,} images{over}"


def _cells(system: SystemOutcome) -> list[Cell]:
    failed = f"{len(system.failures)} failed" if system.failures else ""
    if not system.measured or system.speed is None:
        return [(system.name, failed), *[("–", "")] * (len(HEADS) - 1)]
    first, speed = system.measured[0], system.speed
    low, high = system.interval
    seeds = len(system.measured)
    rate = system.mean(lambda member: member.images_per_second)
    return [
        (system.name, ", ".join(filter(None, (f"{seeds} seed{'s' * (seeds > 1)}", failed)))),
        (_percent(system.accuracy), f"{low * 100:.2f} to {high * 100:.2f}"),
        ("–" if system.deviation is None else _percent(system.deviation), ""),
        (f"{first.parameters:,}", f"{first.trainable:,}"),
        (f"{first.file_bytes / 1000:,.0f} kB", ""),
        (f"{speed.milliseconds:.3g}", f"x {speed.ratio:.3g}"),
        (_duration(system.mean(lambda member: member.seconds)), f"{rate:,.0f}"),
    ]


def _words(found: Comparison) -> list[str]:
    """What failed, the verdicts, and how they were come to."""
    failed = [f"{name}, seed {failure.seed}: failed: {failure.message}" for name, failure in found.failures]
    verdicts = found.verdicts
    if not verdicts:
        return [*failed, "no two systems were left to compare"]
    seeds = max(len(verdict.tests) for verdict in verdicts)
    way = "p is that of McNemar's test" + (f", by majority of {seeds} seeds" if seeds > 1 else "")
    way += f", corrected (Holm) for {len(verdicts)} pairs" if len(verdicts) > 1 else ""
    return [*failed, *map(str, verdicts), way]


def _percent(share: float) -> str:
    return f"{share * 100:.2f} %"


def _duration(seconds: float) -> str:
    """Seconds in words.

    >>> _duration(3.25), _duration(59.96), _duration(754), _duration(7322)
    ('3.2 s', '1 min', '12 min 34 s', '2 h 2 min')
    """
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def _escape(text: str) -> str:
    """Markdown that shows `text`; an underscore inside a word needs nothing, nor does `p < 0.001`."""
    return re.sub(r"[\\`*\[\]|]|<(?=\S)", r"\\\g<0>", " ".join(text.split()))


def comparison_plot(found: Comparison) -> bytes:
    """Draw accuracy with 95 % intervals against ms an image; the validation error of every run by epoch; PNG.

    Raises:
        MissingExtraError: Matplotlib, of the extra 'train', is not installed.
    """
    with drawing(10, 4.8, layout="constrained") as (figure, done):
        cost, curves = figure.subplots(1, 2)
        for axes in (cost, curves):
            axes.grid(visible=True, color=LINE_COLOUR)
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
    # Errors that differ tenfold need a logarithmic axis, which has no place for zero.
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
