"""Several looks at one page, in other light or from farther away: what speaks for each, and for its lines.

One look is right for a page as a whole. But where it doubts a line, others may have seen a stroke of it that
was lost in a shadow, or less of the table beside it: what most of them read is taken, as ROVER does with
recognisers (Fiscus 1997).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from kalamos.pages.page import Box, Character, Line, Page
from kalamos.pages.writing import is_bar
from kalamos.predictions import Prediction

__all__ = ["evidence_of", "has_doubtful_lines", "probability_of", "with_lines_of_others"]

SURE_LINE: Final = 0.95
"""The mean probability of a line's characters from which on no other look is asked about it."""

SAME_LINE: Final = 0.6
"""Of what either of two lines covers, the share that both must cover to be the same."""

SAME_TURN_DEGREES: Final = 45.0
"""Looks at a page that differ by more do not agree on which way up it is."""


def probability_of(answer: Prediction | Character) -> float:
    """Return how likely a part is a character that is read right."""
    if answer.confidence is None:
        return 0.0
    return answer.confidence * (1.0 if answer.known is None else answer.known)


def evidence_of(characters: Sequence[Character]) -> tuple[float, float]:
    """Count the characters of a page that are no chance, and what speaks for the scale that it was looked at.

    At the wrong scale, ruling and grain are many 1s, and characters are read with little certainty. Bars
    speak for no scale; what is doubtful speaks against it.
    """
    evident = worth = 0.0
    for character in characters:
        sure = probability_of(character)
        worth += 2 * sure - 1
        if is_bar(character.box):
            worth -= 1
        else:
            evident += sure
    return evident, worth


def has_doubtful_lines(page: Page) -> bool:
    """Return whether another look may read a line of a page better."""
    return any(map(_is_doubtful, page.lines))


def with_lines_of_others(page: Page, looks: Sequence[Page]) -> Page:
    """Ask all looks at a page about the lines that one of them doubts: the likeliest text of each is taken.

    Args:
        page: one of the looks.
        looks: all of them; a text counts by how sure those that read it are.

    >>> from kalamos.pages.page import Word
    >>> def read(text, sure):
    ...     boxes = [Box(90 // len(text) * place, 0, 90 // len(text), 40) for place in range(len(text))]
    ...     return Page(lines=(Line((Word(tuple(map(Character, text, [sure] * len(text), boxes))),)),))
    >>> looks = [read("172", 0.8), read("122", 0.6), read("122", 0.7)]
    >>> with_lines_of_others(looks[0], looks).text, with_lines_of_others(looks[0], looks[:2]).text
    ('122', '172')
    """
    upright = [look for look in looks if abs(_turn(look, page)) < SAME_TURN_DEGREES]
    return replace(page, lines=tuple(_likeliest(line, upright) for line in page.lines))


def _likeliest(line: Line, looks: Sequence[Page]) -> Line:
    if not _is_doubtful(line):
        return line
    readings: dict[str, list[Line]] = {line.text: []}  # of texts that count alike, this look's own
    for look in looks:
        shares = [_shared(line.box, seen.box) for seen in look.lines]
        most = max(shares, default=0.0)
        if most >= SAME_LINE:
            seen = look.lines[shares.index(most)]
            readings.setdefault(seen.text, []).append(seen)
    likeliest = max(readings.values(), key=lambda seen: sum(map(_sureness, seen)))
    return max(likeliest, key=_sureness)


def _is_doubtful(line: Line) -> bool:
    return _sureness(line) < SURE_LINE


def _sureness(line: Line) -> float:
    """Return the mean probability of a line's characters."""
    sure = [probability_of(character) for word in line.words for character in word.characters]
    return sum(sure) / len(sure)


def _turn(one: Page, other: Page) -> float:
    """Return by how many degrees one page is turned against another, -180 to 180."""
    return (one.turned - other.turned + 180) % 360 - 180


def _shared(one: Box, other: Box) -> float:
    """Return the share that two boxes have in common of what either covers."""
    wide = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    high = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    common = max(0, wide) * max(0, high)
    return common / (one.width * one.height + other.width * other.height - common)
