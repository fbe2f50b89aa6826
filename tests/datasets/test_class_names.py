from __future__ import annotations

import pytest

from kalamos.datasets.class_names import alike_names


@pytest.mark.parametrize("other", ["a\u200b", "\u0430", "\uff41", "a\u00ad", "a\ufeff"])
def test_names_that_print_alike(other: str) -> None:
    assert alike_names(["a", "b", other]) == (("a", other),)


def test_names_that_do_not() -> None:
    assert alike_names(["a", "A", "á", "а\u0301", "ab", "a b", "1", "l"]) == (("á", "а\u0301"),)
    assert alike_names(["0394", "character01", "character10"]) == ()
