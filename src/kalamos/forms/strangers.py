"""What tells a scan of another form whose boxes lie where the template has them: its print, and its boxes.

The words of the empty form are looked for on the scan, where they must be. Those near its boxes are compared
letter by letter too: forms of one make share half of their words, and others may be made of the same letters.
And a form that has whole fields of boxes less, though the lines of all others are seen, is another one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from kalamos.forms.geometry import Grey, Matrix, project, rms
from kalamos.forms.outlines import Outlines, middling_side, reduced

__all__ = [
    "FEWEST_WORDS",
    "MIN_SEEN_WORDS",
    "SEEN_WORD",
    "SeenWords",
    "Words",
    "lacking_boxes",
    "lacking_words",
    "named_fields",
    "seen_words",
    "unseen_fields",
    "words_of",
]

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

BEND_REACH, BEND_PLAY = 4.0, 1.0
"""How far boxes tell how the page bends at a word, and how much it takes to believe them, in boxes' sides."""

BENT, SLOPES = 0.04, (0.0, -0.05, 0.05, -0.1, 0.1)
"""From which root mean square on that boxes lie elsewhere, in their sides, a page is bent; and by how much
its words may climb then."""

MOST_LOOKS, LEAST_GAIN, PLAIN_WORD = 4, 0.05, 0.95
"""How often words are looked for where some are not seen, each time with those that were to tell how the page
bends; by how much their likeness must grow together for another look; and of a word that needs none."""

PADDING: Final = 3
"""Px of paper around a word that are compared with it."""

SEEN_WORD, MIN_SEEN_WORDS, FEWEST_WORDS = 0.82, 0.5, 5
"""The normalised correlation from which on a word of the empty form is seen on a scan, the share of its words
that must be, and how many it takes to tell. On drawn scans and photographs nearly all of a form's own words
have 0.9 and more; other words of about their length have mostly 0.5 to 0.8."""

NEAR_BOXES: Final = 6.0
"""How many shorter sides of a box a word is at most away from one, middle to middle, for its letters to be
compared: of a footer farther off the boxes do not tell well enough where it lies on a page that bends."""

LETTERS, LETTER_BLUR, LETTER_PLAY = 0.9, 0.6, 1
"""The stretches of a word that are compared, in its height: each about a letter, and a part of the next one;
the blur, and by how much each may lie elsewhere than the word, in px."""

EDGES: Final = PADDING, PADDING + WORD_GAP[0] // 2 - 1
"""Px down and across around a word's letters, with one px more: beyond may be lines of boxes."""

SHORTEST_STRETCH, LEAST_SPREAD, INKED = 5, 2.0, 0.3
"""Px of the shortest stretch; the grey levels, as standard deviation, of paper alone; and the share of a
word's darkest ink that a column with a letter in it has."""

MOST_LETTERS: Final = 0.25
"""The quantile of its stretches' correlations that a word is judged by: of a word that is written over or has
a stain on it most are as they should be, of another word that begins alike most are not."""

OTHER_WORD: Final = 0.87
"""Of the correlation of the scan's good words (`GOOD_WORDS`, a quantile), below which another word stands in
its place. Next to none of a form's own words have less, even on copies of which half of the ink is lost; the
same letters in another order have 0.7 to 0.85, other words mostly 0.3 to 0.7."""

GOOD_WORDS: Final = 0.75

FAINT_PRINT: Final = 0.35
"""Of the middling contrast of a scan's words, below which none is there: it is worn off, or covered."""

