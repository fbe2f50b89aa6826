"""How well likely label errors are found: on clean sets, and where five in a hundred labels are swapped.

Usage: python benchmarks/label_errors.py [--write] [--only greek …]
Needs alphabets-dev.zip, MNIST, EMNIST-47 and Hijja in the data folder. Of each set so many images a class are
drawn `DRAWS` times (test parts, which taught `glyphs` nothing), labels are swapped for any other, and what
`kalamos.datasets.label_errors` lists is counted. Real sets hold real errors, so some of what is listed of a
clean one is right. `--write` writes the table of docs/own-data.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from alphabets import read_alphabets
from numpy.typing import NDArray

from kalamos.datasets import load_dataset
from kalamos.datasets.label_errors import embed_characters, judge_labels

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "docs")]
from markers import replace_part  # noqa: E402  (the path must be set first)

PAGE = ROOT / "docs" / "own-data.md"

SWAPPED_SHARE: Final = 0.05

DRAWS: Final = 5

SETS: Final[dict[str, tuple[int, ...]]] = {
    "greek": (5, 10, 20),
    "korean": (5, 10, 20),
    "tagalog": (5, 10, 20),
    "mnist": (10, 300),
    "emnist-47": (10, 100),
    "hijja-28": (10, 100),
}
"""Name -> images a class."""


class Drawn(NamedTuple):
    """Embeddings [N, D] of a set, and their labels int64 [N]."""

    embeddings: NDArray[np.float32]
    labels: NDArray[np.int64]

    def take(self, each: int, generator: np.random.Generator) -> Drawn:
        rows = [
            generator.permutation(np.flatnonzero(self.labels == label))[:each]
            for label in np.unique(self.labels)
        ]
        chosen = np.concatenate(rows)
        return Drawn(self.embeddings[chosen], self.labels[chosen])


def read_set(name: str, most: int) -> Drawn:
    """Embed an alphabet of Omniglot, or so many images a class of a dataset's test part."""
    alphabets = read_alphabets()
    if name in alphabets:
        images: Sequence[NDArray[np.uint8]] = alphabets[name].images
        labels = np.unique(alphabets[name].labels, return_inverse=True)[1]
    else:
        part = load_dataset(name).test
        assert part is not None  # noqa: S101  (all of `SETS` have one)
        generator = np.random.default_rng(0)
        rows = np.concatenate(
            [
                generator.permutation(np.flatnonzero(part.labels == label))[:most]
                for label in np.unique(part.labels)
            ]
        )
        images, labels = [part.images[row] for row in rows.tolist()], part.labels[rows]
    inked, embeddings = embed_characters(images)
    return Drawn(embeddings, labels[inked])


def row_of(name: str, each: int, whole: Drawn) -> str:
    """Return a line of the table."""
    clean = images = listed = found = swapped = 0
    for seed in range(DRAWS):
        generator = np.random.default_rng(seed)
        drawn = whole.take(each, generator)
        classes = int(drawn.labels.max()) + 1
        images += len(drawn.labels)
        clean += len(judge_labels(drawn.embeddings, drawn.labels).errors)
        chosen = generator.permutation(len(drawn.labels))[: round(SWAPPED_SHARE * len(drawn.labels))]
        given = drawn.labels.copy()
        given[chosen] = (given[chosen] + generator.integers(1, classes, len(chosen))) % classes
        errors = judge_labels(drawn.embeddings, given).errors
        listed, swapped = listed + len(errors), swapped + len(chosen)
        found += int(np.isin(errors, chosen).sum())
    return (
        f"| {name} | {classes} | {each} | {clean / images:.1%} of {images:,} | "
        f"{found / max(listed, 1):.0%} of {listed:,} | {found / swapped:.0%} of {swapped:,} |"
    )


def rows_of(names: Sequence[str]) -> Iterator[str]:
    for name in names:
        whole = read_set(name, max(SETS[name]))
        for each in SETS[name]:
            yield row_of(name, each, whole)


HEAD: Final = (
    "| | classes | images a class | clean: listed | swapped: of what is listed | swapped: found |\n"
    "|---|---|---|---|---|---|"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the table of docs/own-data.md")
    parser.add_argument("--only", nargs="+", choices=[*SETS], default=[*SETS], help="sets")
    asked = parser.parse_args()
    rows = []
    for row in rows_of(asked.only):
        print(row, flush=True)
        rows.append(row)
    if asked.write:
        note = f"Measured by `python benchmarks/label_errors.py`, {datetime.now(UTC).date().isoformat()}."
        text = "\n".join([HEAD, *rows, "", note])
        PAGE.write_text(replace_part(PAGE.read_text("utf-8"), "label errors", text), "utf-8")


if __name__ == "__main__":
    main()
