from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalamos.alphabets import CONTROL_CHARACTERS, Alphabet
from kalamos.errors import KalamosError, ModelFileError, SpecVersionError, UsageError
from kalamos.model_file import (
    FORMAT_VERSION,
    Metric,
    ModelSpec,
    OperatingPoint,
    RobustnessRecord,
    SelectiveAccuracy,
    TrainingRecord,
)
from kalamos.model_file.spec import (
    MAX_SPEC_CHARACTERS,
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    MIN_TEMPERATURE_IMAGES,
    bound_temperature,
    check_licence,
    temperature_text,
)


@pytest.mark.parametrize("licence", ["", " ", "MIT\nor so", "x" * 201, "a\x1b[31m"])
def test_what_is_no_licence_s_name(licence: str) -> None:
    with pytest.raises(UsageError, match="is not the name of a licence; give an SPDX identifier"):
        check_licence(licence)


TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=12)
UNITS = st.floats(0, 1)
COUNTS = st.integers(1, 10**12)
HASHES = st.text("0123456789abcdef", min_size=64, max_size=64)
DAYS = st.dates().map(lambda day: day.isoformat())
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
OBJECTS: st.SearchStrategy[Mapping[str, object]] = st.dictionaries(TEXTS, PLAIN, max_size=4)
ALPHABETS = st.builds(
    Alphabet, TEXTS, st.lists(st.sampled_from("abcdé漢بß7"), min_size=2, unique=True).map(tuple)
)
RECORDS = st.builds(TrainingRecord, TEXTS, TEXTS, COUNTS, HASHES, OBJECTS, st.integers(), DAYS, TEXTS)
INTERVALS = st.tuples(UNITS, UNITS).map(lambda pair: (min(pair), max(pair)))
METRICS = st.builds(Metric, TEXTS, TEXTS, HASHES, COUNTS, UNITS, INTERVALS, UNITS, DAYS, TEXTS)
POINTS = st.lists(st.floats(0, 1, exclude_min=True), unique=True, min_size=1, max_size=4).map(
    lambda shares: tuple(
        OperatingPoint(accuracy, accuracy, coverage)
        for accuracy, coverage in zip(sorted(shares), sorted(shares, reverse=True), strict=True)
    )
)
SELECTIVE = st.builds(SelectiveAccuracy, COUNTS, POINTS)
ROBUSTNESS = st.builds(
    RobustnessRecord,
    st.sampled_from(["shift", "outliers"]),
    TEXTS.filter(str.strip),
    UNITS,
    COUNTS,
    DAYS,
)
SPECS = st.builds(
    ModelSpec,
    name=TEXTS.filter(str.strip),
    architecture=TEXTS,
    parameters=COUNTS,
    alphabet=ALPHABETS,
    preprocessing=st.lists(OBJECTS, max_size=3).map(tuple),
    input_size=st.integers(1, 1024),
    temperature=st.floats(1e-3, 1e3),
    min_confidence=UNITS,
    feature_maps=st.lists(TEXTS, unique=True, max_size=3).map(tuple),
    training=st.none() | RECORDS,
    metrics=st.lists(METRICS, max_size=2).map(tuple),
    licence=TEXTS,
    kalamos_version=TEXTS,
    created=DAYS,
    selective=st.none() | SELECTIVE,
    robustness=st.lists(ROBUSTNESS, max_size=2).map(tuple),
)


def changed(spec: ModelSpec, **changes: object) -> str:
    """The spec's JSON with other values; `metrics__0__n` reaches inwards."""
    document = json.loads(spec.to_json())
    for path, value in changes.items():
        inner = document
        *parents, last = path.split("__")
        for key in parents:
            inner = inner[int(key) if key.isdigit() else key]
        inner[last] = value
    return json.dumps(document)


@given(SPECS)
def test_round_trip_is_exact(spec: ModelSpec) -> None:
    again = ModelSpec.from_json(spec.to_json())
    assert again == spec
    assert again.to_json() == spec.to_json()


def test_json_is_one_sorted_compact_line_that_people_can_read(spec: ModelSpec) -> None:
    text = spec.to_json()
    document = json.loads(text)
    assert document["format_version"] == FORMAT_VERSION
    assert text == json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert '"labels":["a","ب","ch"]' in text


@pytest.mark.parametrize("version", [0, 2, 99, "1", 1.0, True, None, [1]])
def test_another_version_is_refused_with_what_to_do(spec: ModelSpec, version: object) -> None:
    with pytest.raises(SpecVersionError, match=r"reads version 1; upgrade kalamos, or export"):
        ModelSpec.from_json(changed(spec, format_version=version))


