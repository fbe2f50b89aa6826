"""What the line recogniser adds to the reading of digits: cuts, parts that seemed no writing, its word."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kalamos.pages.line_recognizer import LABELS, LEAST_LOG, LineScores, Spike, read_strips, strip_of
from kalamos.pages.lines import TextLine
from kalamos.pages.parts import Part, Sheet, find_parts
from kalamos.pages.punctuation import punctuation_of
from kalamos.pages.segmentation import MIN_PROBABILITY, SIGN_PROBABILITY, Piece
from kalamos.pages.segmentation import Candidate as Group
from kalamos.predictions import Candidate, Prediction

__all__ = ["DIRT", "PUNCTUATION", "Judged", "are_digits", "fused", "score_lines", "vouched", "with_doubtful"]

DIGITS: Final = frozenset("0123456789")

PUNCTUATION: Final = frozenset(LABELS) - DIGITS
SIGNS: Final = np.array([index for index, label in enumerate(LABELS) if label in PUNCTUATION])
"""What the line recogniser tells besides digits, and which of its classes that is."""

SLASH: Final = LABELS.index("/")
"""Which of its classes a slash is."""

MIN_DIRT_LOG: Final = math.log(0.7)
"""The logarithm of the probability of nothing being there from which on what looks like a sign is dirt."""

DIRT: Final = Prediction(None, None)
"""The answer to that."""

MIN_SIGN_LOG: Final = math.log(0.5)
"""The logarithm of a sign's probability from which on the line recogniser is taken at its word."""

LINE_WEIGHT: Final = 2.0
READER_WEIGHT: Final = 0.25
WHOLE_WEIGHT: Final = 1.5
KNOWN_WEIGHT: Final = 0.1
"""Of the logarithms of what the line recogniser says, of what the model says of a piece, the same of one that
nothing was cut off, and of its being a character at all: they judge the paths through a line, and labels."""

DOUBTFUL_HEIGHTS: Final = 0.45, 2.4
"""Times the writing's height: how high parts are that may be digits after all."""

BESIDE_HEIGHTS: Final = 0.5, 1.6
BESIDE_FACTOR: Final = 0.8
"""Times the writing's height: how high strokes are that seemed ruled lines and are digits, and how near
others stand to both sides."""

NEAR_FACTOR: Final = 1.2
"""Times the writing's height: how far such a part may be from the line's others."""

MIN_DOUBTFUL_DARKNESS: Final = 0.2
"""Of the writing's: fainter parts are none."""

MIN_ALONE: Final = 3
"""Digits that a line has at least, of which no part seemed writing."""


SURE: Final = 0.5
SURE_SHARE_CUT, SURE_SHARE_WHOLE = 0.5, 0.7
"""A line is of digits where so many of its characters have a `known` of that at least: as one must know of
characters that were cut out of it, and of whole parts."""


class Judged(NamedTuple):
    """What the line recogniser and the model say of a candidate.

    Attributes:
        answer: the model's, with the probabilities of both where they do not agree.
        loss: how unlikely it is to be one character that was read right, in nats.
        share: the probability that the line recogniser gives to the answer's label being there, and no other.
        whole: whether no cut was made at either end.
        slash: the probability that the line recogniser gives to a slash being there, and nothing else.
    """

    answer: Prediction
    loss: float
    share: float
    whole: bool = False
    slash: float = 0.0


def are_digits(labels: Sequence[str]) -> bool:
    """Return whether what can be answered are digits and nothing else.

    >>> are_digits("123"), are_digits("12a"), are_digits("")
    (True, False, False)
    """
    return len(labels) > 0 and DIGITS.issuperset(labels)


def score_lines(
    lines: Sequence[TextLine], strokes: NDArray[np.uint8], labels: Sequence[str]
) -> list[LineScores]:
    """Read lines of a sheet as wholes; `labels` are those that may be answered."""
    return read_strips([strip_of(line, strokes) for line in lines], labels)


