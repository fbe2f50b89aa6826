"""Where the time goes: list, read, decode, prepare, infer, answer, write, for three kinds of image."""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any, TypeVar
from unittest.mock import patch

import cv2
from figures import ROOT, machine
from pictures import CROP, draw_crops, draw_digits, draw_photos

import kalamos
from kalamos import recognizer
from kalamos.inputs import InputSearch, item
from kalamos.preprocessing import Preprocessor
from kalamos.recognizer import Recognizer
from kalamos.writers import Summary, open_writer

__all__ = ["Profile", "measure", "plot", "report"]

STAGES = {
    "list": "find the files, in order; tell the large ones",
    "read": "the files' bytes",
    "decode": "check the header, decode, make grey",
    "prepare": "find the ink, centre it",
    "infer": "the model, 64 images a run",
    "answer": "softmax, the best five, a `Prediction`; chunks and their order",
    "write": "a row of CSV, the summary",
}
COLOURS = dict(
    zip(STAGES, ("#cbd5e1", "#94a3b8", "#0e7490", "#c2410c", "#1d4ed8", "#a16207", "#475569"), strict=True)
)
PICTURE = ROOT / "docs" / "images" / "stages.png"

T = TypeVar("T")
Profile = dict[str, dict[str, float]]
"""Kind of image -> stage -> microseconds of one core an image."""


class Clock:
    """CPU time of one thread, each moment counted for the innermost stage under way."""

    def __init__(self) -> None:
        self.spent = dict.fromkeys(STAGES, 0.0)
        self._stage, self._since = "answer", time.thread_time()

    def enter(self, stage: str) -> str:
        """Begin a stage; returns the one that was under way."""
        now, before = time.thread_time(), self._stage
        self.spent[before] += now - self._since
        self._stage, self._since = stage, now
        return before

    def timed(self, stage: str, function: Callable[..., T]) -> Callable[..., T]:
        def wrapper(*arguments: Any, **named: Any) -> T:
            before = self.enter(stage)
            try:
                return function(*arguments, **named)
            finally:
                self.enter(before)

        return wrapper

    def iterated(self, stage: str, items: Iterable[T]) -> Iterator[T]:
        following = self.timed(stage, iter(items).__next__)
        while True:
            try:
                item = following()
            except StopIteration:
                return
            yield item


def measure(repeats: int, images: int) -> Profile:
    """The median over `repeats` of what `kalamos predict --jobs 1` does, with a clock around each stage."""
    # As the command does: its workers fill the cores already.
    cv2.setNumThreads(1)
    kinds: dict[str, tuple[Callable[[Path, int], None], int]] = {
        "28x28 PNG": (draw_digits, images),
        f"{CROP}x{CROP} JPEG": (draw_crops, max(100, images // 4)),
        "12-megapixel JPEG": (draw_photos, max(2, images // 250)),
    }
    reader, profile = kalamos.load("digits"), {}
    for kind, (draw, count) in kinds.items():
        with tempfile.TemporaryDirectory() as folder:
            draw(Path(folder), count)
            rounds = [_one_pass(reader, folder) for _ in range(repeats + 1)][1:]
        profile[kind] = {stage: 1e6 * median(each[stage] for each in rounds) / count for stage in STAGES}
    return profile


def _one_pass(reader: Recognizer, folder: str) -> dict[str, float]:
    clock = Clock()
    summary, sink = Summary(), io.BytesIO()
    with ExitStack() as patches, open_writer("csv", sink, labels=reader.labels, top_k=5) as writer:
        for stage, owner, name in (
            ("list", recognizer, "is_large"),
            ("read", item, "_fetch"),
            ("prepare", Preprocessor, "image"),
            ("prepare", Preprocessor, "images"),
            ("infer", Recognizer, "answers"),
        ):
            timed = clock.timed(stage, getattr(owner, name))
            # As a method where it was one: a plain function is bound to its object.
            patches.enter_context(patch.object(owner, name, timed))
        decode_all = item.decode_all
        patches.enter_context(
            patch.object(
                item,
                "decode_all",
                lambda *given, **named: clock.iterated("decode", decode_all(*given, **named)),
            )
        )
        paths = clock.iterated("list", InputSearch([folder]))
        for answer in reader.predict_files(paths, jobs=1):
            before = clock.enter("write")
            writer.write(answer)
            summary.add(answer)
            clock.enter(before)
        clock.enter("answer")
    return clock.spent


def report(profile: Profile, repeats: int) -> str:
    kinds = [*profile]
    lines = [
        f"| stage | {' | '.join(kinds)} |",
        f"|---|{'---|' * len(kinds)}",
        *(
            f"| {stage}: {what} | {' | '.join(_cell(profile[kind], stage) for kind in kinds)} |"
            for stage, what in STAGES.items()
        ),
        f"| all | {' | '.join(f'{sum(profile[kind].values()):,.0f} µs' for kind in kinds)} |",
        "",
        "![The share of each stage](images/stages.png)",
        "",
        f"Microseconds of one core an image, and their share; one worker, files in the cache, median of "
        f"{repeats} passes, the clock's own few microseconds included; {machine()}.",
    ]
    return "\n".join(lines)


def _cell(stages: dict[str, float], stage: str) -> str:
    spent, share = stages[stage], stages[stage] / sum(stages.values())
    return f"{spent:,.{0 if spent >= 100 else 1}f} µs, {share:.0%}"


def plot(profile: Profile) -> None:
    """A bar a kind of image, divided into the stages' shares."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(8.4, 2.9))
    for row, stages in enumerate(profile.values()):
        total, left = sum(stages.values()), 0.0
        for stage, spent in stages.items():
            share = 100 * spent / total
            axis.barh(row, share, left=left, color=COLOURS[stage], edgecolor="white", height=0.62)
            if share >= 4.5:
                colour = "black" if stage in {"list", "read"} else "white"
                axis.text(left + share / 2, row, f"{share:.0f}%", ha="center", va="center", color=colour)
            left += share
    labels = [f"{kind}\n{_readable(sum(stages.values()))}" for kind, stages in profile.items()]
    axis.set_yticks(range(len(labels)), labels)
    axis.invert_yaxis()
    axis.set(xlim=(0, 100), xlabel="share of one core's time, %")
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(axis="y", length=0)
    handles = [plt.Rectangle((0, 0), 1, 1, color=COLOURS[stage]) for stage in STAGES]
    figure.legend(handles, STAGES, ncols=len(STAGES), loc="upper center", frameon=False, columnspacing=1.2)
    figure.tight_layout(rect=(0, 0, 1, 0.91))
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=110)


def _readable(microseconds: float) -> str:
    return f"{microseconds:,.0f} µs" if microseconds < 1000 else f"{microseconds / 1000:,.1f} ms"
