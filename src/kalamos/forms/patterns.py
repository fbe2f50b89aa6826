"""Patterns of fields: regular expressions as automata, so that a search can ask what may still follow.

The syntax is that of Python's `re`, without what no automaton of bounded size can do: look-around,
back-references, atomic groups, possessive repeats, word boundaries, flags. Which characters an escape or a
class stands for is asked of `re` itself. Matching takes a number of steps that grows with the text's length
alone, whatever the pattern: nothing backtracks.

The automaton is Glushkov's: a state for each place of the pattern that reads a character, no empty steps; a
set of states is one integer, a bit a state.
"""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from kalamos.errors import UsageError

__all__ = ["Pattern", "compile_pattern"]

MAX_PATTERN_CHARACTERS: Final = 2_000
MAX_PATTERN_DEPTH: Final = 40
"""Groups inside one another."""

MAX_PATTERN_PLACES: Final = 1_000
"""Places that read a character, repeats written out: `[0-9]{8}` has 8."""

MAX_SHOWN_CHARACTERS: Final = 60
"""Of a pattern, in a message."""

MAX_REMEMBERED_SETS: Final = 20_000
"""Sets of states whose followers one pattern keeps."""

_QUANTIFIER: Final = re.compile(r"[*+?]|\{(\d*)(?:(,)(\d*))?\}")
_ESCAPE: Final = re.compile(r"\\(?:x..|u.{4}|U.{8}|N\{[^}]*\}|0[0-7]{0,2}|.)", re.DOTALL)
_CLASS: Final = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
_GROUP: Final = re.compile(r"\((?:\?:|\?P<\w+>|(?!\?))")


# The pattern's parse tree.
@dataclass(frozen=True)
class _Atom:
    """Reads one character, of those that `expression` matches."""

    expression: str


@dataclass(frozen=True)
class _Anchor:
    at_start: bool


@dataclass(frozen=True)
class _Repeat:
    node: _Node
    least: int
    most: int | None


@dataclass(frozen=True)
class _Sequence:
    nodes: tuple[_Node, ...]


@dataclass(frozen=True)
class _Choice:
    nodes: tuple[_Node, ...]


_Node = _Atom | _Anchor | _Repeat | _Sequence | _Choice


class Pattern:
    """A pattern as an automaton; `compile_pattern` makes it.

    Attributes:
        source: the pattern as written, composed (NFC).
        start: the set of states before the first character. Sets of states are integers; 0 is the empty one,
            from which no text leads to a match.

    >>> pattern = compile_pattern("[A-Z]{2}[0-9]+")
    >>> inside = pattern.step(pattern.start, "AB")
    >>> pattern.accepts(inside), pattern.accepts(pattern.step(inside, "7")), pattern.step(inside, "C")
    (False, True, 0)
    """

    def __init__(self, source: str, tree: _Node) -> None:
        self.source = source
        self.start = 1
        builder = _Builder(source)
        whole = builder.build(tree)
        self._follow = (whole.first, *builder.follow)
        self.accepting = whole.last | (self.start if whole.nullable else 0)
        self._readers: dict[str, int] = {}
        # A place of the pattern is the state of the same number; state 0 is the start.
        self._places_of: dict[str, int] = {}
        for state, expression in enumerate(builder.expressions, 1):
            self._places_of[expression] = self._places_of.get(expression, 0) | 1 << state
        self._atoms = {expression: re.compile(expression) for expression in self._places_of}
        self._next: dict[int, int] = {}

    def step(self, states: int, text: str) -> int:
        """Return the states after reading text from any of some states; 0 where it cannot be read."""
        for character in text:
            if not states:
                break
            states = self._followers(states) & self._reading(character)
        return states

    def accepts(self, states: int) -> bool:
        """Tell whether the pattern is satisfied by what was read so far."""
        return bool(states & self.accepting)

    def fullmatch(self, text: str) -> bool:
        """Tell whether the pattern matches the whole text, as `re.fullmatch` would.

        >>> compile_pattern("(a+)+$").fullmatch("a" * 5000 + "b")
        False
        """
        return self.accepts(self.step(self.start, text))

    def possible(self, labels: Sequence[frozenset[str]]) -> tuple[frozenset[str], ...]:
        """Find what can stand in each of N boxes in a row, whatever stands in the others.

        Args:
            labels: of each box, what it may hold. Boxes may also be blank: before and behind the text, and
                inside where the pattern reads a space.

        Returns:
            Of each box those labels that some row holds which the pattern matches.

        >>> found = compile_pattern("[A-Z]{2}[0-9]").possible([frozenset("AB12")] * 3)
        >>> ["".join(sorted(each)) for each in found]
        ['AB', 'AB', '12']
        """
        return _possible(self, tuple(labels))

    def _reading(self, character: str) -> int:
        """The states that reading the character leads into."""
        found = self._readers.get(character)
        if found is None:
            found = 0
            for expression, places in self._places_of.items():
                if self._atoms[expression].fullmatch(character):
                    found |= places
            self._readers[character] = found
        return found

    def _followers(self, states: int) -> int:
        found = self._next.get(states)
        if found is None:
            found = 0
            for state in _bits(states):
                found |= self._follow[state]
            if len(self._next) >= MAX_REMEMBERED_SETS:
                self._next.clear()
            self._next[states] = found
        return found

    def leading_to(self, target: int, labels: Iterable[str]) -> int:
        """The states from which one of the labels leads into the target."""
        # All single characters at once, as they share the states before.
        single = 0
        found = 0
        for label in labels:
            if len(label) == 1:
                single |= self._reading(label)
                continue
            before = target
            for character in reversed(label):
                before = self._before(before & self._reading(character))
            found |= before
        return found | self._before(target & single)

    def _before(self, target: int) -> int:
        """The states that some state of the target follows."""
        found = 0
        for state, follow in enumerate(self._follow):
            if follow & target:
                found |= 1 << state
        return found