def with_doubtful(
    writing: list[Part],
    parts: Sequence[Part],
    dark: Sequence[float],
    height: float,
    sheet: Sheet,
    group: Callable[[Sequence[Part], float], list[TextLine]],
    labels: Sequence[str],
) -> list[Part]:
    """Add the parts that seemed no writing, and are digits if their line is read as a whole.

    Args:
        writing: the parts that seem writing.
        parts: all parts of the sheet.
        dark: how dark each of them is.
        height: of the writing, in px.
        sheet: the sheet; among its parts that are like ruled lines or edges are digits, too.
        group: makes lines of parts.
        labels: that may be answered.
    """
    sure = {part.box for part in writing}
    usual = float(
        np.median([level for part, level in zip(parts, dark, strict=True) if part.box in sure] or [0.0])
    )
    low, high = (factor * height for factor in DOUBTFUL_HEIGHTS)
    doubtful = [
        part
        for part, level in zip(parts, dark, strict=True)
        if part.box not in sure and part.box.height <= high and level >= MIN_DOUBTFUL_DARKNESS * usual
    ]
    doubtful += [
        part for part in find_parts(sheet, like_lines=True) if _stands_between(part, writing, height)
    ]
    if not doubtful:
        return writing
    found: list[Part] = []
    lines = group([*writing, *doubtful], height)
    for line, scores in zip(lines, score_lines(lines, sheet.strokes, labels), strict=True):
        spikes = scores.spikes()
        own = [
            part
            for part in doubtful
            if _stands_on(part, line) and _is_any(part, spikes, small=part.box.height < low)
        ]
        known = [part for part in writing if _stands_on(part, line)]
        if known:
            found += _chained(own, known, NEAR_FACTOR * height)
        elif len(spikes) >= MIN_ALONE:
            found += own
    return [*writing, *found]


def _chained(parts: Sequence[Part], known: Sequence[Part], reach: float) -> list[Part]:
    """Return the parts that are near to known ones, to others near to these, and so on."""
    near, left = list(known), list(parts)
    while True:
        more = [
            part
            for part in left
            if any(max(part.box.x - other.right, other.box.x - part.right) <= reach for other in near)
        ]
        if not more:
            return near[len(known) :]
        near += more
        left = [part for part in left if all(part is not other for other in more)]


def _stands_between(part: Part, writing: Sequence[Part], height: float) -> bool:
    """Return whether a part is as high as a digit and has writing to both sides, at its own height."""
    low, high = (factor * height for factor in BESIDE_HEIGHTS)
    if not low <= part.box.height <= high:
        return False
    beside = [
        other
        for other in writing
        if min(other.bottom, part.bottom) - max(other.box.y, part.box.y) >= 0.5 * part.box.height
    ]
    reach, (middle, _) = BESIDE_FACTOR * height, part.middle
    return any(part.box.x - other.right <= reach and other.middle[0] < middle for other in beside) and any(
        other.box.x - part.right <= reach and other.middle[0] > middle for other in beside
    )


def _stands_on(part: Part, line: TextLine) -> bool:
    """Return whether a part is one of a line's, alone or joined with others."""
    x, y, width, height = part.box
    return any(
        box.x <= x and box.y <= y and x + width <= box.x + box.width and y + height <= box.y + box.height
        for box in (each.box for each in line.parts)
    )


def _is_any(part: Part, spikes: Sequence[Spike], *, small: bool) -> bool:
    """Return whether a part has the middle of a character; a small one, that of a sign."""
    return any(
        part.box.x <= spike.column < part.right and (spike.label in PUNCTUATION or not small)
        for spike in spikes
    )


