from __future__ import annotations

import math

import pytest

from kalamos.alphabets import ARABIC_28, DIGITS, LATIN_47, LATIN_62
from kalamos.errors import UsageError
from kalamos.forms.boxes import LEAST_IN_CHARSET, BoxReading, Choices, choices_of
from kalamos.forms.patterns import compile_pattern


def choices(
    probabilities: dict[str, float],
    pattern: str = ".*",
    *,
    known: float = 1.0,
    blank: float = 0.0,
    case: str | None = None,
    allowed: str | None = None,
    merged: frozenset[str] = frozenset(),
) -> Choices:
    [found] = choices_of(
        [BoxReading(probabilities, known, blank)],
        compile_pattern(pattern),
        case=case,  # type: ignore[arg-type]
        allowed=None if allowed is None else [allowed],
        merged=merged,
    )
    return found


def test_the_weights_are_the_probabilities_of_blank_and_of_each_known_label() -> None:
    found = choices({"a": 0.75, "b": 0.25}, known=0.5, blank=0.2)
    assert found.weights == pytest.approx({None: 0.2, "a": 0.3, "b": 0.1})
    assert found.best == pytest.approx(0.3)
    assert found.as_read == "a"


@pytest.mark.parametrize(("blank", "read"), [(0.49, "a"), (0.5, None), (1.0, None)])
def test_a_box_is_read_as_blank_from_one_half_on(blank: float, read: str | None) -> None:
    assert choices({"a": 1.0}, known=0.01, blank=blank).as_read == read


def test_a_case_folds_labels_and_adds_what_they_have() -> None:
    both = {"a": 0.5, "A": 0.25, "b": 0.25}
    assert choices(both, case="upper").weights == {None: 0, "A": 0.75, "B": 0.25}
    assert choices(both, case="lower").weights == {None: 0, "a": 0.75, "b": 0.25}
    assert choices(both).weights == {None: 0, **both}
    # Two letters would be its capital.
    assert choices({"ß": 1.0}, case="upper").as_read == "ß"


def test_a_merged_capital_is_its_small_letter_where_only_that_can_be() -> None:
    merged = LATIN_47.merged
    assert choices({"C": 1.0}, "[a-z]", merged=merged).weights["c"] == 1
    assert choices({"C": 1.0}, "[A-Za-z]", merged=merged).weights["C"] == 1
    assert choices({"C": 1.0}, case="lower", merged=merged).weights["c"] == 1
    assert choices({"C": 1.0}, allowed="abc", merged=merged).weights["c"] == 1
    # "A" and "a" are two labels there: an "A" is no "a".
    assert choices({"A": 0.9, "a": 0.1}, "[a-z]", merged=merged).weights["a"] == 0.1


def test_a_look_alike_counts_for_what_can_be_there() -> None:
    likely = {"O": 0.6, "0": 0.3, "T": 0.1}
    assert choices(likely, "[0-9]").weights == pytest.approx({None: 0, "0": 0.9})
    assert choices(likely, "[0-9]").as_read == "0"
    assert choices(likely, "[A-Z]").weights == pytest.approx({None: 0, "O": 0.9, "T": 0.1})
    assert choices(likely, "[0-9A-Z]").weights == pytest.approx({None: 0, **likely})


def test_where_several_look_alikes_can_be_there_the_likelier_is_meant() -> None:
    assert choices({"1": 0.7, "I": 0.1, "l": 0.2}, "[A-Za-z]").weights["l"] == pytest.approx(0.9)
    assert choices({"1": 0.7, "I": 0.2, "l": 0.1}, "[A-Za-z]").as_read == "I"


def test_a_look_alike_that_the_model_has_no_label_for_is_not_invented() -> None:
    assert choices({"0": 1.0}, "[A-Z]").weights == {None: 0}
    assert choices({"0": 1.0}, "[A-Z]").as_read == "0"


def test_a_dot_makes_another_arabic_letter() -> None:
    assert set(choices({"ب": 0.1, "ت": 0.9}, "ب").weights) == {None, "ب"}
    assert choices({"ب": 0.1, "ت": 0.9}, "ب").weights["ب"] == 0.1


def test_what_a_pattern_leaves_out_is_lost_and_what_a_charset_leaves_out_is_not() -> None:
    likely = {"7": 0.4, "T": 0.6}
    assert choices(likely, "[0-9]").weights["7"] == 0.4
    assert choices(likely, "[0-9]").as_read == "T"
    assert choices(likely, allowed="0123456789").weights["7"] == pytest.approx(1)
    assert choices(likely, allowed="0123456789").as_read == "7"


def test_under_a_charset_what_is_nothing_of_it_stays_unlikely() -> None:
    found = choices({"7": 1e-5, "T": 1 - 1e-5}, allowed="0123456789")
    assert found.weights["7"] == pytest.approx(1e-5 / LEAST_IN_CHARSET)


def test_the_place_in_the_pattern_says_what_can_be_in_each_box() -> None:
    reading = BoxReading({"O": 0.6, "0": 0.4})
    first, second, third = choices_of([reading] * 3, compile_pattern("[A-Z]{2}[0-9]"))
    assert (first.as_read, second.as_read, third.as_read) == ("O", "O", "0")
    # Where the text may be shorter, the pattern's places are not the boxes'.
    [_, second, _] = choices_of([reading] * 3, compile_pattern("[A-Z][0-9]"))
    assert second.labels == {"O", "0"}


@pytest.mark.parametrize("alphabet", [DIGITS, LATIN_47, LATIN_62, ARABIC_28], ids=lambda each: each.name)
def test_without_constraints_all_labels_keep_what_they_have(alphabet: object) -> None:
    labels = alphabet.labels  # type: ignore[attr-defined]
    found = choices({label: 1 / len(labels) for label in labels})
    assert set(found.weights) == {None, *labels}
    assert math.isclose(sum(found.weights.values()), 1)


@pytest.mark.parametrize(
    "reading",
    [
        {"probabilities": {"a": 1.1}},
        {"probabilities": {"a": 0.6, "b": 0.6}},
        {"probabilities": {"a": -0.1}},
        {"probabilities": {"a": math.nan}},
        {"probabilities": {"a": 1.0}, "known": 1.5},
        {"probabilities": {"a": 1.0}, "known": math.nan},
        {"probabilities": {"a": 1.0}, "blank": -0.1},
    ],
)
def test_what_is_no_probability_is_refused(reading: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="a box has probabilities"):
        BoxReading(**reading)  # type: ignore[arg-type]
