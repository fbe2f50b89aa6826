"""What each part of a recipe is worth: one thing changed at a time, judged on validation images.

Usage: python benchmarks/trials.py [NAME ...] [--runs runs/trials] [--page]
Every trial is the recipe `BASE` with the overlay in `TRIALS`; what is trained already is not trained again
(an interrupted run goes on). Writes docs/trials.json and docs/trials.md; `--page` only writes the page. A
gain is told with the 95 % interval of paired answers (bootstrap over the images): trials share their split.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from kalamos_cx import kalamos_cx
from numpy.typing import NDArray

from kalamos.datasets import load_dataset
from kalamos.datasets.dataset import prepare_split
from kalamos.learn import Callback, EpochReport, Run, load_recipe, resume_run, run_recipe
from kalamos.learn.data import Examples
from kalamos.learn.loop import infer_examples
from kalamos.learn.models import ARCHITECTURES, count_parameters
from kalamos.learn.run import read_split
from kalamos.preprocessing import Preprocessor

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "docs")]
from markers import replace_part  # noqa: E402  (the path must be set first)

Right = NDArray[np.bool_]

KEPT, PAGE = ROOT / "docs" / "trials.json", ROOT / "docs" / "trials.md"
RESAMPLES = 1000

ARCHITECTURES.register("kalamos_cx")(kalamos_cx)

LATIN = load_recipe(ROOT / "recipes" / "latin-emnist.toml")


def letters_of(size: int, canvas: int) -> list[dict[str, Any]]:
    """`latin`'s preprocessing at another size, in pixels; strokes keep their share of it."""
    sized = {
        "stroke": {"size": size, "thinnest": round(0.075 * size, 2), "thickest": round(0.225 * size, 2)},
        "resize": {"size": size},
        "centre": {"size": canvas},
    }
    return [step | sized.get(str(step["step"]), {}) for step in LATIN.preprocessing]


ALONE = {
    "outliers": 0,
    "synthetic_photo_prob": 0.0,
    "teachers": [],
    "distillation": 0.0,
    "extra_datasets": [],
}
BASE = LATIN.with_overrides(
    {
        **ALONE,
        "preprocessing": letters_of(24, 28),
        "epochs": 6,
        "val_fraction": 0.5,
        "ema_decay": 0.998,
        "no_aug_epochs": 1,
    }
)
TRIALS: dict[str, tuple[str, dict[str, Any] | None]] = {
    "base": (f"`latin`'s recipe, alone, {BASE.epochs} epochs", {}),
    "no-ema": ("last weights, not their moving average", {"ema_decay": 0.0}),
    "no-clean-epoch": ("augmentation to the end", {"no_aug_epochs": 0}),
    "label-smoothing": ("label smoothing 0.05", {"label_smoothing": 0.05}),
    "mixup": ("mixup 0.2", None),  # measured with kalamos 0.1, which had it
    "convnext": (
        "ConvNeXt's blocks (`kalamos_cx`), AdamW as they ask for",
        {"arch": "kalamos_cx", "optimizer": "adamw", "lr": 0.004, "weight_decay": 0.05},
    ),
    "residual": ("residual blocks (`kalamos_s`), 3 times the cost", {"arch": "kalamos_s"}),
    # Not from `latin-large`, which has seen the other half.
    "distilled": ("distilled from the above", {"teachers": ["runs/trials/residual"], "distillation": 0.9}),
    "longer": (f"{3 * BASE.epochs} epochs", {"epochs": 3 * BASE.epochs}),
    "photographs": ("3 in 10 images as photographed", {"synthetic_photo_prob": 0.3}),
    "outliers": ("outlier exposure", {"outliers": 20000, "outlier_share": 0.1, "outlier_weight": 0.1}),
    "plain-moves": ("no pens: augmentation `kalamos`", {"augmentation": "kalamos"}),
    "no-adjustment": ("no logit adjustment", {"logit_adjustment": 0.0}),
    "larger": ("glyphs of 32 px on 36, not of 24 on 28", {"preprocessing": letters_of(32, 36)}),
    "fonts": ("drawn fonts besides", {"extra_datasets": ["build/rendered/latin-47"]}),
}


