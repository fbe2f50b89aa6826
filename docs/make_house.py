"""Draw docs/house.svg: the packages of kalamos in their layers, as pyproject.toml declares them.

Usage: python docs/make_house.py [PNG]
"""

from __future__ import annotations

import ast
import sys
import textwrap
import tomllib
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src"
WIDTH_INCHES = 11.0
BOX_HEIGHT = 1.0
"""Height of a layer, where layers are `BOX_HEIGHT + GAP` apart."""
GAP = 0.22
NEEDS_EXTRA = {"app": "[app]", "cluster": "[cluster]", "learn": "[train]"}
"""Folders that an extra belongs to; all else is what `pip install kalamos` brings."""


def layers() -> list[list[str]]:
    """The layers of import-linter's contract, the top one first."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for contract in settings["tool"]["importlinter"]["contracts"]:
        if contract["type"] == "layers":
            return [[name.strip() for name in layer.split("|")] for layer in contract["layers"]]
    raise SystemExit("pyproject.toml has no contract of layers")


def files_of(package: str) -> list[Path]:
    """The modules of a package, or the one file that it is."""
    path = SOURCE / Path(*package.split("."))
    return sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


def summary_of(package: str) -> str:
    """The first sentence of the docstring of a package."""
    path = SOURCE / Path(*package.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split()).partition(". ")[0].rstrip(".")


def draw() -> plt.Figure:
    rows = layers()
    figure, axis = plt.subplots(figsize=(WIDTH_INCHES, 0.84 * len(rows)), layout="constrained")
    axis.set_xlim(0, 12)
    axis.set_ylim(-len(rows) * (BOX_HEIGHT + GAP), 0)
    axis.axis("off")
    for row, packages in enumerate(rows):
        width = 12 / len(packages)
        for column, package in enumerate(packages):
            left, top = column * width, -row * (BOX_HEIGHT + GAP)
            name = package.removeprefix("kalamos.")
            extra = NEEDS_EXTRA.get(name, "")
            axis.add_patch(
                plt.Rectangle(
                    (left + 0.05, top - BOX_HEIGHT),
                    width - 0.1,
                    BOX_HEIGHT,
                    facecolor="#fdeccf" if extra else "#e3eef9",
                    edgecolor="#7d8590",
                    linewidth=0.8,
                )
            )
            paths = files_of(package)
            lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)
            count = f"{len(paths)} file{'s' * (len(paths) > 1)}, {lines:,} lines"
            axis.text(left + 0.15, top - 0.14, f"{name} {extra}", fontsize=9.5, weight="bold", va="top")
            columns = int(width * 14)
            text = "\n".join(textwrap.wrap(summary_of(package), columns, max_lines=2, placeholder=" …"))
            axis.text(left + 0.15, top - 0.40, text, fontsize=6.3, va="top", color="#24292f")
            axis.text(left + 0.15, top - 0.94, count, fontsize=6, color="#57606a")
    return figure


def main() -> None:
    mpl.rcParams.update({"svg.hashsalt": "kalamos", "svg.fonttype": "none"})  # small, and the same every time
    figure = draw()
    figure.savefig(ROOT / "docs" / "house.svg", metadata={"Date": None})
    if len(sys.argv) > 1:
        figure.savefig(sys.argv[1], dpi=110)


if __name__ == "__main__":
    main()
