from __future__ import annotations

from importlib.resources import files

import pytest

from kalamos import load
from kalamos.alphabets import ARABIC_28, DIGITS, LATIN_47
from kalamos.app.page.examples import EXAMPLES, Example, examples_html

FOLDER = files("kalamos.app") / "assets" / "examples"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: each.file)
def test_each_is_read_right_by_every_fast_model_that_has_its_character(example: Example) -> None:
    content = (FOLDER / example.file).read_bytes()
    models = [name for name in ("digits", "latin", "arabic") if example.label in load(name).labels]
    assert models
    for name in models:
        assert load(name).predict(content).label == example.label


def test_they_are_small_and_none_lies_there_unused() -> None:
    found = {each.name: len(each.read_bytes()) for each in FOLDER.iterdir()}
    assert found.keys() == {each.file for each in EXAMPLES}
    assert sum(found.values()) < 40_000


def test_those_of_the_models_characters_are_shown() -> None:
    assert examples_html(DIGITS.labels).count("<button") == 3
    assert examples_html(LATIN_47.labels).count("<button") == 5
    assert examples_html(ARABIC_28.labels).count("<button") == 2
    assert examples_html(["x"]) == ""
