"""One image and whole folders: start-up, throughput, memory and latency, each beside its floor."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from figures import ROOT, Row, at_least, at_most, interleaved
from floor import open_session, read_all
from pictures import CROP, JPEG, crop, draw_crops, draw_digits, draw_photos, small_digits
from processes import Figures, alternate

import kalamos
from kalamos.zoo import model_path

__all__ = ["KALAMOS", "folders", "latency", "one_image"]

KALAMOS = [sys.executable, "-m", "kalamos"]
FLOOR = str(Path(__file__).parent / "floor.py")
LOOP = "tight loop"


def one_image(repeats: int) -> list[Row]:
    """Cold start, and peak memory."""
    sample = str(ROOT / "samples" / "0-pen.png")
    runs = alternate(
        {
            "kalamos": [*KALAMOS, "predict", sample],
            "imports": [sys.executable, "-c", "import numpy, cv2, onnxruntime"],
        },
        repeats,
    )
    (seconds, memory), (least_seconds, least_memory) = runs["kalamos"], runs["imports"]
    times, needs = seconds.over(least_seconds).median, memory.median
    floor = "its imports"
    return [
        Row("one image, whole process", seconds, "s", floor, least_seconds, at_most(2, times)),
        Row("one image, peak memory", memory, "MB", floor, least_memory, at_most(150, needs, " MB")),
    ]


def folders(repeats: int, images: int) -> list[Row]:
    """Images a second, whole processes; and in one that runs already, for the small ones."""
    rows = []
    model = str(model_path("digits"))
    kinds: dict[str, tuple[Callable[[Path, int], None], int]] = {
        "28x28 PNGs": (draw_digits, images),
        f"{CROP}x{CROP} JPEGs": (draw_crops, images),
        "12-megapixel JPEGs": (draw_photos, max(4, images // 250)),
    }
    for kind, (draw, count) in kinds.items():
        what = f"a folder of {count:,} {kind}"
        with tempfile.TemporaryDirectory() as work:
            pictures = Path(work, "pictures")
            pictures.mkdir()
            draw(pictures, count)
            runs = alternate(
                {
                    "kalamos": [*KALAMOS, "predict", str(pictures), "-o", str(Path(work, "out.csv"))],
                    "floor": [sys.executable, FLOOR, model, str(pictures)],
                },
                repeats,
            )
            (seconds, memory), (floor_seconds, floor_memory) = runs["kalamos"], runs["floor"]
            rate, floor = _rate(count, seconds), _rate(count, floor_seconds)
            wanted = ""
            if draw is draw_digits:
                share = rate.over(floor).median
                wanted = f"{at_least(10_000, rate.median, '/s')}; {at_least(0.65, share, ' of the floor')}"
            elif draw is draw_crops:
                wanted = at_least(3_000, rate.median, "/s")
            rows.append(Row(f"{what}, whole process", rate, "images/s", LOOP, floor, wanted))
            if draw is draw_digits:
                rows.append(_steady(what, pictures, count, repeats))
            rows.append(Row(f"{what}, peak memory", memory, "MB", LOOP, floor_memory))
    return rows


def _steady(what: str, pictures: Path, count: int, repeats: int) -> Row:
    reader, session = kalamos.load("digits"), open_session(str(model_path("digits")))
    paths = [entry.path for entry in os.scandir(pictures)]
    seconds = interleaved(
        {
            "kalamos": lambda: sum(1 for _ in reader.predict_folder(pictures)),
            "floor": lambda: read_all(session, paths),
        },
        repeats,
    )
    rate, floor = (_rate(count, each) for each in seconds.values())
    return Row(f"{what}, steady state", rate, "images/s", LOOP, floor)


def latency(repeats: int, calls: int) -> list[Row]:
    """Milliseconds of one `Recognizer.predict`: p50 and p99 over `calls` calls, `repeats` times."""
    reader, session = kalamos.load("digits"), open_session(str(model_path("digits")), threads=1)
    [small] = small_digits(1)
    photo = crop(7, np.random.default_rng(0))
    encoded = cv2.imencode(".jpg", photo, JPEG)[1].tobytes()
    batch, name = small[None, None].astype(np.float32), session.get_inputs()[0].name
    actions: dict[str, Callable[[], object]] = {
        "bare model": lambda: session.run(["logits"], {name: batch}),
        "one 28x28 array": lambda: reader.predict(small),
        f"one {CROP}x{CROP} crop, an array": lambda: reader.predict(photo),
        f"one {CROP}x{CROP} crop, a JPEG's bytes": lambda: reader.predict(encoded),
    }
    quantiles = {what: ([], []) for what in actions}
    for _ in range(repeats):
        for what, action in actions.items():
            milliseconds = _calls(action, calls)
            for kept, share in zip(quantiles[what], (50, 99), strict=True):
                kept.append(float(np.percentile(milliseconds, share)))
    p50, p99 = ({what: Figures(tuple(both[i])) for what, both in quantiles.items()} for i in (0, 1))
    rows = []
    for what, most in zip([*actions][1:], (0.3, 1.5, None), strict=True):
        wanted = at_most(most, p50[what].median, " ms") if most else ""
        rows += [
            Row(f"{what}, p50", p50[what], "ms", "bare model", p50["bare model"], wanted),
            Row(f"{what}, p99", p99[what], "ms", "bare model", p99["bare model"]),
        ]
    return rows


def _calls(action: Callable[[], object], count: int) -> list[float]:
    for _ in range(20):
        action()
    milliseconds = []
    for _ in range(count):
        started = time.perf_counter()
        action()
        milliseconds.append(1000 * (time.perf_counter() - started))
    return milliseconds


def _rate(count: int, seconds: Figures) -> Figures:
    return Figures(tuple(count / each for each in seconds.values))
