"""Draw docs/samples.png: the samples, what the model saw of each, and what it read.

Usage: python docs/make_picture.py
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
import numpy as np

import kalamos
from kalamos.images import load_grey

ROOT = Path(__file__).parent.parent
COLUMNS = 6
GREEN, RED = "#1a7f37", "#b42318"


def main() -> None:
    reader = kalamos.load("digits")
    paths = sorted((ROOT / "samples").glob("*.[pj]*g"))
    rows = -(-len(paths) // COLUMNS)
    figure, axes = plt.subplots(2 * rows, COLUMNS, figsize=(1.35 * COLUMNS, 3.0 * rows), layout="constrained")
    for axis in axes.flat:
        axis.axis("off")
    for index, path in enumerate(paths):
        above, below = (axes[2 * (index // COLUMNS) + part, index % COLUMNS] for part in (0, 1))
        above.imshow(load_grey(path), cmap="gray", vmin=0, vmax=255)
        above.set_title(path.name, fontsize=7, color="#555555")
        guess = reader.predict(path)
        seen = reader.prepare(path) if guess.error is None else np.zeros((28, 28))
        below.imshow(seen, cmap="gray", vmin=0, vmax=255)
        said = guess.label if guess.error is None else guess.error.summary
        sure = f"  {guess.confidence:.1%}" if guess.confidence is not None else ""
        below.set_title(f"{said}{sure}", fontsize=10, color=GREEN if guess.label else RED)
    figure.savefig(ROOT / "docs" / "samples.png", dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
