from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalamos.errors import UsageError
from kalamos.evaluation.calibration import (
    ACCURACIES,
    fit_known,
    fit_temperature,
    negative_log_likelihood,
    risk_coverage,
    selective_accuracy,
)
from kalamos.postprocessing import softmax


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5, 8.0])
def test_a_known_temperature_is_found_again(temperature: float) -> None:
    generator = np.random.default_rng(0)
    honest = generator.normal(0, 2, (20_000, 10))
    uniform = generator.random((len(honest), 1))
    labels = (softmax(honest).cumsum(axis=1) < uniform).sum(axis=1)  # drawn from what the logits say
    assert fit_temperature(honest * temperature, labels) == pytest.approx(temperature, rel=0.03)


def test_the_minimum_is_one() -> None:
    generator = np.random.default_rng(1)
    logits = generator.normal(0, 3, (500, 4))
    labels = np.where(generator.random(500) < 0.6, logits.argmax(axis=1), generator.integers(0, 4, 500))
    found = fit_temperature(logits, labels)
    least = negative_log_likelihood(logits, labels, found)
    for factor in (0.9, 1.1):
        assert negative_log_likelihood(logits, labels, found * factor) > least


@pytest.mark.parametrize(("right", "bound"), [(True, 0.05), (False, 20.0)])
def test_the_temperature_is_bounded(right: bool, bound: float) -> None:
    logits = np.eye(3)
    labels = np.arange(3) if right else (np.arange(3) + 1) % 3
    assert fit_temperature(logits, labels) == pytest.approx(bound, rel=0.01)


@pytest.mark.parametrize("n", [20, 50, 150])
def test_few_characters_withhold_few_new_ones(n: int) -> None:
    withheld, lowest, passed = [], [], []
    for seed in range(100):
        generator = np.random.default_rng((n, seed))
        characters, others = generator.logistic(4, 1, n), generator.normal(-5, 2, 60)
        record = fit_known(characters, others)
        new = record.probabilities(generator.logistic(4, 1, 2000))
        withheld.append((new < record.threshold).mean())
        lowest.append((new < record.probabilities(characters).min()).mean())
        passed.append(record.answered)
        assert record.n == n
        assert record.withheld <= 0.005
    assert np.mean(withheld) <= 0.01
    assert np.mean(withheld) < 0.7 * np.mean(lowest)
    assert np.mean(passed) < 0.3


@pytest.mark.parametrize("n", [1, 2, 3, 5, 199, 200])
def test_any_number_of_characters_has_a_threshold(n: int) -> None:
    record = fit_known(np.linspace(2, 4, n), np.linspace(-4, 1, 50))
    assert 0 <= record.threshold <= 0.5
    assert record.withheld == 0


def test_the_lowest_of_few_is_no_threshold_and_of_many_it_is() -> None:
    generator = np.random.default_rng(3)
    characters, others = generator.normal(1, 2, 400), generator.normal(-1, 2, 400)
    few, many = fit_known(characters[:40], others), fit_known(characters, others)
    assert few.threshold < few.probabilities(characters[:40]).min()
    assert many.threshold == np.sort(many.probabilities(characters))[2]


def test_negative_log_likelihood_by_hand() -> None:
    logits = np.log([[0.25, 0.75], [0.5, 0.5]])
    expected = -(np.log(0.75) + np.log(0.5)) / 2
    assert negative_log_likelihood(logits, np.array([1, 0])) == pytest.approx(expected)


def test_what_was_thought_impossible_costs_much_but_not_infinity() -> None:
    cost = negative_log_likelihood(np.array([[1e6, 0.0]]), np.array([1]))
    assert 600 < cost < np.inf


def test_a_weight_counts_as_so_many_images() -> None:
    generator = np.random.default_rng(2)
    logits = generator.normal(0, 3, (300, 4))
    labels = np.where(generator.random(300) < 0.6, logits.argmax(axis=1), generator.integers(0, 4, 300))
    times = generator.integers(1, 4, 300)
    repeated = fit_temperature(np.repeat(logits, times, axis=0), np.repeat(labels, times))
    assert fit_temperature(logits, labels, times.astype(float)) == pytest.approx(repeated)
    assert fit_temperature(logits, labels) != pytest.approx(repeated, rel=1e-3)


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


@given(answers, st.floats(0.01, 1))
def test_a_target_is_reached_at_the_largest_coverage_that_thresholds_allow(
    pairs: list[tuple[float, bool]], target: float
) -> None:
    confidence, correct = (np.array(values) for values in zip(*pairs, strict=True))
    table = selective_accuracy(confidence, correct)
    assert table.n == len(pairs)
    assert (table.points[0].threshold, table.points[0].coverage) == (0.0, 1.0)
    for point in table.points:
        answered = confidence >= point.threshold
        assert answered.mean() == pytest.approx(point.coverage)
        assert correct[answered].mean() == pytest.approx(point.accuracy)
    highest = max(correct[confidence >= t].mean() for t in confidence)
    for goal in (*ACCURACIES, 0.5, 1.0, highest):
        reaching = [t for t in (0, *confidence) if correct[confidence >= t].mean() >= goal]
        if reaching:
            assert table.at(goal).coverage == pytest.approx((confidence >= min(reaching)).mean())
        else:
            with pytest.raises(UsageError, match="highest"):
                table.at(goal)


def test_thresholds_lie_between_confidences_however_near_they_are() -> None:
    near = np.nextafter(0.9, 0)
    table = selective_accuracy(np.array([0.9, near]), np.array([True, False]))
    assert [point.threshold for point in table.points] == [0.0, 0.9]
    table = selective_accuracy(np.array([1.0, 1.0, 0.5]), np.array([True, True, False]))
    assert table.at(1).threshold == 0.75
    table = selective_accuracy(np.array([1.0, 1.0]), np.array([True, False]))
    assert [(point.accuracy, point.threshold) for point in table.points] == [(0.5, 0.0)]


def test_one_wrong_label_among_the_surest_forbids_no_target() -> None:
    confidence = np.linspace(1, 0.5, 1000)
    correct = np.ones(1000, bool)
    correct[[0, 900]] = False
    assert selective_accuracy(confidence, correct).at(0.998).coverage == 1.0
    assert selective_accuracy(confidence, correct).at(0.9985).coverage == 0.9
    with pytest.raises(UsageError, match=r"highest that was reached is 0\.998888$"):
        selective_accuracy(confidence, correct).at(1.0)


def test_the_table_is_small_whatever_the_images() -> None:
    generator = np.random.default_rng(0)
    confidence = generator.uniform(size=50_000)
    table = selective_accuracy(confidence, generator.uniform(size=50_000) < confidence**0.1)
    assert 30 < len(table.points) < 60
    for target in (0.95, 0.975, 0.99, 0.995):
        assert target <= table.at(target).accuracy < target + 0.0005
    assert table.at(0.9751).accuracy < 0.981


@given(answers)
def test_coverage_at_an_accuracy(pairs: list[tuple[float, bool]]) -> None:
    curve = curve_of(pairs)
    for goal in ACCURACIES:
        coverage = curve.coverage_at(goal)
        assert coverage == 0 or curve.accuracy_at(coverage) >= goal - 1e-9
        assert all(
            curve.accuracy_at(k / len(pairs)) < goal
            for k in range(round(coverage * len(pairs)) + 1, len(pairs) + 1)
        )