MOST_OTHER_WORDS, FEWEST_OTHER_WORDS = 0.35, 4
"""The share, and the number, of words that others stand in place of, from which on it is another form. A form
may have a name, a date and a number printed on each sheet."""

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
        near: bool [N], whether each is so near to a field's box that this tells where it lies.
    """

    image: Grey
    boxes: NDArray[np.int64]
    units: NDArray[np.float64]
    near: NDArray[np.bool_]


class SeenWords(NamedTuple):
    """How much the words of an empty form look like themselves on a scan.

    Attributes:
        likeness: float64 [N], the normalised correlation of each whole word.
        letters: float64 [N], that of those of its letters that are least alike; NaN where none are compared.
        contrast: float64 [N], of what the scan has there, as a share of the empty form's; NaN likewise.
    """

    likeness: NDArray[np.float64]
    letters: NDArray[np.float64]
    contrast: NDArray[np.float64]


class _Look(NamedTuple):
    """What stands where a word is looked for: how much it is alike, the picture, its middle on the scan."""

    likeness: float
    there: Grey
    middle: NDArray[np.float64]


NOTHING: Final = _Look(-1.0, np.zeros((0, 0), np.uint8), np.zeros(2))


class _Tellers(NamedTuple):
    """What tells how a page bends.

    Attributes:
        middles: where a flat page has them on the scan, float64 [M, 2], px.
        moved: by how much each lies elsewhere, float64 [M, 2], px.
        side: of a box, px.
    """

    middles: NDArray[np.float64]
    moved: NDArray[np.float64]
    side: float


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
    near = np.zeros(len(stats), bool)
    if len(stats) and len(boxes):
        middles = stats[:, :2] + stats[:, 2:] / 2
        away = np.linalg.norm(middles[:, None] - (boxes / units).mean(axis=1), axis=-1).min(axis=1)
        nearest = np.argsort(away, kind="stable")[:MOST_WORDS]
        stats, near = stats[nearest], away[nearest] <= NEAR_BOXES * side
        low, high = stats[:, :2], stats[:, :2] + stats[:, 2:]
        near &= ((low >= PADDING) & (high <= np.array(image.shape[::-1]) - PADDING)).all(axis=1)
    return Words(image, stats.astype(np.int64).reshape(-1, 4), units, near)


def seen_words(
    scan: Grey,
    words: Words,
    matrix: Matrix,
    boxes: NDArray[np.float64],
    moved: NDArray[np.float64] | None = None,
) -> SeenWords:
    """Compare each word of an empty form with what a scan has in its place.

    Args:
        scan: uint8 [H, W].
        words: of the empty form.
        matrix: template units -> px of the scan.
        boxes: of the fields, float64 [M, 4, 2], in template units.
        moved: float64 [M, 2], by how many px of the scan each lies elsewhere than the matrix has it: words
            move, and turn, as the boxes next to them, and as other words that are seen. If that is not known,
            words are looked for where the matrix has them.
    """
    to_px = matrix @ np.diag([*words.units, 1.0])
    flat = project(matrix, boxes)
    side = middling_side(flat) if len(flat) else 1.0
    expected = project(to_px, words.boxes[:, :2] + words.boxes[:, 2:] / 2)
    follow, moved = moved is not None, np.zeros((len(flat), 2)) if moved is None else moved
    bent = len(flat) > 0 and rms(moved) > BENT * side
    tellers = _Tellers(flat.mean(axis=1), moved, side)
    looks = [NOTHING] * len(words.boxes)
    for again in range(MOST_LOOKS if follow else 1):
        before = sum(look.likeness for look in looks)
        for number, word in enumerate(words.boxes.tolist()):
            if looks[number].likeness < PLAIN_WORD:
                ways = _ways(to_px, word, expected[number], tellers, bent=bent or again > 0)
                found = (_look(scan, words.image, word, way) for way in ways)
                looks[number] = max(looks[number], *found, key=lambda look: look.likeness)
        seen = np.array([look.likeness >= SEEN_WORD for look in looks], bool)
        if seen.all() or sum(look.likeness for look in looks) < before + LEAST_GAIN:
            break
        # Words that are seen tell how the page bends beside its boxes.
        places = np.array([look.middle for look in looks]).reshape(-1, 2)
        tellers = _Tellers(
            np.concatenate([flat.mean(axis=1), expected[seen]]),
            np.concatenate([moved, (places - expected)[seen]]),
            side,
        )
    letters, contrast = np.full((2, len(looks)), np.nan)
    for number, look in enumerate(looks):
        if words.near[number] and _is_on(scan, look.middle):
            word = _padded(words.image, words.boxes[number].tolist())
            letters[number], contrast[number] = _compared(word, look.there)
    return SeenWords(np.array([look.likeness for look in looks]), letters, contrast)


def _padded(empty: Grey, place: Sequence[int]) -> Grey:
    """Cut a word, at x, y, width and height, out of the empty form with `PADDING` around it."""
    x, y, wide, high = place
    return empty[max(y - PADDING, 0) : y + high + PADDING, max(x - PADDING, 0) : x + wide + PADDING]


def _ways(
    to_px: Matrix, word: Sequence[int], expected: NDArray[np.float64], tellers: _Tellers, *, bent: bool
) -> Iterator[Matrix]:
    """Yield how the empty form's px lie on the scan about a word: moved, and turned if the page is bent."""
    shifted, local = _bends(expected, tellers)
    yield shifted @ to_px
    middle = word[0] + word[2] / 2
    for slope in SLOPES if bent else ():
        yield local @ to_px @ _climbing(slope, middle)


