"""The browser's reader answers as Python's does, on the same grey arrays."""

from __future__ import annotations

import numpy as np
import pytest
from tests.web.parity import compare, decode, hard_cases, read_in_node

from kalamos import load

CASES = 36

pytestmark = pytest.mark.usefixtures("node")


def test_ink_maps_and_labels_are_those_of_python() -> None:
    found, seen = compare(hard_cases(CASES, seed=3))
    assert found == []
    assert seen["maps"] >= CASES / 4  # else nothing was compared but plain grounds
    assert seen["read"] >= 2 * CASES
    assert seen["ink levels"] <= 1
    assert seen["prepared levels"] <= 2
    assert max(seen["confidence"], seen["known"]) < 1e-3


def test_a_prepared_image_passes_untouched_and_a_blank_one_has_no_answer() -> None:
    page = np.full((80, 60), 255, np.uint8)
    page[10:70, 27:33] = 0
    prepared = load("digits").prepare(page)
    untouched, blank = read_in_node([prepared, np.full((40, 40), 200, np.uint8)], models=["digits"])
    assert (decode(untouched["predictions"][0]["prepared"]) == prepared).all()
    assert untouched["predictions"][0]["label"] == "1"
    assert blank["predictions"] == [None]
