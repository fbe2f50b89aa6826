"""`make zoo`: the shipped models, from their recipes to their cards.

Usage: python benchmarks/zoo.py [NAME ...] [--runs runs/zoo] [--train] [--table]
For each model: train what is not trained (an interrupted run goes on), export, measure once on the test
splits, under shift and against outliers, keep that in docs/zoo/NAME.json and in the model file, install the
first seed's file and card in src/kalamos/zoo. `--train` stops after the training; `--table` only writes
docs/results.md anew. Teachers come first: a recipe names their run folders.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import kalamos
from kalamos.atomic import atomic_write
from kalamos.datasets import Split, load_dataset
from kalamos.errors import ExportError
from kalamos.evaluation.evaluate import evaluate
from kalamos.evaluation.metrics import wilson_interval
from kalamos.evaluation.report import as_metric
from kalamos.export.calibration import calibration_data
from kalamos.export.int8 import export_int8
from kalamos.export.onnx_file import export_run, record_metric, record_robustness
from kalamos.model_file import RobustnessRecord
from kalamos.outliers import measure as measure_outliers
from kalamos.recognizer import Recognizer
from kalamos.shift import measure as measure_shift
from kalamos.training import EpochReport, Watch, load_recipe, load_run, resume_run, run_recipe
from kalamos.training.splitting import read_split
from kalamos.zoo import model_path
from kalamos.zoo.card import write_card

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "docs")]
from markers import replace_part  # noqa: E402  (the path must be set first)

KEPT, PAGE = ROOT / "docs" / "zoo", ROOT / "docs" / "results.md"


@dataclass(frozen=True)
class Wanted:
    """A test split, and the accuracy that this project set itself on it; 0 where it set none."""

    dataset: str
    accuracy: float


@dataclass(frozen=True)
class Shipped:
    """A model of the zoo.

    Attributes:
        name: of the model, and of its recipe in recipes/.
        tests: the first one's images are also those of the shift suite and of the known against outliers.
        seeds: each is a run; the first one's model ships.
        shift: wanted mean accuracy over the corruptions.
        ece: wanted calibration error, at most.
        int8: try static int8, and ship it where it loses nothing.
    """

    name: str
    tests: tuple[Wanted, ...]
    seeds: tuple[int, ...] = (42,)
    shift: float = 0.85
    ece: float = 0.01
    int8: bool = False


SEEDS = (42, 43, 44)
USPS = Wanted("usps", 0.97)
ZOO = (
    Shipped("digits-large", (Wanted("mnist", 0.9978), USPS), SEEDS, shift=0.96, ece=0.002, int8=True),
    Shipped("digits", (Wanted("mnist", 0.9968), USPS), SEEDS, shift=0.96, ece=0.002),
    Shipped("latin-large", (Wanted("emnist-47", 0.91),), int8=True),
    Shipped("latin", (Wanted("emnist-47", 0.903),)),
    Shipped("arabic-large", (Wanted("ahcd", 0.988), Wanted("hijja-28", 0.93)), int8=True),
    Shipped("arabic", (Wanted("ahcd", 0.983), Wanted("hijja-28", 0.92))),
    Shipped("arabic-print", (Wanted("ocr-arabic", 0.995),)),
)


class _Lines(Watch):
    def on_epoch(self, report: EpochReport) -> None:
        print(
            f"  epoch {report.epoch}: loss {report.loss:.4f}, validation {report.val_accuracy:.2%}, "
            f"{report.images_per_second:,.0f} images/s",
            flush=True,
        )


def train(model: Shipped, seed: int, runs: Path) -> Path:
    """The finished run's folder."""
    folder = runs / (model.name if seed == model.seeds[0] else f"{model.name}-{seed}")
    print(folder.name, flush=True)
    if (folder / "run.json").exists():
        resume_run(folder, watch=_Lines())
    else:
        recipe = replace(load_recipe(ROOT / "recipes" / f"{model.name}.toml"), seed=seed)
        run_recipe(recipe, run_dir=folder, watch=_Lines())
    return folder


def export(model: Shipped, folder: Path) -> Path:
    """The model file beside the run: int8 where that is wanted and loses nothing, else float."""
    path = Path(f"{folder}.onnx")
    spec = export_run(load_run(folder), model.name, path)
    if model.int8:
        try:
            export_int8(path.read_bytes(), calibration_data(spec, split=read_split(folder)), path)
        except ExportError as error:
            print(f"  float stays: {error}", flush=True)
    return path


