from __future__ import annotations

import numpy as np
import pytest

from kalamos.alphabets import ARABIC_28, ARABIC_DIGITS, DIGITS, LATIN_47, Alphabet
from kalamos.errors import DatasetError
from kalamos.evaluation.ood import OODContext, open_set
from kalamos.evaluation.ood.generators import PHOTOGRAPHS, SHAPES
from kalamos.preprocessing import DEFAULT_STEPS, Preprocessor


def test_training_and_judging_share_no_photograph() -> None:
    exposed, judged = PHOTOGRAPHS["train"], PHOTOGRAPHS["eval"]
    assert set(exposed[1]).isdisjoint(judged[1])


def test_a_package_that_is_absent_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PHOTOGRAPHS, "eval", ("no_such_package", ("a.jpg",)))
    with pytest.raises(
        DatasetError, match=r"no_such_package is not installed; pip install 'kalamos\[train\]'"
    ):
        open_set("photos", OODContext(DIGITS, "eval"))


def test_a_package_without_its_pictures_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PHOTOGRAPHS, "eval", ("numpy", ("china.jpg", "__init__.py", "flower.jpg")))
    with pytest.raises(DatasetError, match=r"numpy was installed without china\.jpg, flower\.jpg"):
        open_set("photos", OODContext(DIGITS, "eval"))


CIRCLES_ONLY = Alphabet("circles", ("O", "Δ"))


@pytest.mark.parametrize("side", ["train", "eval"])
def test_shapes_that_an_alphabet_has_are_left_out(side: str, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    for name, shape in SHAPES.items():
        # A shape's lines, marked by their name: what is drawn tells which shapes are left.
        monkeypatch.setitem(SHAPES, name, type(shape)(_Marked(name, drawn), shape.split, shape.like))
    for alphabet, absent, present in (
        (DIGITS, {"circle", "box", "diamond", "triangle"}, {"heart", "plus"}),
        (LATIN_47, {"circle", "triangle", "cross", "check", "plus"}, {"house", "star", "face"}),
        (ARABIC_28, {"circle"}, {"triangle", "cross", "face"}),
        (ARABIC_DIGITS, {"circle", "diamond", "heart", "triangle", "check"}, {"house", "plus", "star"}),
        (CIRCLES_ONLY, {"circle", "triangle"}, {"plus", "cross"}),
    ):
        drawn.clear()
        outliers = open_set("shapes", OODContext(alphabet, side))
        for index in range(150):
            outliers.draw(index)
        family = {name for name, shape in SHAPES.items() if shape.split == side}
        assert set(drawn) <= family
        assert set(drawn).isdisjoint(absent)
        assert family & present <= set(drawn)


def test_a_lone_speck_is_no_outlier_where_a_dot_is_a_character() -> None:
    prepare = Preprocessor(DEFAULT_STEPS)

    def dots(alphabet: Alphabet) -> int:
        paper = open_set("paper", OODContext(alphabet, "train"))
        prepared = prepare.images([paper.draw(index) for index in range(200)])
        inked = [image for image in prepared if isinstance(image, np.ndarray)]
        # The middle of the square, which specks apart from each other leave empty.
        return sum(int(image[10:18, 10:18].min()) > 60 for image in inked)

    assert dots(DIGITS) > 5 * max(1, dots(ARABIC_DIGITS))


class _Marked(tuple):
    def __new__(cls, name: str, drawn: list[str]) -> _Marked:
        made = super().__new__(cls, (np.array([[-1.0, 0.0], [1.0, 0.0]]),))
        made.name, made.drawn = name, drawn
        return made

    def __iter__(self):
        self.drawn.append(self.name)
        return super().__iter__()


def test_each_shape_is_within_its_square() -> None:
    for shape in SHAPES.values():
        for points in shape.lines:
            assert np.abs(points).max() <= 1.01
            assert points.shape[1:] == (2,)
