from __future__ import annotations

import itertools
import math
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalamos.forms.boxes import Choices
from kalamos.forms.patterns import compile_pattern
from kalamos.forms.search import LEAST_SHARE, Row, matching_rows

PATTERNS = [
    ".*", "a+", "[ab]{2}1?", "a b|1", "(a|ab)*", "(a+)+$", "[ab ]+", "a|b|1|ab", "(?:a1|b)+", "1{3}", "a.b?",
    " a", "",
]  # fmt: skip

WEIGHTS = st.sampled_from([0.0, 0.0005, 0.01, 0.2, 0.25, 0.5, 0.9, 1.0])
BOXES = st.lists(
    st.fixed_dictionaries({None: WEIGHTS, "a": WEIGHTS, "b": WEIGHTS, "1": WEIGHTS, "ab": WEIGHTS}),
    min_size=1,
    max_size=5,
).map(lambda boxes: [Choices(box, max(box.values()), frozenset(), None) for box in boxes])


def all_rows(boxes: list[Choices], pattern: str, *, may_be_blank: bool, gap_weight: float) -> list[Row]:
    found = []
    for labels in itertools.product(*(box.weights for box in boxes)):
        share = math.prod(box.weights[label] for box, label in zip(boxes, labels, strict=True))
        text = "".join(label or " " for label in labels).strip(" ")
        share *= gap_weight ** len(re.findall(" +", text))
        if share > 0 and (re.fullmatch(pattern, text) if text else may_be_blank):
            found.append(Row(labels, share))
    return found


@given(BOXES, st.sampled_from(PATTERNS), st.booleans(), st.sampled_from([1.0, 0.05]))
@settings(max_examples=300)
def test_it_finds_what_trying_everything_finds(
    boxes: list[Choices], pattern: str, may_be_blank: bool, gap_weight: float
) -> None:
    options = {"may_be_blank": may_be_blank, "gap_weight": gap_weight}
    found = list(matching_rows(boxes, compile_pattern(pattern), **options))
    shares = [row.share for row in found]
    assert all(later <= earlier * (1 + 1e-9) for earlier, later in itertools.pairwise(shares))
    least = LEAST_SHARE * math.prod(box.best for box in boxes)
    expected = {row.labels: row.share for row in all_rows(boxes, pattern, **options)}
    assert len({row.labels for row in found}) == len(found)
    for row in found:
        assert row.share == pytest.approx(expected[row.labels])
        assert row.share >= least * (1 - 1e-9)
    missed = [share for labels, share in expected.items() if labels not in {row.labels for row in found}]
    assert all(share <= least * (1 + 1e-9) for share in missed)


def test_products_too_small_for_a_float_are_still_in_order() -> None:
    boxes = [Choices({"a": 2e-3, "b": 1e-3}, 2e-3, frozenset("ab"), "a")] * 180
    first, second = itertools.islice(matching_rows(boxes, compile_pattern(".*"), may_be_blank=False), 2)
    assert set(first.labels) == {"a"}
    assert second.labels.count("b") == 1


def test_nothing_is_found_where_nothing_can_be() -> None:
    nothing = Choices({None: 0.0, "a": 0.0}, 0.0, frozenset("a"), None)
    assert list(matching_rows([nothing], compile_pattern(".*"), may_be_blank=True)) == []


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+$", "(.*a){20}", "[ab1]*a[ab1]{12}", "(a|b)*a(a|b|1){15}", "((a?){0,30}|b){0,30}", "(a|b|1|.)*"],
)
def test_no_pattern_makes_a_search_long(pattern: str) -> None:
    labels = [chr(code) for code in range(ord("0"), ord("z"))]
    boxes = [Choices(dict.fromkeys(labels, 1 / 74), 1 / 74, frozenset(labels), "a")] * 60
    automaton = compile_pattern(pattern)

    def seconds() -> float:
        start = time.thread_time()  # of no other thread that a test before this one has left behind
        list(itertools.islice(matching_rows(boxes, automaton, may_be_blank=False), 100))
        return time.thread_time() - start

    # Measured: 0.1 s. Another second may be taken by the collection of the whole process's garbage, once.
    assert any(seconds() < 1 for _ in range(3))
