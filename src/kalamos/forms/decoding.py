"""From what a recogniser says of each box of a field to the field's text, and whether to trust it.

Of every box the recogniser gives the probability that it is blank, that what is in it is one character at
all, and of each label. A text has the product of the probabilities of what it puts in the boxes: *its share*
of all that could be in them. That is never divided by the sum over the texts that satisfy pattern and check,
for else a check would make nonsense look sure. Hardly anybody leaves a box within a number empty: beside a
check, a text with such a gap counts for less, unless a pattern says where gaps may be.

The search is exact: texts that match the pattern come in falling order of their shares, and the check is
asked about each, until enough satisfy it, or until the texts are too unlikely, or a fixed number was tried.

A text is trusted where two numbers are large enough. One is its share. The other is its *certainty*, its
share beside what may be right instead: the other texts that satisfy pattern and check; a small part of those
that the check refused, for people do write wrong numbers; and of all other probability the part that would
have passed the check by chance. Without a check everything passes, and the certainty is the share. With a
check digit a share of 0.4 can be as certain as one of 0.98 without: the digit tells that the likelier reading
is wrong. Beside a check digit less certainty is asked for, since what a recogniser is sure of and wrong about
breaks the check. `benchmarks/decoding.py` sets this rule against others.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from kalamos.errors import UsageError
from kalamos.forms.boxes import BoxReading, Case, Choices, choices_of
from kalamos.forms.checks import Check, find_check
from kalamos.forms.patterns import compile_pattern
from kalamos.forms.search import Row, matching_rows

__all__ = ["BoxReading", "Case", "Decoded", "Status", "decode"]

Status = Literal["ok", "check", "blank"]

DEFAULT_THRESHOLD: Final = 0.1
"""The share from which on a field may be `ok`."""

DEFAULT_CERTAINTY: Final = 0.98
"""The certainty from which on a field may be `ok`."""

CHECK_DIGIT_CERTAINTY: Final = 0.95
"""Likewise of a field whose check refuses every text with one other label."""

MAX_BOXES: Final = 200
"""Boxes of one field."""

MAX_TRIED: Final = 500
"""Texts of one field that the check is asked about."""

RIVALS: Final = 4
"""Further texts that satisfy pattern and check and are counted against the best."""

PROBES: Final = 40
"""Texts, each with one other label than the best, that tell how much passes a check by chance."""

GAP_WEIGHT: Final = 0.05
"""The weight of a gap within the text of a field that has a check and no pattern, in (0, 1]."""

LEAST_PASS_RATE: Final = 0.005
"""Of wrong texts, the part that is taken to pass a check at least. A check digit stops all errors of one
digit, which are nearly all there are; of the others a tenth or a hundredth pass. It is also the part of what
a check refused that is taken to be what was written."""


@dataclass(frozen=True)
class Decoded:
    """The text of a field.

    Attributes:
        text: the most likely one that satisfies pattern and check, without the blank boxes around it; ""
            where all are blank. None where every such text is far less likely than `as_read`.
        probability: its share, in [0, 1]; 0.0 without a text.
        certainty: its certainty, in [0, 1]; 0.0 without a text.
        runners_up: further texts that satisfy pattern and check, with their shares, falling.
        status: `ok`; `blank`, where nothing is written and nothing need be; else `check`.
        boxes: of each box the label chosen for the text, or for `as_read` where there is none; None for a
            blank.
        as_read: the most likely label of each box, whatever pattern and check say, with a space for a blank
            between them.
    """

    text: str | None
    probability: float
    certainty: float
    runners_up: tuple[tuple[str, float], ...]
    status: Status
    boxes: tuple[str | None, ...]
    as_read: str


def decode(
    boxes: Sequence[BoxReading],
    *,
    pattern: str | None = None,
    check: str | None = None,
    may_be_blank: bool = False,
    case: Case | None = None,
    allowed: Sequence[Collection[str] | None] | None = None,
    merged: Collection[str] = (),
    threshold: float = DEFAULT_THRESHOLD,
    certainty: float | None = None,
    top_k: int = 5,
) -> Decoded:
    """Find the most likely text of a field that satisfies its constraints, and whether to trust it.

    Boxes before and behind the text may be blank. A blank box inside is a space: that is for the pattern to
    accept; without a pattern such a field is to be checked.

    A label that cannot be in its box, by `allowed` and the pattern, counts for its look-alike that can: an
    "O" where only digits can be is a "0", a merged "C" where only small letters can be a "c".

    Args:
        boxes: N readings in reading order, at most `MAX_BOXES`; of a field from right to left, the rightmost
            first.
        pattern: what the whole text has to match, see `kalamos.forms.patterns`.
        check: the name of a check, see `kalamos.forms.checks.find_check`.
        may_be_blank: whether the field may be left empty.
        case: fold all labels to capitals or to small letters; each then has both cases' probability.
        allowed: of each box the labels that can be in it, None for all. Nothing else is taken to be possible:
            their probabilities are divided by their sum, as under `kalamos predict --charset`.
        merged: labels that stand for both their cases, as `kalamos.alphabets.Alphabet.merged`.
        threshold: the share from which on a field is `ok` or `blank`, in (0, 1].
        certainty: the certainty that it needs besides, in (0, 1]; None takes `CHECK_DIGIT_CERTAINTY` where
            the check stops every error of one label, else `DEFAULT_CERTAINTY`.
        top_k: how many texts to name at most, the best and its runners-up; 1 or more.

    Raises:
        UsageError: no box or too many, a pattern or check that does not exist, an option out of range.
        MissingExtraError: the check needs a package that is not installed.

    >>> boxes = [BoxReading({"7": 0.6, "1": 0.4}), BoxReading({"1": 1.0}), BoxReading({"7": 1.0})]
    >>> read = decode(boxes, check="luhn")
    >>> read.text, round(read.probability, 3), read.as_read, read.status
    ('117', 0.4, '717', 'ok')
    >>> decode(boxes).text, decode(boxes).status
    ('717', 'check')
    """
    _check_options(boxes, allowed, case, threshold, certainty, top_k)
    accepts = None if check is None else find_check(check)
    automaton = compile_pattern(".*" if pattern is None else pattern)
    choices = choices_of(boxes, automaton, case=case, allowed=allowed, merged=merged)
    as_read = tuple(each.as_read for each in choices)
    blank = math.prod(box.blank for box in boxes)
    if not _text(as_read) and not may_be_blank:
        return Decoded("", blank, blank, (), "check", as_read, "")
    gap_weight = GAP_WEIGHT if pattern is None and accepts is not None else 1.0
    rows = matching_rows(choices, automaton, may_be_blank=may_be_blank, gap_weight=gap_weight)
    found, refused = _satisfying(rows, accepts, max(top_k, 1 + RIVALS))
    if not found:
        return Decoded(None, 0.0, 0.0, (), "check", as_read, _text(as_read))
    (text, best), *others = found.items()
    rivals = sum(row.share for _, row in others[:RIVALS])
    sure, needed = best.share, DEFAULT_CERTAINTY
    if text and accepts is not None:  # no check speaks for an empty field
        passing = _pass_rate(accepts, best, choices)
        needed = CHECK_DIGIT_CERTAINTY if passing == LEAST_PASS_RATE else needed
        others_share = max(1 - best.share - rivals - refused, 0.0)
        sure /= best.share + rivals + LEAST_PASS_RATE * refused + passing * others_share
    # Without a pattern nobody has said that there may be a space.
    spaced = pattern is None and " " in text
    trusted = best.share >= threshold and sure >= (certainty or needed) and not spaced
    return Decoded(
        text=text,
        probability=best.share,
        certainty=sure,
        runners_up=tuple((each, row.share) for each, row in others[: top_k - 1]),
        status="check" if not trusted else "ok" if text else "blank",
        boxes=best.labels,
        as_read=_text(as_read),
    )


def _check_options(
    boxes: Sequence[BoxReading],
    allowed: Sequence[Collection[str] | None] | None,
    case: Case | None,
    threshold: float,
    certainty: float | None,
    top_k: int,
) -> None:
    if not 1 <= len(boxes) <= MAX_BOXES:
        raise UsageError(
            f"a field has {len(boxes):,} boxes", remedy=f"give 1 to {MAX_BOXES}, or split the field"
        )
    if allowed is not None and len(allowed) != len(boxes):
        raise UsageError(
            f"allowed is for {len(allowed):,} boxes, and the field has {len(boxes):,}",
            remedy="give one entry a box, None where all labels may be",
        )
    if case not in (None, "upper", "lower"):
        raise UsageError(f"case is {case!r}", remedy="give 'upper', 'lower' or None")
    for name, value in (("threshold", threshold), ("certainty", certainty)):
        if value is not None and not 0 < value <= 1:
            raise UsageError(f"{name} is {value}", remedy="give a number above 0, at most 1")
    if top_k < 1:
        raise UsageError(f"top_k is {top_k}", remedy="give the number of texts, 1 or more")


def _text(labels: Iterable[str | None]) -> str:
    return "".join(" " if label is None else label for label in labels).strip(" ")


def _satisfying(rows: Iterator[Row], accepts: Check | None, count: int) -> tuple[dict[str, Row], float]:
    """Find the first `count` texts that a check accepts, the best first.

    Returns:
        Text -> its row, of several the likeliest; and the share of all texts together that the check refused
        before there were the best and its rivals.
    """
    found: dict[str, Row] = {}
    refused = 0.0
    for row in itertools.islice(rows, MAX_TRIED):
        text = _text(row.labels)
        if text in found:
            continue
        if not text or accepts is None or accepts(text):
            found[text] = row
            if len(found) == count:
                break
        elif len(found) <= RIVALS:
            refused += row.share
    return found, refused


def _pass_rate(accepts: Check, best: Row, choices: Sequence[Choices]) -> float:
    """Of the texts with one other label than the best, the part that a check accepts."""
    others = [sorted(box.labels - {label}) for label, box in zip(best.labels, choices, strict=True)]
    written = [place for place, label in enumerate(best.labels) if label is not None and others[place]]
    if not written:
        return LEAST_PASS_RATE
    passed = 0
    for probe in range(PROBES):
        # Every box in turn, and in each another label every time.
        place = written[probe % len(written)]
        label = others[place][probe * _STRIDE % len(others[place])]
        passed += accepts(_text((*best.labels[:place], label, *best.labels[place + 1 :])))
    return max(passed / PROBES, LEAST_PASS_RATE)


_STRIDE: Final = 7
"""Between the labels of probes, so that they are not neighbours in the alphabet."""
