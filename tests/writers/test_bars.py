from __future__ import annotations

import re
import string
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from kalamos.writers.bars import bar_chart


def test_labels_read_downwards() -> None:
    assert bar_chart(Counter("aaaabbc"), width=40) == [
        "  a 4 ████████    c 1 ██",
        "  b 2 ████",
    ]


def test_the_rarest_of_many_labels_are_counted_together() -> None:
    assert bar_chart(Counter("aaabbcd"), most=2)[-1] == "  and 2 of 2 rarer labels"


def test_one_is_told_from_none_beside_a_million() -> None:
    assert bar_chart(Counter({"a": 1_000_000, "b": 1}))[0].endswith("b         1 ▏")


def test_wide_and_combining_labels_keep_the_columns() -> None:
    wide, narrow, combined = bar_chart(Counter({"字": 1, "a": 1, "e\u0301": 1}), width=20)[::-1]
    assert (wide, narrow, combined) == ("  字 1 ████████", "  e\u0301  1 ████████", "  a  1 ████████")


def test_nothing_to_show() -> None:
    assert bar_chart(Counter()) == []


@given(
    st.dictionaries(
        st.text(string.ascii_letters, min_size=1, max_size=5), st.integers(1, 10**7), max_size=130
    )
)
def test_lines_fit_the_width_and_lose_no_label(counts: dict[str, int]) -> None:
    lines = bar_chart(Counter(counts), width=78, most=130)
    assert all(len(line) <= 78 for line in lines)
    cells = re.findall(r"([a-zA-Z]+) +([\d,]+) [█▏▎▍▌▋▊▉]", "\n".join(lines))
    assert {label: int(count.replace(",", "")) for label, count in cells} == counts
