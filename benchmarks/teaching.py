"""Five Arabic letters taught to a model that was trained on the other 23: the curve in docs/teaching.md.

Usage: python benchmarks/teaching.py [--run runs/teaching] [--table]
Writes AHCD and Hijja without the five letters as datasets, trains recipes/teaching-ahcd-23.toml on them,
teaches the model the five from 1, 5, 10 and 20 of AHCD's training images each, and measures on its test
split. The figures are kept in docs/teaching.json; `--table` only writes the page anew from those.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean, stdev
from time import process_time
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import kalamos
from kalamos.datasets import Dataset, load_dataset
from kalamos.evaluation.metrics import wilson_interval
from kalamos.finetune import Examples, fine_tune, load_examples
from kalamos.finetune.head import split_model
from kalamos.finetune.replay import store_embedding_stats
from kalamos.learn import load_recipe, resume_run, run_recipe
from kalamos.learn.export import export_run
from kalamos.model_file import open_model
from kalamos.preprocessing import Preprocessor

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "docs")]
from markers import replace_part  # noqa: E402  (the path must be set first)

PAGE, KEPT = ROOT / "docs" / "teaching.md", ROOT / "docs" / "teaching.json"
SEED, LETTERS, COUNTS, DRAWS = 42, 5, (1, 5, 10, 20), 5
WANTED, MAY_LOSE = 0.9, 0.01


def held_out() -> NDArray[np.int64]:
    """Which letters the model is not trained on: drawn once, before anything was measured."""
    return np.sort(np.random.default_rng(SEED).choice(28, LETTERS, replace=False))


def write_dataset(letters: Dataset, manifest: Path) -> None:
    (manifest.parent / "images").mkdir(parents=True, exist_ok=True)
    groups = letters.train.groups
    assert groups is not None  # noqa: S101  (AHCD tells its writers, Hijja its sheets)
    with manifest.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(["path", "label", "group"])
        for row in np.flatnonzero(~np.isin(letters.train.labels, held_out())).tolist():
            path = f"images/{row:05d}.png"
            cv2.imwrite(str(manifest.parent / path), letters.train.images[row])
            table.writerow([path, letters.alphabet.labels[letters.train.labels[row]], groups[row]])


def base_model(ahcd: Dataset, folder: Path) -> bytes:
    """Trained where it is not yet."""
    recipe = load_recipe(ROOT / "recipes" / "teaching-ahcd-23.toml")
    [further] = recipe.extra_datasets
    for letters, manifest in ((ahcd, Path(recipe.dataset)), (load_dataset("hijja-28"), Path(further))):
        assert letters.alphabet.labels == ahcd.alphabet.labels  # noqa: S101  (so `held_out` means the same)
        if not manifest.exists():
            write_dataset(letters, manifest)
    path = folder / "base.onnx"
    if not path.exists():
        run_dir = folder / "base"
        started = (run_dir / "run.json").exists()
        run = resume_run(run_dir) if started else run_recipe(recipe, run_dir=run_dir, device="cpu")
        export_run(run, "ahcd-23", path)
    return path.read_bytes()


def measure(ahcd: Dataset, folder: Path) -> dict[str, Any]:
    base = base_model(ahcd, folder)
    remembering = store_embedding_stats(base, load_examples(folder / "ahcd-23" / "manifest.csv"))
    spec = open_model(base).spec
    body, head = split_model(base, spec, "base")
    assert ahcd.test is not None  # noqa: S101  (AHCD has one)
    preprocessor = Preprocessor(spec.preprocessing)
    prepared = preprocessor.images(list(ahcd.test.images))
    assert all(isinstance(image, np.ndarray) for image in prepared)  # noqa: S101  (no blank one)
    embeddings = body(preprocessor.batch(prepared))  # type: ignore[arg-type]
    truth = np.array([ahcd.alphabet.labels[label] for label in ahcd.test.labels])
    new = np.isin(ahcd.test.labels, held_out())

    def right(answers: NDArray[np.float64], labels: tuple[str, ...]) -> NDArray[np.bool_]:
        return np.array(labels)[answers.argmax(axis=1)] == truth

    before = right(head.logits(embeddings), spec.alphabet.labels)[~new]
    rows = []
    for memory, content in ((True, remembering), (False, base)):
        for count in COUNTS:
            for draw in range(DRAWS):
                generator = np.random.default_rng((SEED, count, draw))
                chosen = np.concatenate(
                    [
                        generator.choice(np.flatnonzero(ahcd.train.labels == letter), count, replace=False)
                        for letter in held_out()
                    ]
                )
                part = ahcd.train.take(chosen)
                labels = [ahcd.alphabet.labels[label] for label in part.labels]
                started = process_time()
                lesson = fine_tune(
                    content, Examples.of(list(part.images), labels, "ahcd-5"), holdout=0, seed=draw
                )
                seconds = process_time() - started
                # The file's gate has compared its last layer with its logits already.
                _, taught = split_model(lesson.content, lesson.spec, "taught")
                after = right(taught.logits(embeddings), lesson.labels)
                rows.append(
                    {
                        "memory": memory,
                        "count": count,
                        "draw": draw,
                        "new": float(after[new].mean()),
                        "old": float(after[~new].mean()),
                        "seconds": seconds,
                    }
                )
                print(rows[-1], flush=True)
    return {
        "letters": [ahcd.alphabet.labels[letter] for letter in held_out()],
        "before": float(before.mean()),
        "old_n": int((~new).sum()),
        "new_n": int(new.sum()),
        "memory_bytes": len(remembering) - len(base),
        "model_bytes": len(base),
        "rows": rows,
        "date": datetime.now(UTC).date().isoformat(),
        "kalamos": kalamos.__version__,
    }


def table(kept: dict[str, Any]) -> str:
    low, high = wilson_interval(round(kept["before"] * kept["old_n"]), kept["old_n"])
    lines = [
        f"Held out: {' '.join(kept['letters'])} (drawn with seed {SEED}). Before: {kept['before']:.2%} "
        f"[{low:.2%}, {high:.2%}] of the {kept['old_n']:,} test images of the 23 letters. A memory takes "
        f"{kept['memory_bytes'] / 1000:,.0f} kB beside the model's {kept['model_bytes'] / 1000:,.0f}.",
        "",
        f"| memory | examples a class | new letters right (n = {kept['new_n']}) "
        "| old letters lose, in points | seconds | wanted |",
        "|---|---|---|---|---|---|",
    ]
    for memory in (True, False):
        for count in COUNTS:
            rows = [row for row in kept["rows"] if row["memory"] == memory and row["count"] == count]
            new = [row["new"] for row in rows]
            lost = [kept["before"] - row["old"] for row in rows]
            verdict = ""
            if count == 10:
                reached = mean(new) >= WANTED and mean(lost) <= MAY_LOSE
                verdict = f"{WANTED:.0%} and {MAY_LOSE * 100:g}: {'reached' if reached else 'not reached'}"
            lines.append(
                f"| {'yes' if memory else 'no'} | {count} | {mean(new):.1%} (sd {stdev(new):.1%}; "
                f"{min(new):.1%} to {max(new):.1%}) | {mean(lost) * 100:.2f} (sd {stdev(lost) * 100:.2f}) "
                f"| {mean(row['seconds'] for row in rows):.1f} | {verdict} |"
            )
    return "\n".join([*lines, "", f"{DRAWS} draws each. Measured by `make teaching`, {kept['date']}."])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--run", type=Path, default=ROOT / "runs" / "teaching")
    parser.add_argument("--table", action="store_true")
    asked = parser.parse_args()
    if not asked.table:
        KEPT.write_text(json.dumps(measure(load_dataset("ahcd"), asked.run), indent=1) + "\n", "utf-8")
    page = replace_part(PAGE.read_text("utf-8"), "teaching", table(json.loads(KEPT.read_text("utf-8"))))
    PAGE.write_text(page, "utf-8")


if __name__ == "__main__":
    main()
