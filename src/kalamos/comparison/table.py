"""A comparison for people: on a terminal of 100 columns, and as Markdown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kalamos.comparison.outcomes import Comparison, SystemOutcome
from kalamos.writers.escape import one_line

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["WIDTH", "as_markdown", "print_comparison"]

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


NOTES = """\
Accuracy, training time and images/s are means over the seeds. The interval is Wilson's, for the number
of images; the standard deviation is over the seeds. The ms an image are those of the network alone, one
image at a time in one onnxruntime thread: the median of rounds that time all systems in turn, like the
ratio to the first.
"""


def _title(found: Comparison) -> str:
    over = f", {found.passed_over:,} files passed over" if found.passed_over else ""
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