@lru_cache(maxsize=256)
def _possible(pattern: Pattern, labels: tuple[frozenset[str], ...]) -> tuple[frozenset[str], ...]:
    ahead = [pattern.start]
    for each in labels:
        # A blank is nothing before the text, and a space inside it.
        reached = pattern.start | pattern.step(ahead[-1] & ~pattern.start, " ")
        for label in each:
            reached |= pattern.step(ahead[-1], label)
        ahead.append(reached)
    # From which states the text can go on, a space with a label to come; and from which it can also end.
    going_on = 0
    behind = [pattern.accepting]
    for each in reversed(labels):
        going_on = pattern.leading_to(behind[-1], each) | pattern.leading_to(going_on, (" ",))
        behind.append(pattern.accepting | going_on)
    behind.reverse()
    return tuple(
        frozenset(label for label in each if pattern.step(before, label) & after)
        for each, before, after in zip(labels, ahead[:-1], behind[1:], strict=True)
    )


@lru_cache(maxsize=256)
def compile_pattern(pattern: str) -> Pattern:
    r"""Compile the pattern of a field.

    Args:
        pattern: a regular expression in the syntax of `re`, for the whole text: `^` and `$` at its ends
            change nothing.

    Raises:
        UsageError: no regular expression, one that is too large, or with a part that is not supported.

    >>> compile_pattern(r"(?:A|B)\d{3}").fullmatch("B207")
    True
    >>> compile_pattern(r"(?=A)[A-Z]+")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    kalamos.errors.UsageError: pattern '(?=A)[A-Z]+' has '(?=' at 0: look-around is not ...
    """
    composed = unicodedata.normalize("NFC", pattern)
    if len(composed) > MAX_PATTERN_CHARACTERS:
        raise UsageError(
            f"a pattern has {len(composed):,} characters, more than {MAX_PATTERN_CHARACTERS:,}",
            remedy="shorten it, or use a check",
        )
    tree = _Parser(composed).parse()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what may mean something else in a later Python
        try:
            re.compile(composed)
        except (re.error, OverflowError, RecursionError) as error:
            raise UsageError(
                f"{_shown(composed)} is no regular expression: {error}",
                remedy="put a \\ before a character that stands for itself",
            ) from error
        _check_anchors(tree, composed, first=True, last=True)
        return Pattern(composed, tree)