def measure(model: Shipped, seed: int, path: Path, folder: Path) -> dict[str, Any]:
    """Every figure of one model file, recorded in it too; shift and outliers only of the seed that ships."""
    reader, run, today = kalamos.load(path), load_run(folder), datetime.now(UTC).date().isoformat()
    tests: list[dict[str, Any]] = []
    robustness: dict[str, Any] = {}
    for wanted in model.tests:
        name, split, labels = _images(wanted.dataset, folder)
        result = evaluate(reader, split, labels)
        record_metric(path, as_metric(result, wanted.dataset, name))
        if not tests and seed == model.seeds[0]:
            robustness = _robustness(reader, path, split, labels, today)
        tests.append(
            {
                "dataset": wanted.dataset,
                "split": name,
                "sha256": result.sha256,
                "n": result.n,
                "right": int(result.correct.sum()),
                "accuracy": result.accuracy,
                "ece": result.ece,
            }
        )
    return {
        "seed": seed,
        "date": today,
        "kalamos": kalamos.__version__,
        "architecture": reader.spec.architecture,
        "parameters": reader.spec.parameters,
        "int8": reader.spec.quantisation is not None,
        "bytes": path.stat().st_size,
        "val_accuracy": run.val_accuracy,
        "epochs": len(run.epochs),
        "seconds": run.seconds,
        "tests": tests,
        **robustness,
    }


def _images(name: str, folder: Path) -> tuple[str, Split, tuple[str, ...]]:
    """A dataset's test split, or where it has none what the run held out; with the split's name."""
    dataset = load_dataset(name)
    if dataset.test is not None:
        return "test", dataset.test, dataset.alphabet.labels
    return "val", dataset.train.take(read_split(folder).val), dataset.alphabet.labels


def _robustness(
    reader: Recognizer, path: Path, split: Split, labels: tuple[str, ...], today: str
) -> dict[str, Any]:
    shift = measure_shift(reader, split, labels).report()
    outliers = measure_outliers(reader, split)
    kinds = {"mean": shift.means["all"].value} | {name: shift.accuracy(name) for name in shift.names}
    spoilt = (RobustnessRecord("shift", name, value, shift.n, today) for name, value in kinds.items())
    record_robustness(path, (*spoilt, *outliers.records(today)))
    return {
        "shift": shift.to_mapping(),
        "outliers": {each.name: {"auroc": each.auroc, "n": each.n} for each in outliers.sets},
    }


def table() -> str:
    lines = [
        "| model | network: parameters, file | measured on | accuracy [95 %] | wanted | ECE | under shift | "
        "AUROC, mean and worst set |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for model in ZOO:
        path = KEPT / f"{model.name}.json"
        if path.exists():
            rows = json.loads(path.read_text("utf-8"))
            lines += [_line(model, place, rows) for place in range(len(model.tests))]
    return "\n".join([*lines, "", "Measured by `make zoo`."])


def _line(model: Shipped, place: int, rows: list[dict[str, Any]]) -> str:
    first, wanted = rows[0], model.tests[place]
    tests = [row["tests"][place] for row in rows]
    test = tests[0]
    low, high = wilson_interval(test["right"], test["n"])
    average = mean(t["accuracy"] for t in tests)
    figure = f"{test['accuracy']:.2%} [{low:.2%}, {high:.2%}], n = {test['n']:,}"
    if len(tests) > 1:
        spread = stdev(t["accuracy"] for t in tests)
        figure += f"; {len(tests)} seeds: mean {average:.2%}, sd {spread:.2%}"
    verdict = f"{wanted.accuracy:.2%}: {_reached(average >= wanted.accuracy)}" if wanted.accuracy else ""
    ece = f"{test['ece']:.2%} (≤ {model.ece:.1%}: {_reached(test['ece'] <= model.ece)})"
    shift = outliers = ""
    if place == 0:
        value = first["shift"]["means"]["all"]["value"]
        shift = f"{value:.1%} (≥ {model.shift:.0%}: {_reached(value >= model.shift)})"
        rocs = {name: each["auroc"] for name, each in first["outliers"].items()}
        worst = min(rocs, key=lambda name: rocs[name])
        outliers = f"{mean(rocs.values()):.3f}, {rocs[worst]:.3f} ({worst})"
    kind = ", int8" if first["int8"] else ""
    return (
        f"| [{model.name}](../src/kalamos/zoo/{model.name}.md) | `{first['architecture']}`: "
        f"{first['parameters']:,}, {first['bytes'] / 1000:,.0f} kB{kind} | {wanted.dataset} {test['split']} "
        f"| {figure} | {verdict} | {ece} | {shift} | {outliers} |"
    )


def _reached(reached: object) -> str:
    return "reached" if reached else "not reached"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="models; all by default")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "zoo")
    parser.add_argument("--train", action="store_true", help="train only")
    parser.add_argument("--table", action="store_true", help="write the table only")
    asked = parser.parse_args()
    KEPT.mkdir(exist_ok=True)
    for model in () if asked.table else ZOO:
        if asked.names and model.name not in asked.names:
            continue
        folders = [train(model, seed, asked.runs) for seed in model.seeds]
        if asked.train:
            continue
        paths = [export(model, folder) for folder in folders]
        rows = [measure(model, *each) for each in zip(model.seeds, paths, folders, strict=True)]
        (KEPT / f"{model.name}.json").write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
        with atomic_write(model_path(model.name)) as stream:
            stream.write(paths[0].read_bytes())
        write_card(model_path(model.name))
    if not asked.train:
        PAGE.write_text(replace_part(PAGE.read_text("utf-8"), "zoo", table()), "utf-8")


if __name__ == "__main__":
    main()
