"""What the cells of one grid tell about each other: they hold one text, and its print is of one face.

A recogniser sees each cell by itself, and holds all classes for equally likely. On one page they are not: a
blurred 8 that looks like a 0 too is no 0 where nothing else is. And two cells of the same print look the same
to the pixel's grain, so that they hold the same character. Where no row repeats a character, a doubtful cell
is unlikely to. No rule of any game or form is assumed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.pages.all_different import all_different
from kalamos.pages.cells import LEAST, CellReading, Ink, averaged, blanks_of, readings_of
from kalamos.pages.ruling import Grid
from kalamos.postprocessing import AnswerRule
from kalamos.recognizer import Recognizer

__all__ = ["proven_contrast", "read_together", "reweighted", "shared", "without_specks"]

Shares = NDArray[np.float64]

MIN_CELLS: Final = 12
"""Fewer characters tell nothing about a page."""

PSEUDO_CELLS: Final = 10.0
"""The weight of the assumption that all classes are equally likely, in cells (a Dirichlet prior)."""

MAX_ROUNDS: Final = 100
TOLERANCE: Final = 1e-6
"""EM ends once no share of a class changes by more."""

ALIKE: Final = (0.91, 0.95)
"""Correlation of two pictures from which on they begin to count as of the same print, and count in full.
Different printed digits of one photograph stay below 0.91, hands of the same digit nearly always; half of the
pairs of the same print lie above the second."""

DETAIL_FRACTION: Final = 1 / 7
"""Of a picture's side: what is coarser (the standard deviation of a blur) is taken away before pictures are
compared; out of focus, all digits are coarsely alike."""

MAX_SHIFT_PX: Final = 1
"""By which pictures are moved against each other: preparing rounds to whole pixels."""

COMPARED: Final = 512
"""Cells that are compared with each other at a time, for memory's sake."""

SURE_KNOWN: Final = 0.7
PROOFS: Final = 3
"""So many cells with a character beyond doubt, all of faint ink, prove that faint ink is print."""

SPECK_FACTOR: Final = 0.6
"""Of the median size of a grid's characters: what is smaller may be dust,"""
SPECK_KNOWN: Final = 0.02
"""and is where it is so improbably a character."""

FAINTER: Final = 0.8
"""Ink of so many times the contrast of these is still as theirs."""


def read_together(
    reader: Recognizer, inks: Sequence[Ink | None], rule: AnswerRule, grid: Grid | None = None
) -> list[CellReading]:
    """Read cells that belong together.

    Each is looked at twice, more and less sharpened. Cells of the same print share what is seen in them;
    then how common each label is, and how common anything but a character, is estimated from all; then what
    the grid's rows, columns and blocks do not repeat is less likely to be repeated.

    Args:
        reader: the model.
        inks: of each cell; None for one without.
        rule: charset and number of candidates; its thresholds do not count.
        grid: where they are: its cells in the order of `inks`; without it they are in no rows.
    """
    inked = [ink for ink in inks if ink is not None]
    prepared = reader.prepare_ink([ink.image for ink in inked])
    found = reader.infer_prepared(prepared, rule.class_mask)
    found = averaged(found, reader.infer_ink([ink.soft_image for ink in inked], rule.class_mask))
    rows = found.rows.tolist()
    pictures = [picture for row in rows if isinstance(picture := prepared[row], np.ndarray)]
    known, proven = np.ones(len(rows)) if found.known is None else found.known, math.inf
    if found.known is not None:
        proven = proven_contrast([inked[row].contrast for row in rows], known.tolist())
        inked = without_specks(inked, rows, known)
    blanks = blanks_of(inked, found, proven=proven)
    written = np.array(blanks) < 0.5
    if found.known is not None:
        known = reweighted(np.stack([known, 1 - known], axis=1), written)[:, 0]
        found = found._replace(known=known)
    votes = written * known
    probabilities = reweighted(shared(found.probabilities, pictures), votes)
    if grid is not None:
        cells = [cell for cell, ink in zip(grid.cells, inks, strict=True) if ink is not None]
        places = [(cells[row].row, cells[row].column) for row in rows]
        probabilities = all_different(probabilities, places, (grid.rows, grid.columns), votes)
    return readings_of(inks, found._replace(probabilities=probabilities), rule, blanks)


