"""The search for the most likely rows of labels that match a pattern: exact, lazy, best first.

The boxes and the states of the pattern's automaton make a graph with a path for each row that matches. Of
each of its nodes the best completion is known before the search, so that nothing is looked at in vain.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from kalamos.forms.boxes import Choices
from kalamos.forms.patterns import Pattern

__all__ = ["LEAST_SHARE", "MAX_EDGES", "Row", "matching_rows"]

LEAST_SHARE: Final = 1e-3
"""Rows are found down to this part of the probability of the most likely row without a pattern."""

MAX_EDGES: Final = 10_000
"""Edges of one search's graph; where more would be needed, nothing is found."""

_BEFORE, _INSIDE, _BETWEEN, _BEHIND = range(4)
"""What a box is: blank with nothing written so far, a label, blank with text to come, blank as all others."""


class Row(NamedTuple):
    """A label in each box, or None for a blank."""

    labels: tuple[str | None, ...]
    share: float
    """The product of their probabilities, and of the weights of its gaps."""


def matching_rows(
    boxes: Sequence[Choices], pattern: Pattern, *, may_be_blank: bool, gap_weight: float = 1.0
) -> Iterator[Row]:
    """Find the rows whose text matches, in falling order of their shares, each once.

    The text of a row is its labels without the blanks before and behind; a blank between is a space.

    Args:
        boxes: what may be in each of N boxes.
        may_be_blank: whether the row of blanks alone is one of them, whatever the pattern says.
        gap_weight: by what the share of a row is multiplied for each gap within its text, in (0, 1].

    >>> from kalamos.forms.patterns import compile_pattern
    >>> boxes = [Choices({"1": 0.6, "7": 0.4}, 0.6, frozenset("17"), "1")] * 2
    >>> rows = matching_rows(boxes, compile_pattern("1[0-9]|7[02468]"), may_be_blank=False)
    >>> [("".join(row.labels), round(row.share, 2)) for row in rows]
    [('11', 0.36), ('17', 0.24)]
    """
    if not all(box.best > 0 for box in boxes):
        return
    least = math.log(LEAST_SHARE) + sum(math.log(box.best) for box in boxes)
    root = _graph(boxes, pattern, may_be_blank=may_be_blank, gap_weight=gap_weight)
    # Of every row but the first, what waits is the place where it leaves the row before it.
    order = itertools.count()
    waiting = [_Waiting(-root.log_best, next(order), root, 0, 0.0, None)]
    while waiting and -waiting[0].cost >= least:
        _, _, node, rank, log_share, path = heapq.heappop(waiting)
        while node.edges:
            if rank + 1 < len(node.edges):
                cost = -(log_share + node.edges[rank + 1].log_best)
                heapq.heappush(waiting, _Waiting(cost, next(order), node, rank + 1, log_share, path))
            edge = node.edges[rank]
            log_share += edge.log_weight
            node, rank, path = edge.node, 0, _Path(edge.label, path)
        yield Row(_labels(path), math.exp(log_share))


class _Path(NamedTuple):
    """The labels of the first boxes, from the last of them."""

    label: str | None
    before: _Path | None


class _Waiting(NamedTuple):
    cost: float
    """The negative logarithm of the share of the best row that goes on this way."""
    order: int
    node: _Node
    rank: int
    """Of the edge to take from the node."""
    log_share: float
    path: _Path | None


def _labels(path: _Path | None) -> tuple[str | None, ...]:
    labels = []
    while path is not None:
        label, path = path
        labels.append(label)
    return tuple(reversed(labels))


@dataclass(slots=True, eq=False)
class _Node:
    """Some of the boxes, and a set of states of the automaton behind them."""

    edges: list[_Edge] = field(default_factory=list)
    """The best first."""
    log_best: float = -math.inf
    """Of the best completion; -inf where there is none."""


class _Edge(NamedTuple):
    log_best: float
    """Of the best completion that begins with it."""
    log_weight: float
    label: str | None
    node: _Node


_Layer = dict[tuple[int, int], _Node]


def _graph(boxes: Sequence[Choices], pattern: Pattern, *, may_be_blank: bool, gap_weight: float) -> _Node:
    """Its root; a root without edges where nothing matches or the graph is too large."""
    layers = _layers(boxes, pattern, math.log(gap_weight))
    for (phase, states), node in layers[-1].items():
        matches = phase == _BEHIND or (phase == _INSIDE and pattern.accepts(states))
        if matches or (phase == _BEFORE and may_be_blank):
            node.log_best = 0.0
    for layer in reversed(layers[:-1]):
        for node in layer.values():
            node.edges = sorted(
                (
                    _Edge(edge.log_weight + edge.node.log_best, *edge[1:])
                    for edge in node.edges
                    if edge.node.log_best > -math.inf
                ),
                key=lambda edge: (-edge.log_best, edge.label or ""),
            )
            if node.edges:
                node.log_best = node.edges[0].log_best
    return layers[0][_BEFORE, pattern.start]


def _layers(boxes: Sequence[Choices], pattern: Pattern, log_gap: float) -> list[_Layer]:
    """The nodes that can be reached before the first box and behind each; the root alone if too many."""
    layers: list[_Layer] = [{(_BEFORE, pattern.start): _Node()}]
    edges = 0
    for box in boxes:
        least = LEAST_SHARE * box.best  # what is less likely is in no row that is to be found
        options = [
            (label, math.log(weight))
            for label, weight in box.weights.items()
            if weight > 0 and weight >= least
        ]
        layer: _Layer = {}
        for (phase, states), node in layers[-1].items():
            for label, log_weight in options:
                for key in _following(pattern, phase, states, label):
                    following = layer.get(key)
                    if following is None:
                        following = layer[key] = _Node()
                    begins_gap = phase == _INSIDE and key[0] == _BETWEEN
                    weight = log_weight + log_gap if begins_gap else log_weight
                    node.edges.append(_Edge(0.0, weight, label, following))
            edges += len(node.edges)
            if edges > MAX_EDGES:
                return [{(_BEFORE, pattern.start): _Node()}, {}]
        layers.append(layer)
    return layers


def _following(pattern: Pattern, phase: int, states: int, label: str | None) -> Iterator[tuple[int, int]]:
    """What a box may be, and the states behind it."""
    if label is not None:
        after = pattern.step(states, label) if phase != _BEHIND else 0
        if after:
            yield _INSIDE, after
    elif phase in (_BEFORE, _BEHIND):
        yield phase, states
    else:
        if phase == _INSIDE and pattern.accepts(states):
            yield _BEHIND, 0
        between = pattern.step(states, " ")
        if between:
            yield _BETWEEN, between
