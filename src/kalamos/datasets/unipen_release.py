"""Read isolated characters from UNIPEN's own files: the public release train_r01_v07, or files like it.

Usage: python -m kalamos.datasets.unipen_release train_r01_v07 -o unipen-train.npz

A file of `data/<category>/<source>/` names the characters (`.SEGMENT CHARACTER 3-4 OK "A"`) among the strokes
of the files that it includes (`.INCLUDE apb/data/apb02/app0237.dat`), which lie in `include/` and may include
others. Strokes are numbered from 0, in the order of their `.PEN_DOWN`; y goes upwards.

Guyon, Schomaker, Plamondon, Liberman and Janet 1994; doi.org/10.5281/zenodo.1195803, CC BY 4.0.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kalamos.alphabets import LATIN_62
from kalamos.datasets.strokes import SPAN, StrokeSet
from kalamos.errors import DatasetError, KalamosError
from kalamos.utils.atomic_write import atomic_write

__all__ = ["CATEGORIES", "read_release", "write_strokes"]

CATEGORIES: Final = ("1a", "1b", "1c")
"""Isolated digits, capitals and small letters."""

MAX_FILE_BYTES: Final = 64 * 2**20
"""Of one file: more is no pen's page."""

MAX_INCLUDE_DEPTH, MAX_INCLUDES = 8, 1000
"""Of one file: how deep its files include others, and how many, all together."""

_SEGMENT: Final = re.compile(r'CHARACTER\s+(\S+)\s+(\S+)\s+"((?:[^"\\]|\\.)*)"')
_RANGE: Final = re.compile(r"(\d+)(?::(\d+))?(?:-(\d+)(?::(\d+))?)?")

Points = NDArray[np.float64]


@dataclass
class _Page:
    """What a file and those that it includes say."""

    strokes: list[Points] = field(default_factory=list)
    """float64 [n, 2] each: x to the right, y upwards."""
    segments: list[tuple[str, str]] = field(default_factory=list)
    """Which strokes, and the label."""
    axes: tuple[int, int] = (0, 1)
    """The columns of x and y."""
    writer: str = ""
    files: int = 0
    """Read so far."""


def read_release(folder: Path, categories: Iterable[str] = CATEGORIES) -> StrokeSet:
    """Read the characters of a release.

    A file that cannot be read, and a segment that names strokes which are not there, count for nothing; so do
    segments of bad quality, and labels that are no Latin letter or digit.

    Args:
        folder: holds `data` and `include`.
        categories: sub-folders of `data`.

    Raises:
        DatasetError: there is no such folder, or no character in it.
    """
    if not (folder / "data").is_dir():
        raise DatasetError(
            f"{folder}: has no folder data", remedy="give the folder train_r01_v07 of the release"
        )
    points: list[NDArray[np.int16]] = []
    counts: list[int] = []
    labels: list[str] = []
    writers: list[int] = []
    known: dict[str, int] = {}
    for category in categories:
        for path in sorted((folder / "data" / category).rglob("*.dat")):
            page = _read_page(path, folder / "include")
            source = path.relative_to(folder / "data" / category).parts[0]
            writer = known.setdefault(f"{source}-{page.writer or path.stem}", len(known))
            for label, strokes in _characters(page):
                points += strokes
                counts.append(len(strokes))
                labels.append(label)
                writers.append(writer)
    if not labels:
        raise DatasetError(f"{folder}: has no character of {', '.join(categories)}")
    starts = np.concatenate([[0], np.cumsum([len(stroke) for stroke in points])]).astype(np.int64)
    return StrokeSet(
        np.concatenate(points), starts, np.cumsum(counts).astype(np.int64), tuple(labels), np.array(writers)
    )


def write_strokes(path: Path, strokes: StrokeSet) -> None:
    """Write strokes as the .npz file that the dataset `unipen` reads.

    Raises:
        OutputError: the file cannot be written.
    """
    with atomic_write(path) as sink:
        np.savez_compressed(
            sink,
            points=strokes.points,
            stroke_starts=strokes.stroke_starts.astype(np.int32),
            character_ends=strokes.character_ends.astype(np.int32),
            labels=np.array(strokes.labels),
            writers=strokes.writers.astype(np.int16),
        )