def reweighted(probabilities: Shares, votes: NDArray[np.floating | np.bool_] | None = None) -> Shares:
    """Adjust probabilities to how common each class is among the rows themselves.

    Class shares are estimated by expectation and maximisation (Saerens, Latinne and Decaestecker 2002),
    with the prior that all are alike. Fewer than `MIN_CELLS` votes change nothing.

    Args:
        probabilities: [N, K], of a model for which all classes were equally likely; rows sum to 1.
        votes: what each row counts, [N]; 1 by default.

    Returns:
        float64 [N, K], rows sum to 1.

    >>> sure, doubtful = [0.0, 0.99, 0.01], [0.5, 0.4, 0.1]
    >>> reweighted(np.array([sure] * 20 + [doubtful]))[-1].round(2).tolist()
    [0.15, 0.82, 0.03]
    """
    count, classes = probabilities.shape
    votes = np.ones(count) if votes is None else votes
    if votes.sum() < MIN_CELLS:
        return probabilities
    assumed = 1 / classes
    shares = np.full(classes, assumed)
    adjusted = probabilities
    for _ in range(MAX_ROUNDS):
        adjusted = _normalised(np.maximum(probabilities, LEAST) * (shares / assumed))
        found = (votes @ adjusted + PSEUDO_CELLS * assumed) / (votes.sum() + PSEUDO_CELLS)
        if np.abs(found - shares).max() <= TOLERANCE:
            break
        shares = found
    return adjusted


def shared(probabilities: Shares, prepared: Sequence[NDArray[np.uint8]]) -> Shares:
    """Average the log-probabilities of cells of the same print.

    Args:
        probabilities: [N, K]; rows sum to 1.
        prepared: the N pictures as the model sees them, uint8 [S, S].

    Returns:
        float64 [N, K], rows sum to 1.

    >>> drawn = np.zeros((2, 28, 28), np.uint8)
    >>> drawn[0, 5:23, 13:16] = drawn[1, 13:16, 5:23] = 255
    >>> looked = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
    >>> shared(looked, drawn[[0, 0, 1]]).round(2).tolist()
    [[0.71, 0.29], [0.71, 0.29], [0.2, 0.8]]
    """
    logs = np.log(np.maximum(probabilities, LEAST))
    for start in range(0, len(prepared), COMPARED):
        part = slice(start, start + COMPARED)
        low, full = ALIKE
        weights = np.clip((_correlations(np.stack(prepared[part])) - low) / (full - low), 0, 1)
        np.fill_diagonal(weights, 1)
        logs[part] = weights @ logs[part] / weights.sum(axis=1, keepdims=True)
    return _normalised(np.exp(logs))


def _correlations(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Correlate pictures [N, S, S] with each other, moved to where they fit best: [N, N], symmetric."""
    coarse = DETAIL_FRACTION * pictures.shape[1]
    levels = pictures.astype(np.float32)
    detail = np.stack([level - cv2.GaussianBlur(level, (0, 0), coarse) for level in levels])
    best = np.full((len(detail), len(detail)), -1, np.float32)
    fixed = _standardised(detail)
    steps = range(-MAX_SHIFT_PX, MAX_SHIFT_PX + 1)
    for shift in [(down, across) for down in steps for across in steps]:
        best = np.maximum(best, _standardised(np.roll(detail, shift, axis=(1, 2))) @ fixed.T)
    return np.maximum(best, best.T)


def _standardised(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    flat = pictures.reshape(len(pictures), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1)  # type: ignore[no-any-return]


def _normalised(shares: Shares) -> Shares:
    return shares / shares.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]


def without_specks(inks: Sequence[Ink], rows: Sequence[int], known: Shares) -> list[Ink]:
    """Hold ink for dust that is no character, and much smaller than most characters of the grid.

    Args:
        inks: of the cells with ink.
        rows: which of them the model could read, N.
        known: the probability of each of these of being a character at all, [N].
    """
    sizes = [inks[row].longer for row, chance in zip(rows, known, strict=True) if chance >= SURE_KNOWN]
    told = list(inks)
    if len(sizes) >= MIN_CELLS:
        least = SPECK_FACTOR * float(np.median(sizes))
        for row, chance in zip(rows, known, strict=True):
            if chance < SPECK_KNOWN and inks[row].longer < least:
                told[row] = inks[row]._replace(stray=True)
    return told


def proven_contrast(contrasts: Sequence[float], known: Sequence[float]) -> float:
    """Return the contrast from which on ink is as good as that of sure characters; infinite without these.

    Args:
        contrasts: of each cell's ink.
        known: the probability of each of being a character at all.

    >>> proven_contrast([20, 21, 22, 90, 95, 99], [0.9, 0.8, 0.9, 1, 1, 1]) < 20
    True
    """
    sure = sorted(contrast for contrast, chance in zip(contrasts, known, strict=True) if chance >= SURE_KNOWN)
    return FAINTER * sure[PROOFS - 1] if len(sure) >= PROOFS else float("inf")
