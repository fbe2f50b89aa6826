"""The zoo's table for docs/results.md, and its picture book, docs/zoo.md."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from zoo_models import ZOO, Shipped

from kalamos.evaluation.metrics import wilson_interval

__all__ = ["gallery", "table"]

Rows = list[dict[str, Any]]


def table(kept: Path) -> str:
    """A line for each model and test, from docs/zoo/NAME.json."""
    lines = [
        "| model | network: parameters, file | measured on | accuracy [95 %] | wanted | ECE | under shift | "
        "AUROC, mean and worst set |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for model, rows in _measured(kept):
        lines += [_line(model, place, rows) for place in range(len(model.tests))]
    return "\n".join([*lines, "", *_beside(kept), "", "Measured by `make zoo`; [pictures](zoo.md)."])


def gallery(kept: Path) -> str:
    """Every model's calibration, abstention, shift and mistakes, to look at."""
    parts = [
        "# The shipped models in pictures\n\n"
        "Written by `make zoo` beside the figures in [results.md](results.md). *Reliability*: what a "
        "confidence was worth, on clean test images and on all images of the shift suite. *Risk and "
        "coverage*: how few mistakes are left where the least sure answers are left out. *Mistakes*: the "
        "surest ones, each image beside what the model saw of it."
    ]
    for model, _ in _measured(kept):
        lines = [f"## {model.name}"]
        for wanted in model.tests:
            lines += [
                f"### {wanted.dataset}",
                " ".join(
                    _image(f"{model.name}-{wanted.dataset}", k) for k in ("reliability", "risk-coverage")
                ),
                _image(f"{model.name}-{wanted.dataset}", "mistakes"),
            ]
        lines += ["### Under shift", " ".join(_image(model.name, k) for k in ("shift", "shift-reliability"))]
        parts += lines
    return "\n\n".join(parts) + "\n"


def _measured(kept: Path) -> list[tuple[Shipped, Rows]]:
    paths = {model: kept / f"{model.name}.json" for model in ZOO}
    return [(model, json.loads(path.read_text("utf-8"))) for model, path in paths.items() if path.exists()]


def _image(stem: str, kind: str) -> str:
    return f"![{stem}: {kind}](images/zoo/{stem}-{kind}.png)"


def _line(model: Shipped, place: int, rows: Rows) -> str:
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
        value, under = first["shift"]["means"]["all"]["value"], first["shift"]["ece"]
        shift = f"{value:.1%} (≥ {model.shift:.0%}: {_reached(value >= model.shift)}), ECE {under:.1%}"
        rocs = {name: each["auroc"] for name, each in first["outliers"].items()}
        worst = min(rocs, key=lambda name: rocs[name])
        outliers = f"{mean(rocs.values()):.3f}, {rocs[worst]:.3f} ({worst})"
    kind = ", int8" if first["int8"] else ""
    return (
        f"| [{model.name}](../src/kalamos/zoo/{model.name}.md) | `{first['architecture']}`: "
        f"{first['parameters']:,}, {first['bytes'] / 1000:,.0f} kB{kind} | {wanted.dataset} {test['split']} "
        f"| {figure} | {verdict} | {ece} | {shift} | {outliers} |"
    )


def _beside(kept: Path) -> list[str]:
    lines = [
        "Beside these, not instead of them: small letters read as their capitals counted as right, likewise "
        "characters that only neighbours tell apart (0 O, 1 I l, 5 S, 2 Z; ب ت ث ن ي), and nine copies of "
        "each image, moved by a pixel, averaged.",
        "",
        "| model | measured on | accuracy | case folded | confusables merged | with test-time augmentation |",
        "|---|---|---|---|---|---|",
    ]
    for model, rows in _measured(kept):
        for test in rows[0]["tests"]:
            figures = [
                test[key]
                for key in ("accuracy", "case_folded", "confusables_merged", "test_time_augmentation")
            ]
            told = " | ".join("–" if figure is None else f"{figure:.2%}" for figure in figures)
            lines.append(f"| {model.name} | {test['dataset']} {test['split']} | {told} |")
    return lines


def _reached(reached: object) -> str:
    return "reached" if reached else "not reached"
