"""What tells a scan of another form whose boxes lie where the template has them: its print, and its boxes.

The words of the empty form are looked for on the scan, where they must be; and a form that has whole fields
of boxes less, though the lines of all others are seen, is another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.forms.geometry import Grey, Matrix
from kalamos.forms.outlines import Outlines, middling_side, reduced

__all__ = ["FEWEST_WORDS", "SEEN_WORD", "Words", "lacking_boxes", "lacking_words", "seen_words", "words_of"]

WORDS_LONG_SIDE: Final = 1200
"""Px to which the empty form, and the scan made upright, are brought."""

WORD_GAP: Final = (9, 3)
"""Px across and down between letters of one word."""

SHORTEST_WORD, LOWEST_WORD, LARGEST_WORD = 16, 6, 400
"""Px: less across or down is a speck or a letter, more is a picture or a frame."""

MOST_WORDS: Final = 60
"""Compared of a page: those nearest to its boxes, which say what they are for."""

REACH: Final = 12
"""Px around its place in which a word is looked for."""

PADDING: Final = 3
"""Px of paper around a word that are compared with it."""

SEEN_WORD, MIN_SEEN_WORDS, FEWEST_WORDS = 0.82, 0.5, 5
"""The normalised correlation from which on a word of the empty form is seen on a scan, the share of its words
that must be, and how many it takes to tell. On drawn scans and photographs nearly all of a form's own words
have 0.9 and more; other words of about their length have mostly 0.5 to 0.8."""

MISSING_FIT, SEEN_FIT = 0.25, 0.9
"""The share of a field's sides whose lines are seen, up to which its boxes are missing; and that of all other
fields together, from which on the lines are plain enough to tell."""

MOST_MISSING, FEWEST_MISSING = 0.2, 8
"""The share, and the number, of boxes that the scan lacks, from which on it shows another form."""


class Words(NamedTuple):
    """Words of an empty form.

    Attributes:
        image: uint8 [H, W], the empty form.
        boxes: int64 [N, 4], x, y, width and height of each, in px of the image.
        units: float64 [2], template units in a px of the image, across and down.
    """

    image: Grey
    boxes: NDArray[np.int64]
    units: NDArray[np.float64]


def words_of(empty: Grey, size: tuple[float, float], boxes: NDArray[np.float64]) -> Words:
    """Find the words of an empty form, those nearest to its boxes first.

    Args:
        empty: its image, uint8 [H, W].
        size: the page's width and height, in template units.
        boxes: those of its fields, float64 [N, 4, 2], in template units.

    >>> empty = np.full((400, 300), 255, np.uint8)
    >>> _ = cv2.putText(empty, "name", (40, 60), cv2.FONT_HERSHEY_SIMPLEX, 0.7, 0, 2)
    >>> found = words_of(empty, (30, 40), np.array([[[4, 7], [6, 7], [6, 9], [4, 9]]], float))
    >>> len(found.boxes), found.units.round(3).tolist()
    (1, [0.1, 0.1])
    """
    image = reduced(empty, WORDS_LONG_SIDE / max(empty.shape))
    units = np.array(size) / image.shape[::-1]
    dark = (image < np.median(image) - 60).astype(np.uint8)
    side = middling_side(boxes / units) if len(boxes) else 1.0
    for box in boxes / units:
        low, high = np.floor(box.min(axis=0) - 3).astype(int), np.ceil(box.max(axis=0) + 4).astype(int)
        dark[max(low[1], 0) : high[1], max(low[0], 0) : high[0]] = 0
    joined = cv2.dilate(dark, np.ones(WORD_GAP[::-1], np.uint8))
    stats = cv2.connectedComponentsWithStats(joined)[2][1:, :4]
    wide, high_ = stats[:, 2], stats[:, 3]
    wordlike = (wide >= SHORTEST_WORD) & (high_ >= LOWEST_WORD) & (np.maximum(wide, high_) <= LARGEST_WORD)
    stats = stats[wordlike & (high_ < 2 * side)]
    if len(stats) and len(boxes):
        middles = stats[:, :2] + stats[:, 2:] / 2
        away = np.linalg.norm(middles[:, None] - (boxes / units).mean(axis=1), axis=-1).min(axis=1)
        stats = stats[np.argsort(away, kind="stable")[:MOST_WORDS]]
    return Words(image, stats.astype(np.int64).reshape(-1, 4), units)


def seen_words(
    scan: Grey, words: Words, matrix: Matrix, boxes: NDArray[np.float64], moved: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return how much like itself each word looks on a scan: normalised correlations, float64 [N].

    Args:
        scan: uint8 [H, W].
        words: of the empty form.
        matrix: template units -> px of the scan.
        boxes: of the fields, float64 [M, 4, 2], in template units.
        moved: float64 [M, 2], by how many px of the scan each lies elsewhere than the matrix has it: words
            move as the box next to them.
    """
    height, width = words.image.shape
    to_units = np.diag([*words.units, 1.0])
    middles = boxes.mean(axis=1)
    likeness = []
    for x, y, wide, high in words.boxes.tolist():
        edge = PADDING + REACH
        left, top = x - edge, y - edge
        size = wide + 2 * edge, high + 2 * edge
        shift = np.zeros(2)
        if len(middles):
            place = np.array([x + wide / 2, y + high / 2]) * words.units
            shift = moved[np.linalg.norm(middles - place, axis=1).argmin()]
        to_scan = np.array([[1, 0, shift[0]], [0, 1, shift[1]], [0, 0, 1]]) @ matrix @ to_units
        crop = to_scan @ np.array([[0.5, 0, left + 0.25], [0, 0.5, top + 0.25], [0, 0, 1]])
        # Twice as large and reduced by area, or thin strokes would fall between the pixels.
        twice = cv2.warpPerspective(
            scan,
            crop,
            (2 * size[0], 2 * size[1]),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        seen = cv2.resize(twice, size, interpolation=cv2.INTER_AREA)
        word = words.image[
            max(y - PADDING, 0) : min(y + high + PADDING, height),
            max(x - PADDING, 0) : min(x + wide + PADDING, width),
        ]
        found = cv2.matchTemplate(
            cv2.GaussianBlur(seen, (0, 0), 1.0), cv2.GaussianBlur(word, (0, 0), 1.0), cv2.TM_CCOEFF_NORMED
        )
        likeness.append(float(np.nan_to_num(found, nan=0.0, posinf=0.0, neginf=0.0).max()))
    return np.array(likeness)


def lacking_words(likeness: NDArray[np.float64]) -> str:
    """Say why words show another form, from what `seen_words` returns; "" where they do not.

    >>> lacking_words(np.array([0.9, 0.99, 0.2, 0.7, 0.9])), lacking_words(np.full(8, 0.2))
    ('', '0 of the 8 words around its boxes are there')
    """
    seen = int((likeness >= SEEN_WORD).sum())
    if len(likeness) < FEWEST_WORDS or seen >= MIN_SEEN_WORDS * len(likeness):
        return ""
    return f"{seen} of the {len(likeness)} words around its boxes are there"


def lacking_boxes(scan: Grey, outlines: Outlines, counts: Sequence[int]) -> str:
    """Say which fields' boxes a scan lacks, where the lines of all others are plain; "" where it has them.

    Args:
        scan: uint8 [H, W]. What lies beyond its edges is not missing: it was cut off.
        outlines: of the boxes of all fields, one field after the other.
        counts: the boxes of each field.

    >>> found = np.array([[True] * 4] * 16 + [[False] * 4] * 8)
    >>> outlines = Outlines(np.full((24, 4, 2), 9, np.float32), found, np.zeros((24, 2)))
    >>> lacking_boxes(np.zeros((20, 20), np.uint8), outlines, [8, 8, 8])
    '8 of its 24 boxes are not there'
    """
    middles = outlines.corners.mean(axis=1)
    on_scan = ((middles >= 0) & (middles < scan.shape[::-1])).all(axis=1)
    fits = [part.mean() for part in np.split(outlines.found, np.cumsum(counts)[:-1])]
    missing = np.repeat(np.array(fits) <= MISSING_FIT, counts) & on_scan
    if missing.all() or outlines.found[~missing].mean() < SEEN_FIT:
        return ""
    count, every = int(missing.sum()), len(missing)
    if count < FEWEST_MISSING or count <= MOST_MISSING * every:
        return ""
    return f"{count} of its {every} boxes are not there"
