from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kalamos.errors import UsageError
from kalamos.model_file import ModelSpec, OperatingPoint, SelectiveAccuracy, read_spec
from kalamos.reading_options import reading_options, threshold_of
from kalamos.zoo import model_path

TABLE = SelectiveAccuracy(200, (OperatingPoint(0.97, 0.0, 1.0), OperatingPoint(0.99, 0.75, 0.9)))


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    return replace(read_spec(model_path("digits")), selective=TABLE)


def test_a_target_takes_the_threshold_that_reached_it(spec: ModelSpec) -> None:
    assert threshold_of(spec, target_accuracy=0.5) == 0.0
    assert threshold_of(spec, target_accuracy=0.97) == 0.0
    assert threshold_of(spec, target_accuracy=0.9701) == 0.75
    assert threshold_of(spec, target_accuracy=np.float32(0.98)) == 0.75
    assert reading_options(spec, top_k=3, target_accuracy=0.99)[:4] == (
        3,
        0.75,
        tuple("0123456789"),
        None,
    )


def test_no_more_candidates_than_labels_are_left(spec: ModelSpec) -> None:
    assert reading_options(spec, top_k=20).top_k == 10
    restricted = reading_options(spec, top_k=5, charset="17")
    assert (restricted.top_k, restricted.labels, restricted.restricted) == (2, ("1", "7"), True)


def test_a_target_beyond_validation_is_refused_with_the_highest(spec: ModelSpec) -> None:
    with pytest.raises(UsageError, match=r"0\.995 on the 200 validation images; the highest .* is 0\.99$"):
        threshold_of(spec, target_accuracy=0.995)
    odd = SelectiveAccuracy(3, (OperatingPoint(2 / 3, 0.0, 1.0),))
    with pytest.raises(UsageError, match=r"0\.666666$"):
        threshold_of(replace(spec, selective=odd), target_accuracy=1)
    assert threshold_of(replace(spec, selective=odd), target_accuracy=0.666666) == 0.0


def test_a_model_without_the_table_is_refused_with_what_to_do(spec: ModelSpec) -> None:
    with pytest.raises(UsageError, match=r"'digits' does not say .*; export it again"):
        threshold_of(replace(spec, selective=None), target_accuracy=0.9)


@pytest.mark.parametrize("value", [0, -0.1, 1.01, float("nan"), float("inf"), "0.99", [0.9], 1j])
def test_a_target_out_of_range_is_refused(spec: ModelSpec, value: object) -> None:
    with pytest.raises(UsageError, match="is not an accuracy"):
        threshold_of(spec, target_accuracy=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [-0.1, 1.01, float("nan"), "0.9", [0.9]])
def test_a_least_confidence_out_of_range_is_refused(spec: ModelSpec, value: object) -> None:
    with pytest.raises(UsageError, match="is not a probability"):
        threshold_of(spec, min_confidence=value)  # type: ignore[arg-type]


def test_the_two_exclude_each_other(spec: ModelSpec) -> None:
    with pytest.raises(UsageError, match="both given"):
        threshold_of(spec, min_confidence=0.0, target_accuracy=0.9)


def test_without_either_the_model_s_own_holds(spec: ModelSpec) -> None:
    assert threshold_of(replace(spec, min_confidence=0.3)) == 0.3
    assert threshold_of(replace(spec, min_confidence=0.3), min_confidence=0) == 0.0
