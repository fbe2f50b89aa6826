"""The boxes of a field: what a recogniser says of each, and what may be in them under its constraints."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from kalamos.alphabets import CONFUSABLES
from kalamos.errors import UsageError
from kalamos.forms.patterns import Pattern

__all__ = ["BoxReading", "Case", "Choices", "choices_of"]

Case = Literal["upper", "lower"]

LEAST_IN_CHARSET: Final = 0.01
"""What the labels that may be in a box have together at least of its probability: below, the share of every
text falls with it. `kalamos.postprocessing` says what such a limit does to letters where digits belong."""

READ_AS_BLANK: Final = 0.5
"""The probability of being blank from which on a box is read as blank."""

SUM_TOLERANCE: Final = 1e-3
"""By which probabilities, often float32, may sum to more than 1."""

_LOOK_ALIKES: Final = tuple(tuple(group) for group in CONFUSABLES if group.isascii())
"""Not the Arabic ones: a recogniser does see dots, and with others it is another letter."""


@dataclass(frozen=True)
class BoxReading:
    """What a recogniser says of one box.

    Attributes:
        probabilities: label -> its probability, given that one character is in the box; in [0, 1], with a
            sum of at most 1.
        known: the probability that what is written is one character; 1.0 where the model cannot tell.
        blank: the probability that nothing is written, in [0, 1].

    Raises:
        UsageError: a probability is out of range.
    """

    probabilities: Mapping[str, float]
    known: float = 1.0
    blank: float = 0.0

    def __post_init__(self) -> None:
        shares = self.probabilities.values()
        fits = min(shares, default=0.0) >= 0 and sum(shares) <= 1 + SUM_TOLERANCE  # false of NaN
        if not (fits and 0 <= self.known <= 1 and 0 <= self.blank <= 1):
            shown = dict(list(self.probabilities.items())[:5])
            raise UsageError(
                f"a box has probabilities {shown}, known {self.known}, blank {self.blank}",
                remedy="give numbers from 0 to 1; those of the labels sum to 1",
            )


class Choices(NamedTuple):
    """What may be in one box of a field."""

    weights: Mapping[str | None, float]
    """Label, None for a blank, -> its probability; what they lack of 1 is of what may not be there."""
    best: float
    """The largest probability, of what may not be there too."""
    labels: frozenset[str]
    """All labels that may be there, however unlikely."""
    as_read: str | None
    """The most likely label, None for a blank, whatever the pattern says."""


def choices_of(
    boxes: Sequence[BoxReading],
    pattern: Pattern,
    *,
    case: Case | None = None,
    allowed: Sequence[Collection[str] | None] | None = None,
    merged: Collection[str] = (),
) -> list[Choices]:
    """Find what may be in each of N boxes, and how likely that is.

    A label that cannot be in its box counts for its look-alike that can, as `kalamos.forms.decode` says.

    >>> likely = BoxReading({"O": 0.7, "0": 0.2, "T": 0.1})
    >>> from kalamos.forms.patterns import compile_pattern
    >>> [found] = choices_of([likely], compile_pattern("[0-9]"))
    >>> round(found.weights["0"], 3), found.as_read
    (0.9, '0')
    """
    stands_for_both = frozenset(merged)
    charsets = [
        _charset(
            frozenset(box.probabilities), None if labels is None else frozenset(labels), case, stands_for_both
        )
        for box, labels in zip(boxes, allowed or [None] * len(boxes), strict=True)
    ]
    possible = pattern.possible(tuple(charset.labels for charset in charsets))
    return [
        _choices(box, charset, labels, _targets(charset.labels, labels, stands_for_both))
        for box, charset, labels in zip(boxes, charsets, possible, strict=True)
    ]


_Targets = Mapping[str, tuple[str, ...]]
"""Label -> the labels for which it may count."""


def _choices(box: BoxReading, charset: _Charset, labels: frozenset[str], targets: _Targets) -> Choices:
    inside = _moved(_moved(box.probabilities, charset.names), charset.targets)
    if charset.restricted:
        total = max(sum(inside.values()), LEAST_IN_CHARSET)
        inside = {label: share / total for label, share in inside.items()}
    matching = _moved(inside, targets)
    written = (1 - box.blank) * box.known
    weights: dict[str | None, float] = {label: share * written for label, share in matching.items()}
    weights[None] = box.blank
    likeliest = max(inside, key=inside.__getitem__, default=None)
    best = max(*weights.values(), 0.0 if likeliest is None else inside[likeliest] * written)
    if box.blank >= READ_AS_BLANK or likeliest is None:
        return Choices(weights, best, labels, None)
    # Where several could be meant, the one that `_moved` took.
    meant = max(targets[likeliest], key=lambda label: inside.get(label, 0.0), default=likeliest)
    return Choices(weights, best, labels, meant)


def _moved(shares: Mapping[str, float], targets: _Targets) -> dict[str, float]:
    """Each label's probability, counted for the likeliest of its targets; lost where it has none."""
    moved: dict[str, float] = {}
    for label, share in shares.items():
        found = targets[label]
        if found:
            target = found[0] if len(found) == 1 else max(found, key=lambda each: shares.get(each, 0.0))
            moved[target] = moved.get(target, 0.0) + share
    return moved


class _Charset(NamedTuple):
    """What the labels of a recogniser come to in one box."""

    labels: frozenset[str]
    """What they can be called there."""
    names: _Targets
    """Label -> itself, composed and in the field's case."""
    targets: _Targets
    """Name -> what it counts for, among those allowed."""
    restricted: bool


@lru_cache(maxsize=1024)
def _charset(
    labels: frozenset[str], allowed: frozenset[str] | None, case: Case | None, merged: frozenset[str]
) -> _Charset:
    names = {label: _in_case(label, case) for label in sorted(labels)}
    called = frozenset(names.values())
    if case is None:
        called |= {label.lower() for label in merged & called}
    kept = called if allowed is None else called & {_in_case(label, case) for label in allowed}
    own_names = {label: (name,) for label, name in names.items()}
    return _Charset(kept, own_names, _targets(called, kept, merged), allowed is not None)


def _in_case(label: str, case: Case | None) -> str:
    composed = unicodedata.normalize("NFC", label)
    folded = composed.upper() if case == "upper" else composed.lower() if case == "lower" else composed
    # The capital of "ß" is two letters, which are not in one box.
    return folded if len(folded) == len(composed) else composed


@lru_cache(maxsize=4096)
def _targets(labels: frozenset[str], kept: frozenset[str], merged: frozenset[str]) -> _Targets:
    """Of each label, those among the kept that it counts for: itself, else its look-alikes."""
    return {
        label: (label,) if label in kept else tuple(each for each in _alike(label, merged) if each in kept)
        for label in sorted(labels)
    }


def _alike(label: str, merged: frozenset[str]) -> Iterator[str]:
    if label in merged:
        yield label.lower()
        return
    for group in _LOOK_ALIKES:
        if label in group:
            yield from group
