"""Likely label errors of a dataset, judged by the other images (`kalamos.datasets.label_errors`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kalamos.datasets.label_errors import MIN_JUDGED, embed_characters, judge_labels
from kalamos.inspection.checks import Case, Found, ImageIndex

__all__ = ["LabelCheck", "check_labels"]


@dataclass(frozen=True)
class LabelCheck:
    """How the labels were checked.

    Attributes:
        judged: images that were compared with the others.
        of: all images; if fewer were judged, those are a stratified sample, without copies, blank images
            and classes with few images.
        accuracy: fraction of the judged images that are nearest to their own class; None if none were judged.
        skipped: why nothing was judged; "" if something was.
    """

    judged: int
    of: int
    accuracy: float | None = None
    skipped: str = ""


def check_labels(
    index: ImageIndex, candidates: NDArray[np.int64], labels: tuple[str, ...], *, sample: int, seed: int
) -> tuple[LabelCheck, list[Found]]:
    """Find the images whose label is more probably wrong than right, the surest first.

    Args:
        candidates: rows to judge, int64; without copies, since a copy gives the label away.
        labels: the alphabet's.
        sample: at most about this many are judged, in proportion to the classes.
    """
    chosen = _sample(index.labels, candidates, sample, seed)
    inked, embeddings = embed_characters([index[row] for row in chosen.tolist()])
    rows = chosen[inked]
    given = index.labels[rows]
    if len(np.unique(given)) < 2:
        why = f"needs two classes of at least {MIN_JUDGED} distinct images"
        return LabelCheck(0, len(index), skipped=why), []
    judged = judge_labels(embeddings, given)
    suspects: list[Found] = [
        (
            "suspects",
            Case(
                (int(rows[one]),),
                suggested=labels[judged.answers[one]],
                quality=float(judged.right[one]),
            ),
        )
        for one in judged.errors
    ]
    return LabelCheck(len(rows), len(index), float((judged.answers == given).mean())), suspects


def _sample(
    labels: NDArray[np.int64], candidates: NDArray[np.int64], size: int, seed: int
) -> NDArray[np.int64]:
    """Draw about `size` candidates, stratified; `MIN_JUDGED` or more of a class, or none."""
    generator = np.random.default_rng(seed)
    share = min(1.0, size / max(len(candidates), 1))
    chosen = [np.zeros(0, np.int64)]
    for label in np.unique(labels[candidates]):
        members = candidates[labels[candidates] == label]
        if len(members) >= MIN_JUDGED:
            chosen.append(generator.permutation(members)[: max(MIN_JUDGED, round(share * len(members)))])
    return np.sort(np.concatenate(chosen))
