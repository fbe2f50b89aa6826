from __future__ import annotations

import itertools
import re
import time
import warnings

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kalamos.errors import UsageError
from kalamos.forms.patterns import MAX_PATTERN_CHARACTERS, compile_pattern

PIECES = [
    "a", "b", "1", "[ab]", "[^a]", r"\d", r"\w", ".", "(", "(?:", "(?P<n>", ")", "|", "*", "+", "?", "{2}",
    "{1,2}",    "{,2}", "{2,}", "{", "}", "^", "$", r"\.", "[1-2]", "??", "*?", "*+", "(?=",
    "(?i)", r"\1", "]", "[", " ", r"\b",
]  # fmt: skip

TEXTS = ["".join(each) for length in range(5) for each in itertools.product("ab1", repeat=length)]
TEXTS += [".", "a.", "{", "{}", "a{", "]", "^", "$", " ", "{2}"]


def patterns_of_re() -> st.SearchStrategy[str]:
    """Well-formed patterns, so that few are refused."""
    atoms = st.sampled_from(["a", "b", "1", "[ab]", "[^b]", r"\d", ".", ""])
    return st.recursive(
        atoms,
        lambda inner: st.one_of(
            st.tuples(inner, inner).map("".join),
            st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})"),
            st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{,2}", "{2,}", "+?"])).map(
                lambda pair: f"({pair[0]}){pair[1]}"
            ),
        ),
        max_leaves=6,
    )


def agrees_with_re(pattern: str) -> None:
    compiled, expected = compile_pattern(pattern), re.compile(pattern)
    for text in TEXTS:
        assert compiled.fullmatch(text) == bool(expected.fullmatch(text)), text


@given(patterns_of_re())
def test_it_matches_what_re_matches(pattern: str) -> None:
    agrees_with_re(pattern)


@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join))
@settings(max_examples=300)
def test_any_text_matches_as_in_re_or_is_refused(pattern: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        try:
            re.compile(pattern)
            valid = True
        except re.error:
            valid = False
        try:
            compile_pattern(pattern)
        except UsageError:
            return
        assert valid
        agrees_with_re(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        "^[0-9]+$", r"\A(a|b)\Z", "^a|b$", "(^a$)", "(?:^a)?b", "[]a]", "[^]a]", "[a\\]b]", r"[\d-]+",
        r"\x41\u0042",
        r"\N{LATIN SMALL LETTER A}", "a{}", "a{,}", "x{a}", "{", "[[a]", "()", "", "(a|)", r"\0",
    ],
)  # fmt: skip
def test_corners_of_the_syntax(pattern: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        expected = re.compile(pattern)
    compiled = compile_pattern(pattern)
    for text in [*TEXTS, "AB", "a}", "x{a}", "[", "[a", "-", "a-b", "\\"]:
        assert compiled.fullmatch(text) == bool(expected.fullmatch(text)), text


def test_letters_and_digits_of_any_writing_are_those_of_re() -> None:
    assert compile_pattern(r"\w+").fullmatch("قلم")
    assert compile_pattern(r"\d{3}").fullmatch("١٢٣")
    # Composed, as labels are.
    assert compile_pattern("e\u0301").fullmatch("é")


@pytest.mark.parametrize(
    ("pattern", "problem", "remedy"),
    [
        ("(?=a)b", "look-around", "use a check"),
        ("(?<!a)b", "look-around", "use a check"),
        (r"(a)\1", "back-reference", "list what may stand"),
        ("(?P<x>a)(?P=x)", "back-reference", "list what may stand"),
        (r"a\b", "word boundary", "leave it out"),
        ("(?>a)b", "atomic", ""),
        ("a++b", "possessive", "leave the last + out"),
        ("(?i)a", "flag", "give the field a case"),
        ("a$b", "not at its end", "leave it out"),
        ("a^b", "not at its start", "leave it out"),
        ("(^a)+", "not at its start", "leave it out"),
        ("[a", "not closed", "put a ]"),
        ("(a", "not closed", "put a )"),
        ("a)", "unbalanced )", "take it away"),
        ("a**", "multiple repeat", ""),
        ("*a", "nothing to repeat", ""),
        ("a\\", "stands before nothing", ""),
        ("[b-a]", "bad character range", ""),
        ("a" * (MAX_PATTERN_CHARACTERS + 1), "characters", "shorten it"),
    ],
)
def test_what_is_not_supported_says_so_and_what_to_do(pattern: str, problem: str, remedy: str) -> None:
    with pytest.raises(UsageError) as raised:
        compile_pattern(pattern)
    assert problem in raised.value.problem
    assert raised.value.remedy
    assert remedy in raised.value.remedy


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+$", "(a|a)*b", "(a|aa)+$", "((((a*)*)*)*)*b", "(a?){0,500}", "(.*a){40}", "(a|b)*a(a|b){15}",
     "(?:){4000000}"],
)  # fmt: skip
def test_no_pattern_takes_long(pattern: str) -> None:
    start = time.process_time()
    compiled = compile_pattern(pattern)
    for text in ("a" * 200 + "!", "ab" * 100, "a" * 30):
        compiled.fullmatch(text)
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    "pattern", ["a{4000000}", "((a{99}){99}){99}", "(" * 99 + ")" * 99, "a{99999999999}"]
)
def test_a_pattern_that_is_too_large_is_refused_at_once(pattern: str) -> None:
    start = time.process_time()
    with pytest.raises(UsageError):
        compile_pattern(pattern)
    assert time.process_time() - start < 1


LABELS = st.lists(
    st.frozensets(st.sampled_from(["a", "b", "1", "ab"]), min_size=1), min_size=1, max_size=4
)  # fmt: skip


@given(patterns_of_re(), LABELS)
@example("[^b]a", [frozenset("b"), frozenset("a")])
@example("a[^b]", [frozenset("a"), frozenset("b")])
@settings(max_examples=300)
def test_possible_is_what_some_matching_row_has(pattern: str, labels: list[frozenset[str]]) -> None:
    expected: list[set[str]] = [set() for _ in labels]
    for row in itertools.product(*([*sorted(each), " "] for each in labels)):
        text = "".join(row).strip(" ")
        if text and re.fullmatch(pattern, text):
            for place, label in enumerate(row):
                expected[place] |= {label} - {" "}
    assert list(compile_pattern(pattern).possible(labels)) == expected
