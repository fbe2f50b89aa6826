"""From a thousand images to a million: the time and the memory of one must stay what they are."""

from __future__ import annotations

import io
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
from figures import ROOT, at_most, machine, show
from pictures import small_digits
from processes import Figures, run_once

__all__ = ["Runs", "measure", "plot", "report"]

SIZES = 1_000, 10_000, 100_000, 1_000_000
FEW = 200
"""Images of the run before each: by its end all that starts has started."""

AGAIN = str(Path(__file__).parent / "again.py")
PICTURE = ROOT / "docs" / "images" / "growth.png"
DRAWN = 1_000

Runs = dict[int, tuple[Figures, Figures]]
"""Images -> microseconds an image, peak MB."""


def measure(repeats: int, sizes: Sequence[int] = SIZES) -> Runs:
    """`kalamos predict` on tar archives of 28x28 PNGs, one after the other, `repeats` times."""
    values: dict[int, list[tuple[float, float]]] = {size: [] for size in sizes}
    with tempfile.TemporaryDirectory() as work:
        images = [cv2.imencode(".png", image)[1].tobytes() for image in small_digits(DRAWN)]
        for size in (FEW, *sizes):
            _pack(_archive(work, size), images, size)
        for turn in range(repeats):
            for size in sizes:
                for _ in range(max(1, min(15, 100_000 // size))):
                    values[size].append(_run(work, size))
                print(f"round {turn + 1}: {size:,} images, {values[size][-1]}", file=sys.stderr)
    return {
        size: (Figures(tuple(t for t, _ in runs)), Figures(tuple(m for _, m in runs)))
        for size, runs in values.items()
    }


def _archive(work: str, size: int) -> Path:
    return Path(work, f"{size}.tar")


def _pack(path: Path, images: Sequence[bytes], size: int) -> None:
    with tarfile.open(path, "w") as archive:
        for index in range(size):
            content = images[index % len(images)]
            member = tarfile.TarInfo(f"{index // 1000:04d}/{index % 1000:03d}.png")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
            archive.members.clear()  # tarfile would remember all of them


def _run(work: str, size: int) -> tuple[float, float]:
    """Microseconds an image once all has started; the whole process's peak MB."""
    out = Path(work, "out.csv")
    _, memory = run_once(
        [sys.executable, AGAIN, str(_archive(work, FEW)), str(_archive(work, size)), str(out)]
    )
    return 1e6 * float(Path(f"{out}.seconds").read_text("ascii")) / size, memory


def report(runs: Runs) -> str:
    (first, (base_times, base_memory)), *others = runs.items()
    lines = [
        "| images | time an image | beside the first | peak memory | beside the first |",
        "|---|---|---|---|---|",
        f"| {first:,} | {show(base_times, 1)} µs | | {show(base_memory, 0)} MB | |",
    ]
    for size, (times, memory) in others:
        ratio = times.median / base_times.median
        more = memory.median - base_memory.median
        lines.append(
            f"| {size:,} | {show(times, 1)} µs | {ratio:.2f}; {at_most(1.1, ratio)} "
            f"| {show(memory, 0)} MB | {more:+.0f} MB; {at_most(50, more, ' MB')} |"
        )
    counts = ", ".join(str(len(times.values)) for times, _ in runs.values())
    lines += [
        "",
        "![Time and memory against the number of images](images/growth.png)",
        "",
        f"`kalamos predict` on tar archives of 28x28 PNGs, median (min to max) of {counts} runs, each "
        f"in a process of its own, timed after a first one of {FEW} images: start-up apart; {machine()}.",
    ]
    return "\n".join(lines)


def plot(runs: Runs) -> None:
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.0))
    titles = "time an image, µs", "peak memory, MB"
    for axis, title, which, colour in zip(axes, titles, (0, 1), ("#c2410c", "#1d4ed8"), strict=True):
        figures = [both[which] for both in runs.values()]
        medians = [each.median for each in figures]
        spread = [
            [middle - each.spread[0] for middle, each in zip(medians, figures, strict=True)],
            [each.spread[1] - middle for middle, each in zip(medians, figures, strict=True)],
        ]
        axis.errorbar([*runs], medians, yerr=spread, color=colour, marker="o", capsize=3)
        axis.set(xscale="log", xlabel="images", title=title)
        axis.set_ylim(0, 1.25 * max(each.spread[1] for each in figures))
        axis.set_xticks([*runs], [f"{size:,}" for size in runs])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=110)
