from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalamos.evaluation.selective import risk_coverage

answers = st.lists(
    st.tuples(st.sampled_from([0.1, 0.25, 0.5, 0.9, 1.0]), st.booleans()), min_size=1, max_size=40
)


def curve_of(pairs: list[tuple[float, bool]]):
    confidence, correct = zip(*pairs, strict=True)
    return risk_coverage(np.array(confidence, np.float32), np.array(correct))


def test_by_hand() -> None:
    curve = curve_of([(0.9, True), (0.7, True), (0.8, False), (0.6, False)])
    assert curve.risk == pytest.approx([0, 1 / 2, 1 / 3, 1 / 2])
    assert curve.area == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    assert curve.accuracy_at(0.25) == 1
    assert curve.accuracy_at(0.26) == 0.5, "rounded up to a whole image"
    assert curve.confidence_at(0.75) == pytest.approx(0.7)


def test_a_decimal_share_takes_no_image_too_many() -> None:
    curve = curve_of([(1 - i / 200, i < 7) for i in range(100)])
    assert curve.accuracy_at(0.07) == 1  # 0.07 * 100 is a little more than 7


@given(answers, st.randoms())
def test_the_order_of_the_images_does_not_matter(pairs: list[tuple[float, bool]], random) -> None:
    shuffled = random.sample(pairs, len(pairs))
    assert curve_of(pairs).risk == pytest.approx(curve_of(shuffled).risk)


@given(answers)
def test_the_curve_ends_at_the_error_rate(pairs: list[tuple[float, bool]]) -> None:
    curve = curve_of(pairs)
    assert curve.risk[-1] == pytest.approx(np.mean([not right for _, right in pairs]))
    assert (curve.risk >= 0).all()
    assert (curve.risk <= 1).all()
    assert (np.diff(curve.confidence) <= 0).all()


def test_equal_confidences_are_the_mean_over_all_orders() -> None:
    generator = np.random.default_rng(0)
    correct = np.array([True, True, False, True, False])
    orders = [np.cumsum(~generator.permutation(correct)) / np.arange(1, 6) for _ in range(20_000)]
    assert curve_of([(0.5, bool(right)) for right in correct]).risk == pytest.approx(
        np.mean(orders, 0), abs=0.02
    )


def test_no_images_no_area() -> None:
    assert math.isnan(risk_coverage(np.zeros(0, np.float32), np.zeros(0, bool)).area)
