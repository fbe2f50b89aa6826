"""What a benchmark's table is made of, and where it is written."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import kalamos  # isort: skip  (before onnxruntime, whose telemetry it switches off)
import cv2
import numpy as np
import onnxruntime
from processes import Figures

__all__ = ["ROOT", "Row", "at_least", "at_most", "interleaved", "machine", "show", "table", "write"]

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "docs")]
from markers import replace_part  # noqa: E402  (the path must be set first)


@dataclass(frozen=True)
class Row:
    """One figure beside its floor."""

    what: str
    measured: Figures
    unit: str
    floor_name: str
    floor: Figures
    wanted: str = ""
    digits: int | None = None

    @property
    def ratio(self) -> Figures:
        return self.measured.over(self.floor)

    def markdown(self) -> str:
        return (
            f"| {self.what} | {show(self.measured, self.digits)} {self.unit} "
            f"| {self.floor_name}: {show(self.floor, self.digits)} | {_ratio(self.ratio)} | {self.wanted} |"
        )


def show(figures: Figures, digits: int | None = None) -> str:
    """The median and the spread."""
    low, high = figures.spread
    places = digits if digits is not None else 0 if figures.median >= 100 else 2
    return f"{figures.median:,.{places}f} ({low:,.{places}f} to {high:,.{places}f})"


def at_least(least: float, value: float, unit: str = "") -> str:
    return f"at least {least:,g}{unit}: {_reached(value >= least)}"


def at_most(most: float, value: float, unit: str = "") -> str:
    return f"at most {most:,g}{unit}: {_reached(value <= most)}"


def interleaved(actions: dict[str, Callable[[], object]], repeats: int) -> dict[str, Figures]:
    """Seconds of each action, in turn A B A B …, after a warm-up each."""
    for action in actions.values():
        action()
    values: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(repeats):
        for name, action in actions.items():
            started = time.perf_counter()
            action()
            values[name].append(time.perf_counter() - started)
    return {name: Figures(tuple(each)) for name, each in values.items()}


def table(rows: Sequence[Row], note: str, *, beside: str = "floor") -> str:
    """Markdown; the ratio is kalamos over what is `beside` it."""
    return "\n".join(
        [
            f"| what | kalamos: median (min to max) | {beside} in the same run | ratio | wanted |",
            "|---|---|---|---|---|",
            *(row.markdown() for row in rows),
            "",
            f"Measured by `make bench` on {datetime.now(UTC):%Y-%m-%d}: {note}; {machine()}.",
        ]
    )


def machine() -> str:
    return (
        f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}; Python "
        f"{platform.python_version()}, numpy {np.__version__}, OpenCV {cv2.__version__}, "
        f"onnxruntime {onnxruntime.__version__}, kalamos {kalamos.__version__}"
    )


def write(part: str, text: str, pages: Sequence[str] = ("docs/performance.md",)) -> None:
    """Put a table between the markers `part` of some pages."""
    for name in pages:
        page = ROOT / name
        page.write_text(replace_part(page.read_text("utf-8"), part, text), "utf-8")


def _reached(holds: bool) -> str:
    return "reached" if holds else "**not reached**"


def _ratio(ratio: Figures) -> str:
    low, high = ratio.spread
    places = 1 if ratio.median >= 10 else 2 if ratio.median >= 0.1 else 3
    return f"{ratio.median:.{places}f} ({low:.{places}f} to {high:.{places}f})"
