"""What several looks at one page say together of its lines."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from kalamos.pages import Box, Character, Line, Page, Word
from kalamos.pages.looks import has_doubtful_lines, with_lines_of_others


def line(text: str, sure: float, y: int = 0, *, left: int = 0) -> Line:
    """A line of 240 px, as wide whatever is read in it."""
    width = 240 // len(text)
    boxes = [Box(left + width * place, y, width, 40) for place in range(len(text))]
    return Line((Word(tuple(map(Character, text, [sure] * len(text), boxes))),))


def test_a_line_in_doubt_is_what_most_looks_read() -> None:
    first = Page(lines=(line("1797", 0.8), line("305", 0.99, 90)))
    other = Page(lines=(line("17977", 0.7), line("385", 0.99, 90)))
    third = replace(other, lines=other.lines[:1])
    assert has_doubtful_lines(first)
    assert with_lines_of_others(first, [first, other]).text == "1797\n305"  # one against one: the surer
    assert with_lines_of_others(first, [first, other, third]).text == "17977\n305"  # what is sure stays
    assert not has_doubtful_lines(replace(first, lines=first.lines[1:]))


def test_other_lines_and_looks_the_other_way_up_say_nothing() -> None:
    first = Page(lines=(line("6819", 0.6),))
    below, beside = Page(lines=(line("7777", 0.9, 25),)), Page(lines=(line("7777", 0.9, left=200),))
    turned = Page(lines=(line("6189", 0.9),), turned=180.0)
    assert with_lines_of_others(first, [first, below, beside, turned]) == first
    assert with_lines_of_others(first, [first, Page()]) == first
    nearly = [replace(page, turned=turned) for page, turned in ((first, 179.0), (turned, -179.0))]
    assert with_lines_of_others(nearly[0], nearly).text == "6189"


@given(st.lists(st.tuples(st.text("0123456789", min_size=1, max_size=6), st.floats(0, 1)), min_size=1))
def test_a_page_keeps_its_lines_and_each_is_one_that_a_look_read(read: list[tuple[str, float]]) -> None:
    looks = [Page(lines=(line(text, sure), line("42", 0.5, 200))) for text, sure in read]
    together = with_lines_of_others(looks[0], looks)
    assert len(together.lines) == 2
    assert together.lines[0] in [look.lines[0] for look in looks]
    assert together.lines[1].text == "42"
