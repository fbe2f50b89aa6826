"""`make results`: train what is not trained yet, measure it once, and write docs/results.md.

Usage: python benchmarks/results.py [NAME ...] [--runs runs/results] [--table]
Every row is a recipe in recipes/. A run that is there is taken, an interrupted one goes on. What was
measured is kept in docs/results/NAME.json; `--table` only writes the page anew from those. The name `lesson`
compares the transfer systems with `kalamos compare`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean, stdev

import kalamos
from kalamos.datasets import Split, load_dataset
from kalamos.evaluation.evaluate import evaluate_split, run_split
from kalamos.evaluation.metrics import wilson_interval
from kalamos.learn import Callback, EpochReport, Run, load_recipe, resume_run, run_recipe
from kalamos.learn.export import export_run
from kalamos.learn.models import count_parameters

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "docs")]
from markers import replace_part  # noqa: E402  (the path must be set first)

KEPT, PAGE, IMAGES = ROOT / "docs" / "results", ROOT / "docs" / "results.md", ROOT / "docs" / "images"
LESSON = ("mnist-cnn2", "mnist-transfer-random", "mnist-transfer-letters", "mnist-transfer-finetuned")


@dataclass(frozen=True)
class Bench:
    """A row of the table.

    Attributes:
        recipe: its name in recipes/.
        on: "test", the official split, or "val", what the run held out.
        what: the images, in words.
        claim: what the project that it comes from says of itself.
        wanted: accuracy in [0, 1]; 0 where the row is there to be looked at.
        seeds: each is a run of its own.
    """

    recipe: str
    on: str
    what: str
    claim: str
    wanted: float
    seeds: tuple[int, ...] = (42,)


BENCHES = (
    Bench("ocr-arabic-mobilenet_v3", "val", "OCR-Arabic, stratified 80/20", "98.01 % val (plain CNN)", 0.99),
    Bench("ocr-arabic-mobilenet_v3-fonts", "val", "OCR-Arabic, unseen fonts", "", 0.0),
    Bench("emnist-47-lenet_bn", "test", "EMNIST-47 balanced bench", "89.50 % (published weights)", 0.895),
    Bench("mnist-cnn3", "test", "MNIST test", "99.3 %", 0.993),
    Bench("mnist-cnn64", "test", "MNIST test at 64 px", "96 to 97 %", 0.985),
    Bench("mnist-cnn2", "test", "MNIST test", "99.28 %", 0.0),
    Bench("hijja-mobilenet_v2", "val", "Hijja, unseen blocks of IDs", "", 0.0),
    Bench("mnist-transfer-random", "test", "MNIST test", "66.52 % (ImageNet backbone)", 0.0),
    Bench("mnist-transfer-letters", "test", "MNIST test", "", 0.0),
    Bench("mnist-transfer-finetuned", "test", "MNIST test", "", 0.0),
    Bench("arabic-print-fonts", "val", "OCR-Arabic, unseen fonts", "", 0.0),
)


@dataclass(frozen=True)
class Measured:
    """One model on its bench."""

    seed: int
    accuracy: float
    n: int
    right: int
    ece: float
    val_accuracy: float
    epochs: int
    train_count: int
    seconds: float
    parameters: int
    all_parameters: int
    sha256: str
    date: str
    kalamos: str


class _Lines(Callback):
    def on_epoch(self, report: EpochReport) -> None:
        print(
            f"  epoch {report.epoch}: loss {report.loss:.4f}, validation {report.val_accuracy:.2%}",
            flush=True,
        )


def measure(bench: Bench, seed: int, runs: Path) -> Measured:
    recipe = replace(load_recipe(ROOT / "recipes" / f"{bench.recipe}.toml"), seed=seed)
    folder = runs / (bench.recipe if seed == bench.seeds[0] else f"{bench.recipe}-{seed}")
    if (folder / "run.json").exists():
        run = resume_run(folder, callback=_Lines())
    else:
        run = run_recipe(recipe, run_dir=folder, callback=_Lines())
    _check_same(recipe.to_mapping(), run, folder)
    model = Path(f"{folder}.onnx")
    if not model.exists():
        export_run(run, folder.name, model)
    dataset = load_dataset(recipe.dataset)
    split = run_split(dataset, folder, "val") if bench.on == "val" else dataset.test
    assert isinstance(split, Split)  # noqa: S101  (a bench names a split that there is)
    result = evaluate_split(kalamos.load(model), split, dataset.alphabet.labels)
    return Measured(
        seed=seed,
        accuracy=result.accuracy,
        n=result.n,
        right=int(result.correct.sum()),
        ece=result.ece,
        val_accuracy=run.val_accuracy,
        epochs=len(run.epochs),
        train_count=run.train_count,
        seconds=run.seconds,
        parameters=count_parameters(run.network),
        all_parameters=count_parameters(run.network, trainable=False),
        sha256=result.sha256,
        date=datetime.now(UTC).date().isoformat(),
        kalamos=kalamos.__version__,
    )


def table() -> str:
    lines = [
        "| recipe | network: parameters | measured on | accuracy [95 %] | wanted | the seed's claim |",
        "|---|---|---|---|---|---|",
    ]
    for bench in BENCHES:
        path = KEPT / f"{bench.recipe}.json"
        if path.exists():
            lines.append(_row(bench, [Measured(**row) for row in json.loads(path.read_text("utf-8"))]))
    dates = sorted({json.loads(path.read_text("utf-8"))[0]["date"] for path in KEPT.glob("*.json")})
    return "\n".join([*lines, "", f"Measured by `make results`, {' and '.join(dates)}."])


def _row(bench: Bench, measured: list[Measured]) -> str:
    recipe = load_recipe(ROOT / "recipes" / f"{bench.recipe}.toml")
    first = measured[0]
    low, high = wilson_interval(first.right, first.n)
    figure = f"{first.accuracy:.2%} [{low:.2%}, {high:.2%}], n = {first.n:,}"
    if len(measured) > 1:
        values = [m.accuracy for m in measured]
        figure += f"; {len(values)} seeds: mean {mean(values):.2%}, sd {stdev(values):.2%}"
    verdict = ""
    if bench.wanted:
        reached = mean(m.accuracy for m in measured) >= bench.wanted
        verdict = f"{bench.wanted:.1%}: {'reached' if reached else 'not reached'}"
    frozen = f" of {first.all_parameters:,}" if first.all_parameters != first.parameters else ""
    return (
        f"| [{bench.recipe}](../recipes/{bench.recipe}.toml) | `{recipe.arch}`: {first.parameters:,}{frozen} "
        f"| {bench.what} | {figure} | {verdict} | {bench.claim} |"
    )


def lesson(runs: Path) -> str:
    """What `kalamos compare` says of a small network, and of a large one with and without what it learnt
    elsewhere; its picture goes to docs/images.
    """
    with tempfile.TemporaryDirectory() as folder:
        taken = [part for name in LESSON for part in ("--run", str(runs / name))]
        command = [
            sys.executable,
            "-m",
            "kalamos",
            "compare",
            "mnist",
            *taken,
            "--output",
            f"{folder}/lesson",
        ]
        subprocess.run(command, check=True)
        told = Path(folder, "lesson")
        IMAGES.mkdir(exist_ok=True)
        shutil.copyfile(told / "comparison.png", IMAGES / "transfer.png")
        _, _, body = (told / "comparison.md").read_text("utf-8").partition("\n\n")
    return f"{body.rstrip()}\n\n![Accuracy against time, and validation error](images/transfer.png)"


def _check_same(recipe: dict[str, object], run: Run, folder: Path) -> None:
    """A run of an older recipe must not stand for the one that is committed."""
    was = run.recipe.to_mapping()
    differing = [key for key, value in recipe.items() if value != was[key] and value != []]
    if differing:
        raise SystemExit(f"{folder}: its recipe differs in {', '.join(differing)}; remove the folder")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="recipes; all by default")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "results")
    parser.add_argument("--table", action="store_true")
    asked = parser.parse_args()
    KEPT.mkdir(exist_ok=True)
    for bench in [] if asked.table else BENCHES:
        if asked.names and bench.recipe not in asked.names:
            continue
        print(bench.recipe, flush=True)
        rows = [asdict(measure(bench, seed, asked.runs)) for seed in bench.seeds]
        (KEPT / f"{bench.recipe}.json").write_text(json.dumps(rows, indent=2) + "\n", "utf-8")
    page = replace_part(PAGE.read_text("utf-8"), "results", table())
    if not asked.table and (not asked.names or "lesson" in asked.names):
        page = replace_part(page, "lesson", lesson(asked.runs))
    PAGE.write_text(page, "utf-8")


if __name__ == "__main__":
    main()
