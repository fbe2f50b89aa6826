from __future__ import annotations

import inspect
from dataclasses import replace

import numpy as np
import pytest

from kalamos.errors import UsageError
from kalamos.isolation import TIMEOUT_SECONDS
from kalamos.model_file import ModelSpec, OperatingPoint, SelectiveAccuracy, read_spec
from kalamos.postprocessing import AnswerRule
from kalamos.predict_options import PredictKeywords, PredictOptions, option_infos
from kalamos.recognizer import Recognizer
from kalamos.zoo import model_path

TABLE = SelectiveAccuracy(200, (OperatingPoint(0.97, 0.0, 1.0), OperatingPoint(0.99, 0.75, 0.9)))


def rule_for(spec: ModelSpec, **options: object) -> AnswerRule:
    return AnswerRule.for_model(spec, PredictOptions(**options))


def threshold_of(spec: ModelSpec, **options: object) -> float:
    return rule_for(spec, **options).threshold


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    return replace(read_spec(model_path("digits")), selective=TABLE)


def test_a_target_takes_the_threshold_that_reached_it(spec: ModelSpec) -> None:
    assert threshold_of(spec, target_accuracy=0.5) == 0.0
    assert threshold_of(spec, target_accuracy=0.97) == 0.0
    assert threshold_of(spec, target_accuracy=0.9701) == 0.75
    assert threshold_of(spec, target_accuracy=np.float32(0.98)) == 0.75
    assert rule_for(spec, top_k=3, target_accuracy=0.99)[:4] == (3, 0.75, tuple("0123456789"), None)


def test_no_more_candidates_than_labels_are_left(spec: ModelSpec) -> None:
    assert rule_for(spec, top_k=20).top_k == 10
    restricted = rule_for(spec, top_k=5, charset="17")
    assert (restricted.top_k, restricted.labels) == (2, ("1", "7"))
    assert restricted.columns == ("known", "removed", "reason")


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
        threshold_of(spec, target_accuracy=value)


@pytest.mark.parametrize("value", [-0.1, 1.01, float("nan"), "0.9", [0.9]])
def test_a_least_confidence_out_of_range_is_refused(spec: ModelSpec, value: object) -> None:
    with pytest.raises(UsageError, match="is not a probability"):
        threshold_of(spec, min_confidence=value)


def test_the_two_exclude_each_other(spec: ModelSpec) -> None:
    with pytest.raises(UsageError, match="both given"):
        threshold_of(spec, min_confidence=0.0, target_accuracy=0.9)


def test_without_either_the_model_s_own_holds(spec: ModelSpec) -> None:
    assert threshold_of(replace(spec, min_confidence=0.3)) == 0.3
    assert threshold_of(replace(spec, min_confidence=0.3), min_confidence=0) == 0.0


@pytest.mark.parametrize("top_k", [0, -1, 2.5, None, "3"])
def test_a_number_of_candidates_is_one_or_more(top_k: object) -> None:
    with pytest.raises(UsageError, match=r"top_k = .* is not a number of candidates; use 1 or more"):
        PredictOptions(top_k=top_k)


@pytest.mark.parametrize("name", ["timeout", "max_pixels"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "9", [9]])
def test_a_limit_on_decoding_is_a_positive_number(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"{name} = .* is not a number of"):
        PredictOptions(**{name: value})


def test_each_option_is_declared_once_and_reaches_every_front() -> None:
    from kalamos.app.schema import FormRequest, JsonRequest
    from kalamos.cli.predict import predict

    names = list(option_infos())
    assert list(PredictKeywords.__annotations__) == names
    for method in (Recognizer.predict, Recognizer.predict_batch, Recognizer.predict_folder):
        parameters = inspect.signature(method).parameters
        assert set(names) <= set(parameters)
        assert parameters["top_k"].default == 5
    in_api = [name for name, info in option_infos().items() if info.in_api]
    for request in (FormRequest, JsonRequest):
        assert [name for name in request.model_fields if name in names] == in_api
    on_the_command_line = [name for name, info in option_infos().items() if info.flags]
    assert [each.name for each in predict.params if each.name in names] == on_the_command_line
    assert option_infos()["timeout"].cli_default == TIMEOUT_SECONDS
