"""Own alphabets on a base model: a head of prototypes, calibrated by leaving hands out.

The embedding of the base model brings together what people write for one character, also of scripts that it
has not seen. A class is then the direction of its examples' mean (nearest class mean in cosine; Snell,
Swersky and Zemel 2017), made sharper by logistic regression where the examples are enough for it. Whether an
image is one of the classes at all is told by its largest logit, how near it is to the nearest class: of what
was tried on the development alphabets, comparisons with characters of other scripts among it, nothing tells
it better. What is none of the classes, to find the threshold by, comes with kalamos.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kalamos.datasets.copies import drop_copies
from kalamos.datasets.splits import k_fold
from kalamos.finetune.head import MAX_REGRESSION, MOST_STEPS, Head, fit_head

__all__ = [
    "HeldOut",
    "directions_of",
    "fit_alphabet",
    "leave_hands_out",
    "other_characters",
    "unlike",
]

MAX_FOLDS: Final = 5
"""Rounds of leaving hands out."""

MIN_HANDS: Final = 3
"""With fewer, leaving one out says too little of other hands."""

REGRESSION_PENALTY: Final = 0.1
"""See `fit_head`; chosen on the development alphabets."""

LOOK_ALIKE_COSINE: Final = 0.6
"""A character of another script whose embedding is this near to a class looks like it, and is no outlier."""


@cache
def other_characters() -> NDArray[np.float32]:
    """Read the embeddings float32 [M, D] that `glyphs` has of other scripts' characters and of scribbles."""
    with files("kalamos.finetune").joinpath("others.npz").open("rb") as file, np.load(file) as arrays:
        # Kept as int8: the scale makes them as long as the embeddings of `glyphs`.
        found: NDArray[np.float32] = arrays["embeddings"].astype(np.float32) * arrays["scale"]
    return found


def unlike(head: Head, others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return those of others' embeddings [M, D] that look like none of the classes of a head."""
    near = directions_of(others) @ directions_of(head.weight).T
    kept: NDArray[np.float32] = others[near.max(axis=1) < LOOK_ALIKE_COSINE]
    return kept


def fit_alphabet(embedded: NDArray[np.float32], codes: NDArray[np.int64], classes: int) -> Head:
    """Fit a head to examples of each class.

    Args:
        embedded: float32 [N, 1 + K, D], of each example and its K variations; all of one length.
        codes: int64 [N], in [0, classes); each class has at least one.

    >>> examples = np.array([[[2.0, 0.0]], [[0.0, 2.0]]], np.float32)
    >>> fit_alphabet(examples, np.array([0, 1]), 2).logits(examples[:, 0]).argmax(axis=1).tolist()
    [0, 1]
    """
    # The example itself counts as much as all its variations.
    weights = np.ones(embedded.shape[1])
    weights[1:] = 1 / max(1, embedded.shape[1] - 1)
    sums = np.zeros((classes, embedded.shape[2]))
    np.add.at(sums, codes, np.einsum("nkd,k->nd", embedded, weights))
    directions = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9)
    # Unit weights: the logits are the cosines times the embeddings' length.
    start = Head(directions, np.zeros(classes))
    every = embedded.reshape(-1, embedded.shape[2])
    if classes < 2 or len(every) * classes > MAX_REGRESSION:
        return start
    repeated = np.repeat(codes, embedded.shape[1])
    share = np.tile(weights, len(codes)) / np.bincount(codes, minlength=classes)[repeated]
    # Without a bias, the largest logit stays how near a class is, which tells what is none of them.
    return fit_head(
        start,
        every,
        repeated,
        share,
        trainable=np.ones(classes, bool),
        penalty=REGRESSION_PENALTY,
        bias=False,
        steps=MOST_STEPS,
    )


def directions_of(embeddings: NDArray[np.floating]) -> NDArray[np.float64]:
    """Scale embeddings, or the rows of a head, [N, D] to length 1."""
    wide = embeddings.astype(np.float64)
    unit: NDArray[np.float64] = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    return unit


@dataclass(frozen=True)
class HeldOut:
    """What heads answer on hands that they have not learnt from.

    Attributes:
        rows: int64 [M], which examples; those without another hand for their class are left out.
        logits: float64 [M, C].
        hands: how many hands there are.
        copies: examples that are left out as copies of others.
    """

    rows: NDArray[np.int64]
    logits: NDArray[np.float64]
    hands: int
    copies: int = 0


def leave_hands_out(
    embedded: NDArray[np.float32],
    codes: NDArray[np.int64],
    groups: NDArray[np.int64],
    classes: int,
    seed: int,
    sets: NDArray[np.int64] | None = None,
) -> HeldOut | None:
    """Answer each hand's examples by a head fitted to the other hands.

    Args:
        embedded: as for `fit_alphabet`.
        codes: int64 [N].
        groups: int64 [N], whose hand each is.
        sets: int64 [N], what `copy_sets` gives: a copy of an example of the others is left out.

    Returns:
        None with fewer than `MIN_HANDS` hands.
    """
    hands = len(np.unique(groups))
    if hands < MIN_HANDS:
        return None
    folds = min(MAX_FOLDS, hands)
    rows, logits, copies = [], [], 0
    for fold in range(folds):
        train, held = k_fold(codes, folds, fold, seed, groups)
        held = held[np.isin(codes[held], codes[train])]
        if sets is not None:
            wanted, held = len(held), drop_copies(sets, train, held)
            copies += wanted - len(held)
        if not len(held):
            continue
        seen, inverse = np.unique(codes[train], return_inverse=True)
        partial = fit_alphabet(embedded[train], inverse.astype(np.int64), len(seen))
        answered = np.full((len(held), classes), -np.inf)
        answered[:, seen] = partial.logits(embedded[held, 0])
        rows.append(held)
        logits.append(answered)
    if not rows:
        return None
    return HeldOut(np.concatenate(rows), np.concatenate(logits), hands, copies)
