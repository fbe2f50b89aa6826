"""`make bench`: what kalamos costs, each figure beside its floor, measured in the same run.

Usage: python benchmarks/bench.py [--repeats 7] [--images 10000] [--write]
`--write` puts the table into docs/performance.md and README.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from floor import open_session, read_all
from processes import Figures, alternate

import kalamos
from kalamos.preprocessing import DEFAULT_STEPS, Preprocessor
from kalamos.zoo import model_path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "samples"), str(ROOT / "docs")]
from make_samples import ink  # noqa: E402  (the path must be set first)
from markers import replace_part  # noqa: E402

KALAMOS = [sys.executable, "-m", "kalamos"]
FLOOR = str(Path(__file__).parent / "floor.py")


@dataclass(frozen=True)
class Row:
    what: str
    measured: Figures
    unit: str
    floor_name: str
    floor: Figures
    ratio: Figures
    wanted: str

    def markdown(self) -> str:
        def show(figures: Figures) -> str:
            low, high = figures.spread
            digits = 0 if figures.median >= 100 else 2
            return f"{figures.median:,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"

        return (
            f"| {self.what} | {show(self.measured)} {self.unit} | {self.floor_name}: {show(self.floor)} "
            f"| {self.ratio.median:.2f} | {self.wanted} |"
        )


def draw_digits(folder: Path, count: int) -> None:
    """`count` drawn digits of varied pen and slant as grey 28x28 PNGs in MNIST's own geometry."""
    generator = np.random.default_rng(0)
    prepare = Preprocessor(DEFAULT_STEPS)
    for index in range(count):
        width, slant = int(generator.integers(9, 16)), float(generator.uniform(-0.2, 0.3))
        drawn = ink(str(index % 10), width, size=112, slant=slant)
        cv2.imwrite(str(folder / f"{index:06d}.png"), prepare.image((drawn * 255).astype(np.uint8)))


def seconds(action: Callable[[], object], repeats: int, loops: int = 1) -> Figures:
    """Seconds of one call, each repeat the mean over `loops`, after a warm-up."""
    action()
    values = []
    for _ in range(repeats):
        started = time.perf_counter()
        for _ in range(loops):
            action()
        values.append((time.perf_counter() - started) / loops)
    return Figures(tuple(values))


def interleaved(
    a: Callable[[], object], b: Callable[[], object], repeats: int, loops: int = 1
) -> tuple[Figures, Figures]:
    pairs = [(seconds(a, 1, loops).values[0], seconds(b, 1, loops).values[0]) for _ in range(repeats)]
    return Figures(tuple(p[0] for p in pairs)), Figures(tuple(p[1] for p in pairs))


def one_image(repeats: int) -> list[Row]:
    sample = str(ROOT / "samples" / "0-pen.png")
    runs = alternate(
        {
            "kalamos": [*KALAMOS, "predict", sample],
            "imports": [sys.executable, "-c", "import numpy, cv2, onnxruntime"],
        },
        repeats,
    )
    (time_k, memory_k), (time_i, memory_i) = runs["kalamos"], runs["imports"]
    return [
        Row("one image, whole process", time_k, "s", "its imports", time_i, time_k.over(time_i), "at most 2"),
        Row(
            "one image, peak memory",
            memory_k,
            "MB",
            "its imports",
            memory_i,
            memory_k.over(memory_i),
            "below 150 MB",
        ),
    ]


def folder(repeats: int, images: int) -> list[Row]:
    model = str(model_path("digits"))
    with tempfile.TemporaryDirectory() as work:
        pictures = Path(work, "pictures")
        pictures.mkdir()
        draw_digits(pictures, images)
        runs = alternate(
            {
                "kalamos": [*KALAMOS, "predict", str(pictures), "-o", str(Path(work, "out.csv"))],
                "floor": [sys.executable, FLOOR, model, str(pictures)],
            },
            repeats,
        )
        rates = {name: Figures(tuple(images / s for s in times.values)) for name, (times, _) in runs.items()}
        memory = {name: used for name, (_, used) in runs.items()}
        reader, session = kalamos.load("digits"), open_session(model)
        paths = [entry.path for entry in os.scandir(pictures)]
        ours, floor = interleaved(
            lambda: sum(1 for _ in reader.predict_folder(pictures)), lambda: read_all(session, paths), repeats
        )
    steady, steady_floor = (Figures(tuple(images / s for s in times.values)) for times in (ours, floor))
    name = f"a folder of {images:,} 28x28 PNGs"
    loop = "tight loop"
    return [
        Row(f"{name}, whole process", rates["kalamos"], "images/s", loop, rates["floor"],
            rates["kalamos"].over(rates["floor"]), "at least 0.60, and 8,000 images/s"),
        Row(f"{name}, steady state", steady, "images/s", loop, steady_floor,
            steady.over(steady_floor), "at least 0.60"),
        Row(f"{name}, peak memory", memory["kalamos"], "MB", loop, memory["floor"],
            memory["kalamos"].over(memory["floor"]), ""),
    ]  # fmt: skip


def one_array(repeats: int) -> list[Row]:
    reader, session = kalamos.load("digits"), open_session(str(model_path("digits")), threads=1)
    drawn = (255 * ink("7", 12, size=112)).astype(np.uint8)
    image = Preprocessor(DEFAULT_STEPS).image(drawn)  # 28x28 in MNIST's own geometry, as in the folder
    batch = image[None, None].astype(np.float32)
    name = session.get_inputs()[0].name
    ours, floor = interleaved(
        lambda: reader.predict(image), lambda: session.run(["logits"], {name: batch}), repeats * 3, loops=300
    )
    ours, floor = (Figures(tuple(1000 * s for s in times.values)) for times in (ours, floor))
    return [
        Row(
            "one 28x28 array, `Recognizer.predict`",
            ours,
            "ms",
            "bare model",
            floor,
            ours.over(floor),
            "at most 3",
        )
    ]


def table(rows: list[Row], repeats: int) -> str:
    machine = f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}"
    libraries = (
        f"Python {platform.python_version()}, numpy {np.__version__}, OpenCV {cv2.__version__}, "
        f"onnxruntime {onnxruntime.__version__}, kalamos {kalamos.__version__}"
    )
    return "\n".join(
        [
            "| what | kalamos: median (min to max) | floor in the same run | ratio | wanted |",
            "|---|---|---|---|---|",
            *(row.markdown() for row in rows),
            "",
            f"Measured by `make bench` on {datetime.now(UTC):%Y-%m-%d}: n = {repeats} repeats, each run in "
            f"turn with its floor; {machine}; {libraries}. The ratio is the median of the pairwise ratios.",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    rows = [
        *one_image(options.repeats),
        *folder(options.repeats, options.images),
        *one_array(options.repeats),
    ]
    report = table(rows, options.repeats)
    print(report)
    if options.write:
        for page in (ROOT / "docs" / "performance.md", ROOT / "README.md"):
            text = page.read_text(encoding="utf-8")
            page.write_text(replace_part(text, "bench", report), encoding="utf-8")


if __name__ == "__main__":
    main()
