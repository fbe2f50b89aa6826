"""Exact and near duplicates, classified by where they lie and how they are labelled."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kalamos.doctor.findings import Case, Finding
from kalamos.doctor.near import near_pairs
from kalamos.doctor.pool import ImageIndex

__all__ = ["check_copies", "check_near", "distinct_pictures"]


def distinct_pictures(index: ImageIndex) -> NDArray[np.int64]:
    """Return for each image the row of the first that equals it in size and pixels, int64 [N]."""
    seen: dict[bytes, int] = {}
    first = np.empty(len(index), np.int64)
    for row, image in enumerate(index):
        digest = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
        digest.update(image.tobytes())
        first[row] = seen.setdefault(digest.digest(), row)
    return first


def check_copies(index: ImageIndex, first: NDArray[np.int64], blank: Sequence[int]) -> list[Finding]:
    """Find the sets of equal images, each under the most serious findings that apply.

    Blank images equal one another, and are reported as blank.

    Args:
        first: from `distinct_pictures`.
        blank: rows to leave out.
    """
    rows = np.setdiff1d(np.arange(len(index)), np.asarray(blank, np.int64))
    rows = rows[np.argsort(first[rows], kind="stable")]
    sets = np.split(rows, np.flatnonzero(np.diff(first[rows])) + 1)
    cases: dict[str, list[Case]] = {
        kind: [] for kind in ("two-labels", "crossing", "group-crossing", "copies")
    }
    for members in sets:
        if len(members) < 2:
            continue
        said = {
            "two-labels": _differ(index.labels, members),
            "crossing": _differ(index.part_of, members),
            "group-crossing": _differ(index.groups, members),
        }
        case = Case(tuple(members.tolist()))
        for kind in [kind for kind, true in said.items() if true] or ["copies"]:
            cases[kind].append(case)
    return [
        Finding(kind, tuple(sorted(some, key=lambda case: -len(case.rows)))) for kind, some in cases.items()
    ]


def check_near(index: ImageIndex, first: NDArray[np.int64], blank: Sequence[int]) -> list[Finding]:
    """Find the near duplicates among distinct images, the nearest first."""
    rows = np.setdiff1d(np.unique(first), np.asarray(blank, np.int64))
    pairs, differences = near_pairs((index[row] for row in rows.tolist()), len(rows))
    cases: dict[str, list[Case]] = {"near-two-labels": [], "near-crossing": [], "near-copies": []}
    for position in np.argsort(differences, kind="stable").tolist():
        pair = rows[pairs[position]]
        if _differ(index.labels, pair):
            kind = "near-two-labels"
        elif _differ(index.part_of, pair) or _differ(index.groups, pair):
            kind = "near-crossing"
        else:
            kind = "near-copies"
        cases[kind].append(Case(tuple(pair.tolist()), difference=float(differences[position])))
    return [Finding(kind, tuple(some)) for kind, some in cases.items()]


def _differ(values: NDArray[np.int64] | None, rows: NDArray[np.int64]) -> bool:
    return values is not None and bool((values[rows] != values[rows[0]]).any())