class _Lines(Callback):
    def on_epoch(self, report: EpochReport) -> None:
        print(f"  epoch {report.epoch}: {report.val_accuracy:.2%}, {report.seconds:.0f} s", flush=True)


def trained(name: str, runs: Path) -> Run:
    folder = runs / name
    print(name, flush=True)
    if (folder / "run.json").exists():
        return resume_run(folder, callback=_Lines())
    return run_recipe(BASE.with_overrides(TRIALS[name][1] or {}), run_dir=folder, callback=_Lines())


def figures(run: Run, folder: Path, base: Right | None) -> dict[str, Any]:
    """Mean recall over the classes, as the balanced bench counts, and what it gains on `base`'s answers."""
    right, labels = answers(run, folder)
    found: dict[str, Any] = {
        "parameters": count_parameters(run.network),
        "minutes": run.seconds / 60,
        "n": len(right),
        "mean_recall": float(recall(right, labels)),
        "date": datetime.now(UTC).date().isoformat(),
    }
    if base is not None:
        gain = right.astype(float) - base
        draw = np.random.default_rng(0)
        rows = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        means = [
            np.mean([gain[draw.choice(of_class, len(of_class))].mean() for of_class in rows])
            for _ in range(RESAMPLES)
        ]
        low, high = np.quantile(means, [0.025, 0.975])
        found |= {"gain": float(recall(gain, labels)), "low": float(low), "high": float(high)}
    return found


def answers(run: Run, folder: Path) -> tuple[Right, NDArray[np.int64]]:
    """Which of the validation images with ink were read rightly, bool [N]; and their labels, int64 [N]."""
    dataset, preprocessor = load_dataset(run.recipe.dataset), Preprocessor(run.recipe.preprocessing)
    prepared, _ = prepare_split(dataset.train.take(read_split(folder).val), preprocessor)
    data = Examples.of(prepared.stack(), prepared.labels, len(dataset.alphabet), preprocessor)
    return infer_examples(run.network, data).argmax(1).numpy() == prepared.labels, prepared.labels


def recall(values: NDArray[Any], labels: NDArray[np.int64]) -> float:
    return float(np.mean([values[labels == label].mean() for label in np.unique(labels)]))


def page(kept: dict[str, Any]) -> str:
    lines = [
        f"One thing changed at a time in `latin`'s recipe, shortened to {BASE.epochs} epochs on half of the "
        "images, at EMNIST's own size, without photographs, outliers and fonts: "
        "`python benchmarks/trials.py`. Judged by the mean recall over EMNIST-47's 47 classes on the other "
        f"half of the training images, n = {kept['base']['n']:,}; one seed. The interval is that of the "
        "paired difference over these "
        "images (bootstrap), so it does not hold what another seed would change. What helps clean images "
        "little may still be what reads photographs: see the shift suite.",
        "",
        "| changed | parameters | mean recall | gain in points [95 %] | minutes to train |",
        "|---|---|---|---|---|",
    ]
    for name, (told, _) in TRIALS.items():
        if name in kept:
            found = kept[name]
            gain = (
                f"{100 * found['gain']:+.2f} [{100 * found['low']:+.2f}, {100 * found['high']:+.2f}]"
                if "gain" in found
                else "–"
            )
            lines.append(
                f"| {told} | {found['parameters']:,} | {found['mean_recall']:.2%} | {gain} | "
                f"{found['minutes']:.0f} |"
            )
    dates = sorted({found["date"] for found in kept.values()})
    lines += ["", f"Measured {' and '.join(dict.fromkeys((dates[0], dates[-1])))}."]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(TRIALS)}; all by default")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "trials")
    parser.add_argument("--page", action="store_true", help="write the page only")
    asked = parser.parse_args()
    kept: dict[str, Any] = json.loads(KEPT.read_text("utf-8")) if KEPT.exists() else {}
    base: Right | None = None
    for name in (
        () if asked.page else asked.names or [name for name, (_, over) in TRIALS.items() if over is not None]
    ):
        if base is None and name != "base":
            base, _ = answers(trained("base", asked.runs), asked.runs / "base")
        kept[name] = figures(trained(name, asked.runs), asked.runs / name, None if name == "base" else base)
        KEPT.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
    PAGE.write_text(replace_part(PAGE.read_text("utf-8"), "trials", page(kept)), "utf-8")


if __name__ == "__main__":
    main()
