from __future__ import annotations

import pytest

from kalamos.alphabets import DIGITS
from kalamos.errors import DatasetError
from kalamos.outliers import OODContext, open_set
from kalamos.outliers.photos import PHOTOGRAPHS


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
