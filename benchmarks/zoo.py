"""`make zoo`: the shipped models, from their recipes to their cards.

Usage: python benchmarks/zoo.py [NAME ...] [--runs runs/zoo] [--train] [--again] [--pages]
For each model: train what is not trained (an interrupted run goes on), export, give the file its memory for
teaching, measure it once on the test splits, under shift and against outliers, keep that in
docs/zoo/NAME.json, in pictures and in the file, install the first seed's file and card in src/kalamos/zoo.
`--train` stops after the training; `--again` trains nothing and measures the files that ship (preprocessing
changed, say: other seeds keep their figures and dates), with `--tests-only` on the test splits alone;
`--pages` only writes docs/results.md and docs/zoo.md anew. Teachers come first: a recipe names their run
folders, or what ships. Recipes that learn from drawn fonts too need `make fonts` before.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from zoo_figures import measure
from zoo_models import ZOO, Shipped
from zoo_pages import gallery, table

from kalamos.datasets import load_dataset
from kalamos.errors import ExportError, ModelFileError
from kalamos.finetune.examples import Examples
from kalamos.finetune.replay import store_embedding_stats
from kalamos.learn import Callback, EpochReport, load_recipe, load_run, resume_run, run_recipe
from kalamos.learn.export import export_run
from kalamos.learn.export.int8 import calibration_data, export_int8
from kalamos.learn.run import read_split
from kalamos.utils.atomic_write import write_bytes
from kalamos.zoo import model_path, write_card

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "docs")]
from markers import replace_part  # noqa: E402  (the path must be set first)

KEPT, PAGE, GALLERY = ROOT / "docs" / "zoo", ROOT / "docs" / "results.md", ROOT / "docs" / "zoo.md"
PICTURES = ROOT / "docs" / "images" / "zoo"


class _Lines(Callback):
    def on_epoch(self, report: EpochReport) -> None:
        print(
            f"  epoch {report.epoch}: loss {report.loss:.4f}, validation {report.val_accuracy:.2%}, "
            f"{report.images_per_second:,.0f} images/s",
            flush=True,
        )


def train(name: str, seed: int | None, runs: Path) -> Path:
    """Train a recipe, after those that it goes on from or learns from; return the finished run's folder."""
    folder = runs / (name if seed is None else f"{name}-{seed}")
    recipe = load_recipe(ROOT / "recipes" / f"{name}.toml")
    for file in (recipe.weights, *recipe.teachers):
        path = ROOT / file
        if path.parent.resolve() == runs.resolve() and not path.exists():
            prepare(path, runs)
    print(folder.name, flush=True)
    if (folder / "run.json").exists():
        resume_run(folder, callback=_Lines())
    else:
        run_recipe(recipe if seed is None else replace(recipe, seed=seed), run_dir=folder, callback=_Lines())
    return folder


def prepare(path: Path, runs: Path) -> None:
    """Make what a recipe names: RECIPE or RECIPE-SEED is a run's folder, with .onnx its model file."""
    name, seed = path.stem, None
    if not (ROOT / "recipes" / f"{name}.toml").exists():
        name, _, number = name.rpartition("-")
        seed = int(number)
    folder = train(name, seed, runs)
    if path.suffix:
        export_run(load_run(folder), name, path, licence="Apache-2.0")


def export(model: Shipped, folder: Path) -> Path:
    """The model file beside the run: int8 where that is wanted and loses nothing, else float."""
    path = Path(f"{folder}.onnx")
    run, split = load_run(folder), read_split(folder)
    spec = export_run(run, model.name, path, licence="Apache-2.0")
    if model.int8:
        try:
            export_int8(path.read_bytes(), calibration_data(spec, split=split), path)
        except ExportError as error:
            print(f"  float stays: {error}", flush=True)
    dataset = load_dataset(run.recipe.dataset)
    learnt = dataset.train.take(split.train)
    labels = tuple(dataset.alphabet.labels[label] for label in learnt.labels.tolist())
    try:
        content = store_embedding_stats(
            path.read_bytes(), Examples(dataset.name, learnt.images, labels), path.name
        )
    except ModelFileError as error:
        print(f"  without a memory for teaching: {error}", flush=True)
    else:
        write_bytes(path, content)
    return path


def learning(folder: Path) -> dict[str, Any]:
    run = load_run(folder)
    return {"val_accuracy": run.val_accuracy, "epochs": len(run.epochs), "seconds": run.seconds}


def keep(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="models; all by default")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "zoo")
    parser.add_argument("--train", action="store_true", help="train only")
    parser.add_argument("--again", action="store_true", help="train nothing, measure what ships")
    parser.add_argument("--tests-only", action="store_true", help="with --again: the test splits alone")
    parser.add_argument("--pages", action="store_true", help="write the pages only")
    asked = parser.parse_args()
    for folder in (KEPT, PICTURES):
        folder.mkdir(exist_ok=True)
    for model in () if asked.pages else ZOO:
        if asked.names and model.name not in asked.names:
            continue
        kept = KEPT / f"{model.name}.json"
        if asked.again:
            if kept.exists():
                print(model.name, flush=True)
                first, *others = json.loads(kept.read_text("utf-8"))
                figures = measure(model, model_path(model.name), PICTURES, first, tests_only=asked.tests_only)
                keep(kept, [figures, *others])
                write_card(model_path(model.name))
            continue
        others = model.seeds[1:]
        folders = [train(model.name, seed, asked.runs) for seed in (None, *others)]
        if asked.train:
            continue
        paths = [export(model, folder) for folder in folders]
        told = map(learning, folders)
        keep(kept, [measure(model, path, PICTURES, each) for path, each in zip(paths, told, strict=True)])
        write_bytes(model_path(model.name), paths[0].read_bytes())
        write_card(model_path(model.name))
    if not asked.train:
        PAGE.write_text(replace_part(PAGE.read_text("utf-8"), "zoo", table(KEPT)), "utf-8")
        GALLERY.write_text(gallery(KEPT), "utf-8")


if __name__ == "__main__":
    main()
