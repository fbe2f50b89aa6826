"""The frontier: accuracy against images/s and size, the zoo beside the seeds' networks.

Usage: python benchmarks/frontier.py [--measure]
Draws docs/images/frontier.png from docs/zoo, docs/results and docs/zoo/speeds.json. `--measure` first times
every model: prepared images, 64 a run, one thread, the models in turn, the median of several rounds. The
seeds' networks are built anew for it: neither time nor size depends on what weights have learnt. On another
machine only the ratios would be the same.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kalamos.learn import load_recipe
from kalamos.learn.export.onnx_format import encode_onnx
from kalamos.learn.models import count_parameters, create_model
from kalamos.model_file import open_model, read_spec
from kalamos.preprocessing import Preprocessor, default_steps
from kalamos.zoo import model_path, names

ROOT = Path(__file__).parent.parent
ZOO, RESULTS, PICTURE = (
    ROOT / "docs" / "zoo",
    ROOT / "docs" / "results",
    ROOT / "docs" / "images" / "frontier.png",
)
SPEEDS = ZOO / "speeds.json"
BATCH, RUNS, ROUNDS = 64, 10, 9

PANELS = {"mnist": "MNIST test", "emnist-47": "EMNIST-47 balanced bench", "ahcd": "AHCD test"}
READERS = {"mnist": "digits", "emnist-47": "latin"}
"""Whose classes a bench has."""

SEEDS = {
    "mnist-cnn2": "mnist",
    "mnist-cnn3": "mnist",
    "mnist-cnn64": "mnist",
    "mnist-transfer-letters": "mnist",
    "mnist-transfer-finetuned": "mnist",
    "emnist-47-lenet_bn": "emnist-47",
}
"""The other projects' systems, as trained here, and their bench."""


@dataclass(frozen=True)
class Point:
    name: str
    panel: str
    error: float
    images_per_second: float
    size: int
    ours: bool


def untrained(name: str) -> bytes:
    """The model file of a recipe's network, as drawn."""
    recipe, spec = load_recipe(ROOT / "recipes" / f"{name}.toml"), read_spec(model_path(READERS[SEEDS[name]]))
    network = create_model(recipe.arch, len(spec.alphabet)).eval()
    steps = recipe.preprocessing or tuple(default_steps(network.input_size))
    spec = replace(
        spec,
        name=name,
        architecture=recipe.arch,
        parameters=count_parameters(network),
        preprocessing=steps,
        input_size=Preprocessor(steps).output_size(),
        feature_maps=tuple(network.stages),
    )
    return encode_onnx(network, spec)


def measure(files: dict[str, bytes]) -> dict[str, dict[str, float]]:
    """Images/s and bytes of each model file; a slow moment of the machine meets all of them alike."""
    models = {name: open_model(content) for name, content in files.items()}
    draw = np.random.default_rng(0)
    images = {
        name: draw.random((BATCH, 1, model.spec.input_size, model.spec.input_size), np.float32)
        for name, model in models.items()
    }
    rates: dict[str, list[float]] = {name: [] for name in files}
    for _ in range(ROUNDS + 1):
        for name, model in models.items():
            started = time.perf_counter()
            for _ in range(RUNS):
                model.session.run(["logits"], {model.input_name: images[name]})
            rates[name].append(RUNS * BATCH / (time.perf_counter() - started))
    return {
        name: {"images_per_second": statistics.median(rates[name][1:]), "bytes": len(files[name])}
        for name in files
    }


def points(speeds: dict[str, dict[str, float]]) -> list[Point]:
    found = []
    for name, speed in speeds.items():
        kept = (ZOO if name in names() else RESULTS) / f"{name}.json"
        if not kept.exists():
            continue
        first: dict[str, Any] = json.loads(kept.read_text("utf-8"))[0]
        tests = first.get("tests") or [{"dataset": SEEDS[name], "accuracy": first["accuracy"]}]
        found += [
            Point(
                name,
                test["dataset"],
                1 - test["accuracy"],
                speed["images_per_second"],
                int(speed["bytes"]),
                name in names(),
            )
            for test in tests
            if test["dataset"] in PANELS
        ]
    return found


def _minor(value: float, _: int, *, wide: bool) -> str:
    """Labels between the powers of ten: where there are many, every other one or so."""
    return "" if wide and f"{value:e}"[0] not in "25" else f"{value:,g}"


def draw(found: list[Point]) -> None:
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    panels = [panel for panel in PANELS if any(point.panel == panel for point in found)]
    figure, axes = plt.subplots(1, len(panels), figsize=(5.2 * len(panels), 4.6), squeeze=False)
    for axis, panel in zip(axes[0], panels, strict=True):
        for point in (each for each in found if each.panel == panel):
            colour = "#c2410c" if point.ours else "#64748b"
            area = 30 * (point.size / 100_000) ** 0.5
            axis.scatter(point.images_per_second, 100 * point.error, s=area, color=colour, alpha=0.8)
            axis.annotate(
                point.name.removeprefix(f"{panel}-"),
                (point.images_per_second, 100 * point.error),
                xytext=(6, 4),
                textcoords="offset points",
                fontsize=8,
                color=colour,
            )
        axis.set(xscale="log", yscale="log", title=PANELS[panel], xlabel="images/s, one core")
        axis.margins(0.2)
        axis.grid(alpha=0.25, which="both")
        for scale in (axis.xaxis, axis.yaxis):
            low, high = scale.get_view_interval()
            scale.set_major_formatter(lambda value, _: f"{value:,g}")
            scale.set_minor_formatter(partial(_minor, wide=high > 3 * low))
    axes[0][0].set_ylabel("errors, %")
    figure.suptitle(
        "The zoo (orange) and the seeds' networks (grey); a dot's area grows with the file", fontsize=10
    )
    figure.tight_layout()
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--measure", action="store_true", help="time the model files anew")
    asked = parser.parse_args()
    if asked.measure:
        speeds = measure(
            {name: model_path(name).read_bytes() for name in names()}
            | {name: untrained(name) for name in SEEDS}
        )
        SPEEDS.write_text(json.dumps(speeds, indent=1) + "\n", "utf-8")
    draw(points(json.loads(SPEEDS.read_text("utf-8"))))


if __name__ == "__main__":
    main()