def _characters(page: _Page) -> Iterator[tuple[str, list[NDArray[np.int16]]]]:
    for delineation, label in page.segments:
        strokes = _chosen(page.strokes, delineation)
        if strokes and label in LATIN_62:
            yield label, _scaled(strokes)


def _chosen(strokes: Sequence[Points], delineation: str) -> list[Points]:
    """The strokes, or parts of them, that a segment names: `3`, `3-5`, `3:10-5:2`, or several with commas.

    Empty if the strokes are not there.
    """
    found: list[Points] = []
    for part in delineation.split(","):
        match = _RANGE.fullmatch(part)
        if match is None:
            return []
        first, from_point, last, to_point = match.groups()
        start, end = int(first), int(last if last is not None else first)
        if not start <= end < len(strokes):
            return []
        some = list(strokes[start : end + 1])
        if to_point is not None:
            some[-1] = some[-1][: int(to_point) + 1]
        if from_point is not None:
            some[0] = some[0][int(from_point) :]
        found += [stroke for stroke in some if len(stroke)]
    return found


def _scaled(strokes: list[Points]) -> list[NDArray[np.int16]]:
    """Let y go downwards, begin at 0, and the longer side span `SPAN`."""
    every = np.concatenate(strokes)
    low, high = every.min(axis=0), every.max(axis=0)
    scale = SPAN / max(float((high - low).max()), 1e-9)
    flipped = (np.column_stack([stroke[:, 0] - low[0], high[1] - stroke[:, 1]]) for stroke in strokes)
    return [np.rint(np.clip(each * scale, 0, SPAN)).astype(np.int16) for each in flipped]


def _read_page(path: Path, include: Path) -> _Page:
    page = _Page()
    _read_into(page, path, include.resolve(), depth=0)
    return page


def _read_into(page: _Page, path: Path, include: Path, depth: int) -> None:
    """Add what a file says; one that is missing, too large or outside of the release says nothing."""
    page.files += 1
    try:
        if depth > MAX_INCLUDE_DEPTH or page.files > MAX_INCLUDES or path.stat().st_size > MAX_FILE_BYTES:
            return
        text = path.read_text("latin-1")
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return
    for statement in re.split(r"^\.", text, flags=re.MULTILINE)[1:]:
        keyword, _, rest = statement.partition("\n") if "\n" in statement else (statement, "", "")
        keyword, _, argument = keyword.strip().partition(" ")
        argument = argument.strip()
        if keyword == "INCLUDE":
            inner = (include / argument).resolve()
            if inner.is_relative_to(include):
                _read_into(page, inner, include, depth + 1)
        elif keyword == "COORD":
            columns = argument.split()
            if {"X", "Y"} <= {*columns}:
                page.axes = columns.index("X"), columns.index("Y")
        elif keyword == "WRITER_ID":
            page.writer = argument
        elif keyword == "PEN_DOWN":
            page.strokes.append(_points(f"{argument}\n{rest}", page.axes))
        elif keyword == "SEGMENT":
            match = _SEGMENT.match(f"{argument} {rest}".replace("\n", " "))
            if match is not None and match[2].upper() != "BAD":
                page.segments.append((match[1], re.sub(r"\\(.)", r"\1", match[3])))


def _points(text: str, axes: tuple[int, int]) -> Points:
    """Lines of numbers -> float64 [n, 2]; lines that lack a number are left out."""
    rows = []
    for line in text.splitlines():
        cells = line.split()
        try:
            rows.append((float(cells[axes[0]]), float(cells[axes[1]])))
        except (IndexError, ValueError):
            continue
    points = np.array(rows, np.float64).reshape(-1, 2)
    return points[np.isfinite(points).all(axis=1)]


def main() -> None:
    """Convert a release to the file that the dataset `unipen` reads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="the release, with data and include")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the .npz file to write")
    given = parser.parse_args()
    strokes = read_release(given.folder)
    write_strokes(given.output, strokes)
    print(f"{len(strokes):,} characters of {len({*strokes.writers.tolist()}):,} writers: {given.output}")


if __name__ == "__main__":
    try:
        main()
    except KalamosError as error:
        sys.exit(f"kalamos: {error}")