def fused(
    line: TextLine,
    pieces: Sequence[Piece],
    groups: Sequence[Group],
    answers: Sequence[Prediction],
    scores: LineScores,
) -> list[Judged]:
    """Judge candidates by the line recogniser and the model together.

    Args:
        line: the line.
        pieces: of it.
        groups: the candidates, runs of pieces.
        answers: the model's to each of them, with all labels.
        scores: what the line recogniser says.

    Returns:
        A judgement of each candidate.
    """
    bounds = _bounds(pieces)
    judged = []
    for group, answer in zip(groups, answers, strict=True):
        seen = scores.single(bounds[group.first], bounds[group.last + 1])
        own = _weighed(answer, seen, WHOLE_WEIGHT if group.whole else READER_WEIGHT)
        sign = int(SIGNS[seen[SIGNS].argmax()])
        alone = group.whole and group.first == group.last and len(line.parts) > 1
        if alone and punctuation_of(group.part, line.band) is not None:
            nothing = scores.nothing(bounds[group.first], bounds[group.last + 1])
            if nothing >= MIN_DIRT_LOG:
                own = Judged(DIRT, -LINE_WEIGHT * nothing, 0.0)
            else:
                own = own._replace(
                    loss=min(own.loss, -LINE_WEIGHT * float(seen[sign]) - math.log(SIGN_PROBABILITY))
                )
        elif seen[sign] >= MIN_SIGN_LOG and len(line.parts) > 1:
            own = Judged(
                Prediction(LABELS[sign], 1.0), -LINE_WEIGHT * float(seen[sign]), math.exp(seen[sign])
            )
        judged.append(own._replace(whole=group.whole, slash=math.exp(seen[SLASH])))
    return judged


def vouched(chosen: Sequence[Judged]) -> list[Prediction]:
    """Return the answers of a line's characters, those that only the line knows as known as it says.

    Cut out of a line, the middle of a digit may look like no character at all. Among digits that are known it
    is one, if the line recogniser says so; among drawings and letters it need not be.
    """
    known = [each.answer.known for each in chosen if each.answer.known is not None]
    sure = sum(each >= SURE for each in known) / max(len(known), 1)
    return [
        replace(each.answer, known=each.share)
        if each.answer.known is not None
        and each.answer.known < each.share
        and sure >= (SURE_SHARE_WHOLE if each.whole else SURE_SHARE_CUT)
        else each.answer
        for each in chosen
    ]


def _bounds(pieces: Sequence[Piece]) -> NDArray[np.float64]:
    """Return the columns between pieces, and those of the line's ends: float64 [n + 1], never falling."""
    inner = [(before.part.right + after.part.box.x) / 2 for before, after in pairwise(pieces)]
    return np.maximum.accumulate(np.array([-math.inf, *inner, math.inf]))


def _weighed(answer: Prediction, seen: NDArray[np.float64], weight: float) -> Judged:
    """Weigh a model's answer to one piece with what the line recogniser says of that place.

    Where both have the same label, the answer stays as it is; else it has the probabilities of both together.
    """
    if answer.confidence is None:
        return Judged(answer, -LINE_WEIGHT * LEAST_LOG, 0.0)
    known = 1.0 if answer.known is None else answer.known
    totals = np.array(
        [
            LINE_WEIGHT * float(seen[LABELS.index(label)]) + weight * math.log(max(share, MIN_PROBABILITY))
            for label, share in answer.top
        ]
    )
    best = int(totals.argmax())
    loss = -float(totals[best]) - KNOWN_WEIGHT * math.log(max(known, MIN_PROBABILITY))
    share = math.exp(seen[LABELS.index(answer.top[best].label)])
    if best == 0:
        return Judged(answer, loss, share)
    totals /= LINE_WEIGHT
    shares = np.exp(totals - np.logaddexp.reduce(totals))
    order = np.argsort(-shares, kind="stable").tolist()
    top = tuple(Candidate(answer.top[each].label, float(shares[each])) for each in order)
    return Judged(replace(answer, label=top[0].label, confidence=top[0].confidence, top=top), loss, share)