def test_the_version_comes_before_all_else() -> None:
    with pytest.raises(SpecVersionError, match="format version 2"):
        ModelSpec.from_json('{"format_version": 2, "colours": 3}')


@pytest.mark.parametrize("text", ["{}", '{"name": "x"}'])
def test_no_version_is_refused(text: str) -> None:
    with pytest.raises(SpecVersionError, match="no format version"):
        ModelSpec.from_json(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("nonsense", "not valid JSON"),
        ("[1]", "not a JSON object, but a list"),
        ("3", "not a JSON object, but 3"),
        ('{"a": NaN}', "NaN is not a finite number"),
        ('{"a": -Infinity}', "not a finite number"),
        ('{"a": 1e999}', "not a finite number"),
        ('{"a": "\\ud800"}', "surrogates not allowed"),
        ('{"a": ' + "9" * 5000 + "}", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        (" " * (MAX_SPEC_CHARACTERS + 1), "longer than"),
    ],
)
def test_what_is_no_json_object_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ModelFileError, match=problem):
        ModelSpec.from_json(text)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"name": 3}, "'name'"),
        ({"name": " "}, "'name'"),
        ({"name": "a\x1b[2J"}, "'name' holds a control character"),
        ({"parameters": 1.5}, "'parameters'"),
        ({"parameters": True}, "'parameters'"),
        ({"parameters": -1}, "'parameters'"),
        ({"alphabet": ["a", "b"]}, "'alphabet'"),
        ({"alphabet__labels": ["a", "a"]}, "'alphabet' is not an alphabet: .*twice"),
        ({"alphabet__labels": "ab"}, r"'alphabet.labels'"),
        ({"alphabet__labels": ["a", 1]}, r"'alphabet.labels\[1\]'"),
        ({"alphabet__size": 2}, "'alphabet' has an unknown key 'size'"),
        ({"preprocessing": {"step": "x"}}, "'preprocessing'"),
        ({"preprocessing": ["x"]}, r"'preprocessing\[0\]'"),
        ({"input_size": 0}, "'input_size'"),
        ({"input_size": 10**6}, "'input_size'"),
        ({"temperature": 0}, "'temperature'"),
        ({"temperature": -1.0}, "'temperature'"),
        ({"temperature": 1e-308}, "'temperature'"),
        ({"temperature": 1e308}, "'temperature'"),
        ({"temperature": "1"}, "'temperature'"),
        ({"temperature": 10**400}, "'temperature'"),
        ({"min_confidence": 1.01}, "'min_confidence'"),
        ({"feature_maps": ["stem", "stem"]}, "'feature_maps'"),
        ({"training": []}, "'training'"),
        ({"training__n": 0}, "'training.n'"),
        ({"training__sha256": "0"}, "'training.sha256'"),
        ({"training__recipe": []}, "'training.recipe'"),
        ({"training__date": "yesterday"}, "'training.date'"),
        ({"metrics__0__accuracy": 93.0}, "'metrics.accuracy'"),
        ({"metrics__0__interval": [0.9, 0.8]}, "'metrics.interval'"),
        ({"metrics__0__interval": [0.9]}, r"'metrics\[0\].interval'"),
        ({"metrics__0__ece": None}, r"'metrics\[0\].ece'"),
        ({"licence": None}, "'licence'"),
        ({"created": "31.3.2026"}, "'created'"),
        ({"colour": "red"}, "unknown key 'colour'"),
    ],
)
def test_a_wrong_value_is_refused_by_its_key(spec: ModelSpec, changes: dict[str, object], key: str) -> None:
    with pytest.raises(ModelFileError, match=key):
        ModelSpec.from_json(changed(spec, **changes))


def test_every_key_is_needed(spec: ModelSpec) -> None:
    document = json.loads(spec.to_json())
    for key in document.keys() - {"format_version"}:
        rest = {name: value for name, value in document.items() if name != key}
        with pytest.raises(ModelFileError, match=f"no key '{key}'"):
            ModelSpec.from_json(json.dumps(rest))


def test_a_whole_number_stands_for_a_float(spec: ModelSpec) -> None:
    temperature = ModelSpec.from_json(changed(spec, temperature=2)).temperature
    assert (temperature, type(temperature)) == (2.0, float)


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, float("inf")])
def test_what_is_not_plain_json_is_not_written(spec: ModelSpec, value: object) -> None:
    with pytest.raises(ModelFileError, match="not plain JSON"):
        replace(spec, preprocessing=({"step": value},)).to_json()


def test_what_could_not_be_read_is_not_written(spec: ModelSpec) -> None:
    with pytest.raises(ModelFileError, match="'parameters'"):
        replace(spec, parameters=1.5).to_json()  # type: ignore[arg-type]