def _climbing(slope: float, x: float) -> Matrix:
    """Return the map that lets what is level climb by `slope`, about a place."""
    return np.array([[1, 0, 0], [slope, 1, -slope * x], [0, 0, 1]])


def _look(scan: Grey, empty: Grey, word: Sequence[int], to_scan: Matrix) -> _Look:
    """Look for a word of the empty form about where it must be on a scan, in even light.

    Args:
        scan, empty: uint8 [H, W] each.
        word: its x, y, width and height on the empty form.
        to_scan: px of the empty form -> px of the scan.
    """
    x, y, wide, high = word
    edge = PADDING + REACH
    size = wide + 2 * edge, high + 2 * edge
    crop = to_scan @ np.array([[0.5, 0, x - edge + 0.25], [0, 0.5, y - edge + 0.25], [0, 0, 1]])
    # Twice as large and reduced by area, or thin strokes would fall between the pixels.
    twice = cv2.warpPerspective(
        scan,
        crop,
        (2 * size[0], 2 * size[1]),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    around = _in_even_light(cv2.resize(twice, size, interpolation=cv2.INTER_AREA), high)  # type: ignore[arg-type]
    own = _padded(empty, word)
    found = cv2.matchTemplate(
        cv2.GaussianBlur(around, (0, 0), 1.0), cv2.GaussianBlur(own, (0, 0), 1.0), cv2.TM_CCOEFF_NORMED
    )
    alike = np.nan_to_num(np.asarray(found, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    down, across = divmod(int(alike.argmax()), alike.shape[1])
    off = np.array([across - min(x, PADDING), down - min(y, PADDING)]) + PADDING - edge
    middle = project(to_scan, np.array([x + wide / 2, y + high / 2]) + off)
    there: Grey = around[down : down + len(own), across : across + own.shape[1]]
    return _Look(float(alike.max()), there, middle)


def _bends(place: NDArray[np.float64], tellers: _Tellers) -> tuple[Matrix, Matrix]:
    """Return how a page may be bent about a place, float64 [2], px to px: as next to it, and as around.

    The former is right where the page bends more strongly on the one side than on the other.
    """
    shifted, bent = np.eye(3), np.eye(3)
    middles, moved, side = tellers
    if not len(middles):
        return shifted, bent
    away = np.linalg.norm(middles - place, axis=1)
    nearest = int(away.argmin())
    around = middles - middles[nearest]
    weights = np.exp(-((away / (BEND_REACH * side + away[nearest])) ** 2))[:, None]
    # Held by a box's side: a single row tells nothing of what bends across it.
    normal = around.T @ (weights * around) + BEND_PLAY * side**2 * np.eye(2)
    slope = np.linalg.solve(normal, around.T @ (weights * (moved - moved[nearest]))).T
    shifted[:2, 2] = moved[nearest]
    bent[:2, :2] += slope
    bent[:2, 2] = moved[nearest] - slope @ middles[nearest]
    return shifted, bent


def _in_even_light(seen: Grey, high: int) -> Grey:
    """Take light and shadow from around a word, uint8 [H, W], that is `high` px high."""
    side = 2 * (max(high, LOWEST_WORD) // 2) + 1
    paper = cv2.morphologyEx(seen, cv2.MORPH_CLOSE, np.ones((side, side), np.uint8))
    paper = cv2.GaussianBlur(paper, (0, 0), side / 4)
    return cv2.divide(seen, cv2.max(paper, seen), scale=255)  # type: ignore[return-value]


def _is_on(scan: Grey, point: NDArray[np.float64]) -> bool:
    """Whether a point, in px, lies on a scan."""
    x, y = point
    return bool(0 <= x < scan.shape[1] and 0 <= y < scan.shape[0])


def _compared(word: Grey, seen: Grey) -> tuple[float, float]:
    """Compare a word letter by letter with what is seen in its place.

    Args:
        word: uint8 [H, W], with `PADDING` around it.
        seen: uint8 [H, W].

    Returns:
        How much alike they are, as `SeenWords.letters` has it, and the contrast of what is seen.
    """
    own, there = (cv2.GaussianBlur(each, (0, 0), LETTER_BLUR).astype(np.float32) for each in (word, seen))
    down, across = EDGES
    own = own[down:-down, across:-across]
    high, wide = own.shape
    ink = (np.median(own) - own).max(axis=0)
    inked = ink > INKED * ink.max()
    if not inked.any():
        return np.nan, np.nan
    contrast = there[down:-down, across:-across].std() / max(own.std(), LEAST_SPREAD)
    stretch = max(round(LETTERS * high), SHORTEST_STRETCH)

    def mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the mean of each stretch, float32 [K, W], of values [K, H, W]."""
        return np.asarray(cv2.blur(values.mean(axis=1), (stretch, 1)), np.float32)

    rows, columns = (slice(edge - LETTER_PLAY, edge + LETTER_PLAY + 1) for edge in EDGES)
    parts = sliding_window_view(there, own.shape)[rows, columns].reshape(-1, high, wide)
    letters, parts = own[None] - own.mean(), parts - parts.mean()
    letters_mean, parts_mean = mean(letters), mean(parts)
    least = np.float32(LEAST_SPREAD**2)
    variance = np.maximum(mean(letters**2) - letters_mean**2, least)
    variances = np.maximum(mean(parts**2) - parts_mean**2, least)
    alike = (mean(parts * letters) - parts_mean * letters_mean) / np.sqrt(variance * variances)
    return float(np.quantile(alike.max(axis=0)[inked], MOST_LETTERS)), float(contrast)


def lacking_words(seen: SeenWords) -> str:
    """Say why words show another form; "" where they do not.

    >>> unknown = np.full(8, np.nan)
    >>> lacking_words(SeenWords(np.full(8, 0.2), unknown, unknown))
    '0 of the 8 words around its boxes are there'
    >>> alike = np.array([0.98, 0.95, 0.97, 0.96, 0.7, 0.6, 0.4, 0.7])
    >>> lacking_words(SeenWords(np.full(8, 0.9), alike, np.ones(8)))
    'in place of 4 of the 8 words around its boxes stand others'
    >>> lacking_words(SeenWords(np.full(5, 0.9), alike[:5], np.ones(5)))
    ''
    """
    compared = np.isfinite(seen.letters)
    letters, contrast = seen.letters[compared], seen.contrast[compared]
    enough = len(letters) >= FEWEST_WORDS
    every = [seen.likeness[compared], seen.likeness] if enough else [seen.likeness]
    # Both: those near the boxes may be blurred, those far off be a picture's, or a table's.
    there = [int((likeness >= SEEN_WORD).sum()) for likeness in every]
    if all(
        len(likeness) >= FEWEST_WORDS and count < MIN_SEEN_WORDS * len(likeness)
        for likeness, count in zip(every, there, strict=True)
    ):
        return f"{there[0]} of the {len(every[0])} words around its boxes are there"
    if not enough:
        return ""
    printed = contrast >= FAINT_PRINT * np.median(contrast)
    others = int((printed & (letters < OTHER_WORD * np.quantile(letters, GOOD_WORDS))).sum())
    if others < FEWEST_OTHER_WORDS or others < MOST_OTHER_WORDS * len(letters):
        return ""
    return f"in place of {others} of the {len(letters)} words around its boxes stand others"


def named_fields(
    words: Words, seen: SeenWords, boxes: NDArray[np.float64], counts: Sequence[int]
) -> NDArray[np.bool_]:
    """Tell of which fields the word that is nearest to their boxes, mostly their name, is seen on a scan.

    Args:
        words: N of the empty form.
        seen: how much each looks like itself.
        boxes: of all fields, one field after the other, float64 [M, 4, 2], in template units.
        counts: the boxes of each field.

    Returns:
        bool, of each field.
    """
    near = np.flatnonzero(words.near)
    if not len(near):
        return np.zeros(len(counts), np.bool_)
    middles = (words.boxes[near, :2] + words.boxes[near, 2:] / 2) * words.units
    away = np.linalg.norm(middles[:, None] - boxes.mean(axis=1), axis=-1)  # [N, M]
    nearest = [near[part.min(axis=1).argmin()] for part in np.split(away, np.cumsum(counts)[:-1], axis=1)]
    return np.asarray(seen.likeness[nearest] >= SEEN_WORD)


def unseen_fields(outlines: Outlines, counts: Sequence[int]) -> NDArray[np.bool_]:
    """Tell of which fields the lines are not seen, as of a row of boxes that is taken for the next one.

    Args:
        outlines: of the boxes of all fields, one field after the other.
        counts: the boxes of each field.

    >>> found = np.array([[True] * 4] * 3 + [[False] * 4] * 2)
    >>> unseen_fields(Outlines(np.zeros((5, 4, 2), np.float32), found, np.zeros((5, 2))), [3, 2]).tolist()
    [False, True]
    """
    fits = [part.mean() for part in np.split(outlines.found, np.cumsum(counts)[:-1])]
    return np.asarray(np.array(fits) <= MISSING_FIT)


def lacking_boxes(
    scan: Grey, outlines: Outlines, counts: Sequence[int], named: NDArray[np.bool_] | None = None
) -> str:
    """Say which fields' boxes a scan lacks, where the lines of all others are plain; "" where it has them.

    Args:
        scan: uint8 [H, W]. What lies beyond its edges is not missing: it was cut off.
        outlines: of the boxes of all fields, one field after the other.
        counts: the boxes of each field.
        named: of which fields the name is seen, bool: their lines are there, and drowned in light.

    >>> found = np.array([[True] * 4] * 16 + [[False] * 4] * 8)
    >>> outlines = Outlines(np.full((24, 4, 2), 9, np.float32), found, np.zeros((24, 2)))
    >>> lacking_boxes(np.zeros((20, 20), np.uint8), outlines, [8, 8, 8])
    '8 of its 24 boxes are not there'
    """
    middles = outlines.corners.mean(axis=1)
    on_scan = ((middles >= 0) & (middles < scan.shape[::-1])).all(axis=1)
    unseen = unseen_fields(outlines, counts)
    missing = np.repeat(unseen if named is None else unseen & ~named, counts) & on_scan
    seen = np.repeat(~unseen, counts)
    if not seen.any() or outlines.found[seen].mean() < SEEN_FIT:
        return ""
    count, every = int(missing.sum()), len(missing)
    if count < FEWEST_MISSING or count <= MOST_MISSING * every:
        return ""
    return f"{count} of its {every} boxes are not there"