_UNSUPPORTED: Final = {
    "(?=": "look-around",
    "(?!": "look-around",
    "(?<": "look-around",
    "(?P=": "a back-reference",
    "(?(": "a condition",
    "(?>": "an atomic group",
    "(?#": "a comment",
}

_USE_ALTERNATIVES: Final = "list what may stand there instead, such as [A-C] or (AB|CD), or use a check"


class _Parser:
    """Reads a pattern into a tree; what `re` would refuse as well may pass."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._depth = 0

    def parse(self) -> _Node:
        tree = self._choice()
        if self._at < len(self._pattern):
            raise UsageError(
                f"{_shown(self._pattern)} is no regular expression: unbalanced ) at {self._at}",
                remedy="take it away, or put a \\ before it",
            )
        return tree

    def _choice(self) -> _Node:
        branches = [self._sequence()]
        while self._pattern.startswith("|", self._at):
            self._at += 1
            branches.append(self._sequence())
        return branches[0] if len(branches) == 1 else _Choice(tuple(branches))

    def _sequence(self) -> _Node:
        nodes: list[_Node] = []
        while self._at < len(self._pattern) and self._pattern[self._at] not in "|)":
            nodes.append(self._repeated(self._one()))
        return _Sequence(tuple(nodes))

    def _repeated(self, node: _Node) -> _Node:
        found = _QUANTIFIER.match(self._pattern, self._at)
        if found is None or found[0] == "{}":
            return node
        after = self._pattern[found.end() : found.end() + 1]
        if after == "+":
            raise self._unsupported(f"{found[0]}+", "a possessive repeat", "leave the last + out")
        self._at = found.end() + (after == "?")  # the fewest or the most: the same texts match
        if found[0] in "*+?":
            return _Repeat(node, int(found[0] == "+"), 1 if found[0] == "?" else None)
        least, comma, most = found.groups()
        if not comma:
            return _Repeat(node, int(least), int(least))
        return _Repeat(node, int(least or 0), int(most) if most else None)

    def _one(self) -> _Node:
        character = self._pattern[self._at]
        if character == "(":
            return self._group()
        if character in "^$":
            self._at += 1
            return _Anchor(character == "^")
        if character == "[":
            found = _CLASS.match(self._pattern, self._at)
            if found is None:
                raise UsageError(
                    f"{_shown(self._pattern)} is no regular expression: [ at {self._at} is not closed",
                    remedy="put a ] behind the characters, or a \\ before the [",
                )
            self._at = found.end()
            return _Atom(found[0])
        if character == "\\":
            return self._escape()
        self._at += 1
        return _Atom(character if character == "." else re.escape(character))

    def _group(self) -> _Node:
        found = _GROUP.match(self._pattern, self._at)
        if found is None:
            kinds = [begin for begin in _UNSUPPORTED if self._pattern.startswith(begin, self._at)]
            begin = kinds[0] if kinds else self._pattern[self._at : self._at + 3]
            if not kinds:
                raise self._unsupported(
                    begin, "a flag", "write [Aa] for both cases, or give the field a case"
                )
            raise self._unsupported(begin, _UNSUPPORTED[begin])
        self._depth += 1
        if self._depth > MAX_PATTERN_DEPTH:
            raise UsageError(
                f"{_shown(self._pattern)} has over {MAX_PATTERN_DEPTH} groups inside one another",
                remedy="write it with fewer",
            )
        self._at = found.end()
        node = self._choice()
        if not self._pattern.startswith(")", self._at):
            raise UsageError(
                f"{_shown(self._pattern)} is no regular expression: a ( is not closed",
                remedy="put a ) behind the group, or a \\ before the (",
            )
        self._at += 1
        self._depth -= 1
        return node

    def _escape(self) -> _Node:
        found = _ESCAPE.match(self._pattern, self._at)
        letter = self._pattern[self._at + 1 : self._at + 2]
        if letter in "bB" and letter:
            raise self._unsupported(f"\\{letter}", "a word boundary", "leave it out")
        if letter in "123456789" and letter:
            raise self._unsupported(f"\\{letter}", "a back-reference")
        if found is None or letter == "":
            raise UsageError(
                f"{_shown(self._pattern)} is no regular expression: \\ at {self._at} stands before nothing",
                remedy="put a second \\ behind it",
            )
        self._at = found.end()
        return _Anchor(letter == "A") if letter in "AZz" else _Atom(found[0])

    def _unsupported(self, begin: str, what: str, remedy: str = _USE_ALTERNATIVES) -> UsageError:
        return UsageError(
            f"{_shown(self._pattern)} has {begin!r} at {self._at}: {what} is not supported", remedy=remedy
        )


def _check_anchors(node: _Node, pattern: str, *, first: bool, last: bool) -> None:
    """Refuse ^ and $ where something may stand before or behind: such a pattern matches by halves."""
    match node:
        case _Anchor(at_start):
            if not (first if at_start else last):
                raise UsageError(
                    f"{_shown(pattern)} has an anchor that is not at its {'start' if at_start else 'end'}",
                    remedy="leave it out: a pattern is for the whole text; the characters are \\^ and \\$",
                )
        case _Choice(nodes):
            for each in nodes:
                _check_anchors(each, pattern, first=first, last=last)
        case _Sequence(nodes):
            reads = [not isinstance(each, _Anchor) for each in nodes]
            for place, each in enumerate(nodes):
                _check_anchors(
                    each,
                    pattern,
                    first=first and not any(reads[:place]),
                    last=last and not any(reads[place + 1 :]),
                )
        case _Repeat(inner, _, most):
            _check_anchors(inner, pattern, first=first and most == 1, last=last and most == 1)
        case _:
            pass


@dataclass(frozen=True)
class _Part:
    """Of a part of a pattern: the states that may read its first and its last character."""

    first: int
    last: int
    nullable: bool


class _Builder:
    """Numbers the places of a pattern from 1 on, and finds which may follow which."""

    def __init__(self, source: str) -> None:
        self._source = source
        self.expressions: list[str] = []
        self.follow: list[int] = []

    def build(self, node: _Node) -> _Part:
        match node:
            case _Atom(expression):
                if len(self.expressions) >= MAX_PATTERN_PLACES:
                    raise UsageError(
                        f"{_shown(self._source)} has more than {MAX_PATTERN_PLACES:,} characters with its "
                        "repeats written out",
                        remedy="repeat less, or use *",
                    )
                self.expressions.append(expression)
                self.follow.append(0)
                place = 1 << len(self.expressions)
                return _Part(place, place, nullable=False)
            case _Anchor():
                return _EMPTY
            case _Choice(nodes):
                parts = [self.build(each) for each in nodes]
                first = last = 0
                for part in parts:
                    first |= part.first
                    last |= part.last
                return _Part(first, last, any(part.nullable for part in parts))
            case _Sequence(nodes):
                whole = _EMPTY
                for each in nodes:
                    whole = self._join(whole, self.build(each))
                return whole
            case _Repeat(inner, least, most):
                return self._repeat(inner, least, most)

    def _repeat(self, node: _Node, least: int, most: int | None) -> _Part:
        whole = _EMPTY
        copies = max(least, 1) if most is None else most
        for copy in range(1, copies + 1):
            part = self.build(node)
            if part.first == 0:  # reads nothing, however often
                return part
            if most is None and copy == copies:
                self._link(part.last, part.first)
            whole = self._join(whole, _Part(part.first, part.last, part.nullable or copy > least))
        return whole

    def _join(self, before: _Part, after: _Part) -> _Part:
        self._link(before.last, after.first)
        return _Part(
            before.first | (after.first if before.nullable else 0),
            after.last | (before.last if after.nullable else 0),
            before.nullable and after.nullable,
        )

    def _link(self, last: int, first: int) -> None:
        if first:
            for state in _bits(last):
                self.follow[state - 1] |= first


_EMPTY: Final = _Part(0, 0, nullable=True)


def _shown(pattern: str) -> str:
    cut = pattern if len(pattern) <= MAX_SHOWN_CHARACTERS else f"{pattern[:MAX_SHOWN_CHARACTERS]}…"
    return f"pattern {cut!r}"


def _bits(states: int) -> Iterator[int]:
    while states:
        lowest = states & -states
        yield lowest.bit_length() - 1
        states ^= lowest