def test_values_out_of_range_are_refused_when_made(spec: ModelSpec) -> None:
    with pytest.raises(ModelFileError, match=r"'temperature' must be in 0.001..1000, not nan"):
        replace(spec, temperature=float("nan"))


@given(data=st.data())
def test_mutated_json_only_raises_kalamos_errors(spec: ModelSpec, data: st.DataObject) -> None:
    text = spec.to_json()
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, min(len(text), start + 6)))
    middle: str = data.draw(
        st.sampled_from(["", "null", "[]", "{}", "-1", '"', "1e999", "\\ud800", "\x00", ","])
    )
    with contextlib.suppress(KalamosError):
        read = ModelSpec.from_json(text[:start] + middle + text[stop:])
        assert not any(CONTROL_CHARACTERS.search(label) for label in read.alphabet.labels)


@given(key=st.sampled_from(["name", "alphabet", "preprocessing", "training", "metrics"]), value=PLAIN)
def test_any_value_under_any_key_is_read_or_refused(spec: ModelSpec, key: str, value: Any) -> None:
    with contextlib.suppress(ModelFileError):
        read = ModelSpec.from_json(changed(spec, **{key: value}))
        assert ModelSpec.from_json(read.to_json()) == read


@pytest.fixture
def measured(spec: ModelSpec) -> ModelSpec:
    """With all that a spec may leave out but the quantisation."""
    points = (OperatingPoint(0.9, 0.0, 1.0), OperatingPoint(0.99, 0.8, 0.75))
    record = RobustnessRecord("outliers", "scribbles", 0.98, 500, "2026-03-31")
    return replace(spec, selective=SelectiveAccuracy(300, points), robustness=(record,))


def test_what_was_not_measured_has_no_key(spec: ModelSpec, measured: ModelSpec) -> None:
    later = {"quantisation", "selective", "robustness"}
    assert not later & json.loads(spec.to_json()).keys()
    assert later & json.loads(measured.to_json()).keys() == {"selective", "robustness"}
    assert ModelSpec.from_json(measured.to_json()) == measured


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"selective": []}, "'selective'"),
        ({"selective__n": 0}, "'selective.n'"),
        ({"selective__points": []}, "'selective.points' must be at least one"),
        ({"selective__points__0__accuracy": 0.995}, "'selective.points' must be in the order"),
        ({"selective__points__0__threshold": 0.8}, "'selective.points' must be in the order"),
        ({"selective__points__1__coverage": 1.0}, "'selective.points' must be in the order"),
        ({"selective__points__1__coverage": 0.0}, "'selective.points.coverage' must be above 0"),
        ({"selective__points__1__threshold": 1.5}, "'selective.points.threshold'"),
        ({"selective__points": [3]}, r"'selective.points\[0\]'"),
        ({"robustness": None}, "'robustness'"),
        ({"robustness__0__kind": "weather"}, "'robustness.kind' must be 'shift' or 'outliers'"),
        ({"robustness__0__name": " "}, "'robustness.name'"),
        ({"robustness__0__value": 98}, "'robustness.value'"),
        ({"robustness__0__n": 0}, "'robustness.n'"),
        ({"robustness__0__date": "today"}, "'robustness.date'"),
    ],
)
def test_a_wrong_figure_is_refused_by_its_key(
    measured: ModelSpec, changes: dict[str, object], key: str
) -> None:
    with pytest.raises(ModelFileError, match=key):
        ModelSpec.from_json(changed(measured, **changes))


@pytest.mark.parametrize("fitted", [0.05, 0.084, 0.9, 20.0])
def test_few_images_fit_no_temperature(fitted: float) -> None:
    assert bound_temperature(fitted, MIN_TEMPERATURE_IMAGES - 1) == 1
    assert bound_temperature(fitted, MIN_TEMPERATURE_IMAGES) == min(
        max(fitted, MIN_TEMPERATURE), MAX_TEMPERATURE
    )


def test_it_is_told_what_it_comes_from() -> None:
    assert temperature_text(1.0, 1) == "1.000, not fitted: 1 validation image is fewer than 100"
    assert temperature_text(0.084, 30).startswith("0.084, not to be believed: 30 validation images are fewer")
    assert (
        temperature_text(MIN_TEMPERATURE, 300)
        == "0.250 (the lowest that is taken), fitted on the 300 validation images"
    )
    assert temperature_text(MAX_TEMPERATURE, 300).startswith("4.000 (the highest that is taken), ")
    assert temperature_text(1.3, None) == "1.300, fitted on the validation images"
