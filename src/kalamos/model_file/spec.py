"""The model specification stored in a model file.

The records that a `ModelSpec` holds: what was learnt from, what was measured, with which figures.

Their field names are keys of the spec's JSON, their type hints what its values are checked against.
Each raises `ModelFileError`, naming the key, for a value out of range.

What a kalamos model says about itself: the JSON under `kalamos.spec` in the ONNX metadata.

The dataclasses here and in `records` are the schema: their field names are the keys, their type hints
are what `ModelSpec.from_json` checks the values against.

Under which licence a model may be used: what whoever made it has said, and nothing where nobody has.

How far a temperature can be believed: how many images it needs, how low and high it may be.
"""

from __future__ import annotations

import json
import math
import re
import types
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from datetime import date
from functools import cache
from itertools import pairwise
from typing import Any, Final, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from kalamos.alphabets import CONTROL_CHARACTERS, Alphabet
from kalamos.errors import AlphabetError, ModelFileError, SpecVersionError, UsageError

__all__ = [
    "FORMAT_VERSION",
    "MAX_TEMPERATURE",
    "MAX_WITHHELD",
    "METADATA_KEY",
    "MIN_KNOWN_IMAGES",
    "MIN_TEMPERATURE",
    "MIN_TEMPERATURE_IMAGES",
    "NOT_STATED",
    "KnownRecord",
    "Metric",
    "ModelSpec",
    "OperatingPoint",
    "Quantisation",
    "RobustnessRecord",
    "SelectiveAccuracy",
    "TrainingRecord",
    "bound_temperature",
    "check_licence",
    "few_known_text",
    "licence_text",
    "temperature_text",
]

ROBUSTNESS_KINDS: Final = ("shift", "outliers")

_SHA256: Final = re.compile("[0-9a-f]{64}")


LEARNT_BEFORE: Final = "learnt_before"
"""A key of `TrainingRecord.recipe` that is no setting."""


@dataclass(frozen=True)
class TrainingRecord:
    """What the weights came from."""

    dataset: str
    split: str
    n: int
    """Images that were learnt from, those of the recipe's `also` among them."""
    sha256: str
    """Fingerprint of the split, `kalamos.datasets.Split.sha256`."""
    recipe: Mapping[str, object]
    """Every setting of the training, plain JSON; under `LEARNT_BEFORE` the datasets that the model it began
    from had learnt from."""
    seed: int
    date: str
    """ISO 8601, as "2026-03-31"."""
    torch: str
    """PyTorch's version."""

    def __post_init__(self) -> None:
        require(self.n >= 1, "training.n", "at least 1", self.n)
        _check_origin("training", self.sha256, self.date)


@dataclass(frozen=True)
class Metric:
    """A figure that was measured with this model, and all that is needed to measure it again."""

    dataset: str
    split: str
    sha256: str
    """Fingerprint of the split, `kalamos.datasets.Split.sha256`."""
    n: int
    """Images in the split."""
    accuracy: float
    """In [0, 1]."""
    interval: tuple[float, float]
    """95 % confidence interval of the accuracy: low, high."""
    ece: float
    """Expected calibration error, in [0, 1]; see `kalamos.evaluation.Evaluation.reliability`."""
    date: str
    """ISO 8601, as "2026-03-31"."""
    kalamos_version: str

    def __post_init__(self) -> None:
        low, high = self.interval
        require(self.n >= 1, "metrics.n", "at least 1", self.n)
        require(0 <= self.accuracy <= 1, "metrics.accuracy", "in [0, 1]", self.accuracy)
        require(0 <= low <= high <= 1, "metrics.interval", "low and high, in [0, 1]", self.interval)
        require(0 <= self.ece <= 1, "metrics.ece", "in [0, 1]", self.ece)
        _check_origin("metrics", self.sha256, self.date)


@dataclass(frozen=True)
class Quantisation:
    """How a float model became an int8 one, and what that cost on images held out from both."""

    method: str
    """How the activations' ranges were found: "minmax", "entropy" or "percentile"."""
    float_nodes: tuple[str, ...]
    """The graph's nodes that stayed in float, for the sake of the accuracy."""
    calibration_n: int
    """Training images that the ranges were found on."""
    n: int
    """Validation images that the following was measured on."""
    accuracy: float
    """In [0, 1], of this model."""
    float_accuracy: float
    """In [0, 1], of the float model it was made from."""
    agreement: float
    """Share of those images to which both give the same answer."""

    def __post_init__(self) -> None:
        require(self.calibration_n >= 1, "quantisation.calibration_n", "at least 1", self.calibration_n)
        require(self.n >= 1, "quantisation.n", "at least 1", self.n)
        for key in ("accuracy", "float_accuracy", "agreement"):
            share = getattr(self, key)
            require(0 <= share <= 1, f"quantisation.{key}", "in [0, 1]", share)


@dataclass(frozen=True)
class OperatingPoint:
    """What a confidence threshold came to on validation images."""

    accuracy: float
    """Among the images answered, in [0, 1]."""
    threshold: float
    """Confidence, in [0, 1]: what is below is not answered."""
    coverage: float
    """Share of the images answered, in (0, 1]."""

    def __post_init__(self) -> None:
        for key in ("accuracy", "threshold", "coverage"):
            share = getattr(self, key)
            require(0 <= share <= 1, f"selective.points.{key}", "in [0, 1]", share)
        require(self.coverage > 0, "selective.points.coverage", "above 0", self.coverage)


@dataclass(frozen=True)
class SelectiveAccuracy:
    """Which threshold reached which accuracy: the risk-coverage relation (El-Yaniv and Wiener 2010).

    Point estimates, on images that the network was not trained on: the fewer they are, and the more
    they differ from those to come, the less a target is a promise. `kalamos.evaluation.calibration`
    chooses the points.
    """

    n: int
    """Validation images."""
    points: tuple[OperatingPoint, ...]
    """At rising accuracies and thresholds and falling coverages; the first answers every image."""

    def __post_init__(self) -> None:
        require(self.n >= 1, "selective.n", "at least 1", self.n)
        require(bool(self.points), "selective.points", "at least one point", self.points)
        ordered = all(
            a.accuracy < b.accuracy and a.threshold < b.threshold and a.coverage > b.coverage
            for a, b in pairwise(self.points)
        )
        require(ordered, "selective.points", "in the order of their accuracies", self.points)

    def at(self, target: float) -> OperatingPoint:
        """The point that answers most images of those that reach the accuracy `target`.

        Raises:
            UsageError: no threshold reached it; the message says what the highest is.

        >>> measured = SelectiveAccuracy(
        ...     1000, (OperatingPoint(0.97, 0.0, 1.0), OperatingPoint(0.995, 0.8, 0.9))
        ... )
        >>> measured.at(0.99).threshold, measured.at(0.9).threshold
        (0.8, 0.0)
        >>> measured.at(0.999)
        Traceback (most recent call last):
        kalamos.errors.UsageError: no threshold reached an accuracy of 0.999 on the 1,000 validation images; \
the highest that was reached is 0.995
        """
        for point in self.points:
            if point.accuracy >= target:
                return point
        # Rounded down, so that what is told is reached when it is asked for.
        highest = math.floor(round(self.points[-1].accuracy * 1e6, 3)) / 1e6
        raise UsageError(
            f"no threshold reached an accuracy of {target:g} on the {self.n:,} validation images",
            remedy=f"the highest that was reached is {highest:g}",
        )


MAX_WITHHELD: Final = 0.005
"""Of validation characters, the share that is not answered because it seems to be no character."""

MIN_KNOWN_IMAGES: Final = round(1 / MAX_WITHHELD)
"""Validation characters that show which threshold withholds so few of them."""


@dataclass(frozen=True)
class KnownRecord:
    """What the graph's output "known" means: whether an image is a character of the alphabet at all.

    >>> record = KnownRecord(1.5, -0.2, 0.3, n=1000, withheld=0.004, outliers_n=500, answered=0.02)
    >>> record.probabilities(np.array([0.0, 4.0], np.float32)).round(2).tolist()
    [0.45, 1.0]
    """

    scale: float
    shift: float
    """The probability is sigmoid(scale * output + shift) (Platt 1999), where as many images are characters
    as are not."""
    threshold: float
    """Probability, in [0, 1]: what is below is not answered, unless that is asked for."""
    n: int
    """Validation images of characters, photographs of them included."""
    withheld: float
    """Share of those below the threshold, in [0, 1]."""
    outliers_n: int
    """Outliers that the training held out."""
    answered: float
    """Share of those that are not below it, in [0, 1]."""

    def __post_init__(self) -> None:
        require(self.scale > 0, "known.scale", "above 0", self.scale)
        for key in ("threshold", "withheld", "answered"):
            share = getattr(self, key)
            require(0 <= share <= 1, f"known.{key}", "in [0, 1]", share)
        require(self.n >= 1, "known.n", "at least 1", self.n)
        require(self.outliers_n >= 1, "known.outliers_n", "at least 1", self.outliers_n)

    def probabilities(self, outputs: NDArray[np.floating]) -> NDArray[np.float64]:
        """Outputs [N] of the graph -> probabilities float64 [N]."""
        # Without overflow at either end.
        shares: NDArray[np.float64] = 0.5 * (
            1 + np.tanh(0.5 * (self.scale * outputs.astype(np.float64) + self.shift))
        )
        return shares


@dataclass(frozen=True)
class RobustnessRecord:
    """A figure on images that are not like those trained on."""

    kind: str
    """"shift": accuracy on spoilt images. "outliers": AUROC of clean images against what is none of the
    classes."""
    name: str
    """Of the corruption, of a mean over several, or of the set of outliers."""
    value: float
    """In [0, 1]."""
    n: int
    """Images it was measured on."""
    date: str
    """ISO 8601, as "2026-03-31"."""

    def __post_init__(self) -> None:
        kinds = " or ".join(map(repr, ROBUSTNESS_KINDS))
        require(self.kind in ROBUSTNESS_KINDS, "robustness.kind", kinds, self.kind)
        require(bool(self.name.strip()), "robustness.name", "not blank", self.name)
        require(0 <= self.value <= 1, "robustness.value", "in [0, 1]", self.value)
        require(self.n >= 1, "robustness.n", "at least 1", self.n)
        require(is_date(self.date), "robustness.date", "an ISO date", self.date)


def require(holds: bool, key: str, what: str, value: object) -> None:
    if not holds:
        raise ModelFileError(f"the spec's {key!r} must be {what}, not {shown(value)}")


def _check_origin(key: str, sha256: str, day: str) -> None:
    require(bool(_SHA256.fullmatch(sha256)), f"{key}.sha256", "64 hexadecimal digits", sha256)
    require(is_date(day), f"{key}.date", "an ISO date", day)


def is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def shown(value: object) -> str:
    if isinstance(value, (dict, list)):  # its repr may be nested too deeply to be made
        return "an object" if isinstance(value, dict) else "a list"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


FORMAT_VERSION: Final = 1
METADATA_KEY: Final = "kalamos.spec"

MAX_SPEC_CHARACTERS: Final = 1_000_000
"""Room for an alphabet of tens of thousands; more is not read."""

MAX_INPUT_SIZE: Final = 1024
"""In pixels a side. A hostile file could else ask for any amount of memory an image."""


SPEC_TEMPERATURE_RANGE: Final = 1e-3, 1e3
"""The least and the greatest: beyond, every answer is certain, or none. `kalamos train` fits 0.05 to 20."""


@dataclass(frozen=True)
class ModelSpec:
    """All that is needed to use a model, and to know what it is.

    Raises `ModelFileError`, naming the key, for a value out of range.

    >>> from kalamos.alphabets import DIGITS
    >>> spec = ModelSpec(
    ...     name="digits", architecture="kalamos_xs", parameters=86218, alphabet=DIGITS,
    ...     preprocessing=({"step": "normalise", "mean": 0.0, "std": 1.0},), input_size=28,
    ...     temperature=1.3, min_confidence=0.0, feature_maps=("stem",), training=None, metrics=(),
    ...     licence="Apache-2.0", kalamos_version="0.1.0", created="2026-03-31",
    ... )
    >>> ModelSpec.from_json(spec.to_json()) == spec
    True
    """

    name: str
    architecture: str
    parameters: int
    """Trainable ones."""
    alphabet: Alphabet
    preprocessing: tuple[Mapping[str, object], ...]
    """The steps of `kalamos.preprocessing.Preprocessor`, plain JSON."""
    input_size: int
    """S in pixels: the graph takes float32 [N, 1, S, S]."""
    temperature: float
    """Probabilities are softmax(logits / temperature)."""
    min_confidence: float
    """The model abstains below this confidence; 0 is never."""
    feature_maps: tuple[str, ...]
    """The graph's outputs besides the logits, float32 [N, C, h, w]."""
    training: TrainingRecord | None
    metrics: tuple[Metric, ...]
    licence: str
    """An SPDX identifier or expression; `NOASSERTION` where nobody has stated any (see `licence`)."""
    kalamos_version: str
    created: str
    """ISO 8601, as "2026-03-31"."""
    quantisation: Quantisation | None = None
    """None for a float model."""
    selective: SelectiveAccuracy | None = None
    """Which thresholds reach which accuracies on validation images; None where that is not known."""
    robustness: tuple[RobustnessRecord, ...] = ()
    """Figures under shift and against outliers."""
    known: KnownRecord | None = None
    """How to read the graph's output "known"; None where it has none."""

    def __post_init__(self) -> None:
        size, temperature = self.input_size, self.temperature
        require(bool(self.name.strip()), "name", "not blank", self.name)
        require(self.parameters >= 0, "parameters", "at least 0", self.parameters)
        require(1 <= size <= MAX_INPUT_SIZE, "input_size", f"in 1..{MAX_INPUT_SIZE} pixels", size)
        low, high = SPEC_TEMPERATURE_RANGE
        require(low <= temperature <= high, "temperature", f"in {low:g}..{high:g}", temperature)
        require(0 <= self.min_confidence <= 1, "min_confidence", "in [0, 1]", self.min_confidence)
        distinct = len({*self.feature_maps}) == len(self.feature_maps)
        require(distinct, "feature_maps", "distinct names", self.feature_maps)
        require(is_date(self.created), "created", "an ISO date", self.created)

    def to_json(self) -> str:
        """One line of JSON with sorted keys, ready for the metadata.

        Raises:
            ModelFileError: `recipe` or `preprocessing` is not plain JSON, or a value is of a wrong type.
        """
        try:
            document = {"format_version": FORMAT_VERSION, **asdict(self)}
            # Left out: a model that does without a later key stays one that earlier versions read.
            for field in fields(self):
                if field.default is not MISSING and getattr(self, field.name) == field.default:
                    del document[field.name]
            text = json.dumps(
                document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
            )
        except (TypeError, ValueError, RecursionError) as error:
            raise ModelFileError(f"the spec of model {self.name!r} is not plain JSON ({error})") from error
        # A file that nobody could read must not be written.
        ModelSpec.from_json(text)
        return text

    @classmethod
    def from_json(cls, text: str) -> ModelSpec:
        """The spec that `to_json` wrote.

        Raises:
            SpecVersionError: `format_version` is absent, or not the one that this kalamos reads.
            ModelFileError: not JSON, a key too many or too few, a value of a wrong type or range.

        >>> ModelSpec.from_json('{"format_version": 1}')
        Traceback (most recent call last):
        kalamos.errors.ModelFileError: the spec has no key 'alphabet'
        """
        document = _parse(text)
        version = document.pop("format_version", None)
        if type(version) is not int or version != FORMAT_VERSION:
            found = "no format version" if version is None else f"format version {shown(version)}"
            raise SpecVersionError(
                f"the spec has {found}, and this kalamos reads version {FORMAT_VERSION}",
                remedy="upgrade kalamos, or export the model again with this one",
            )
        spec: ModelSpec = _build(cls, document, "")
        return spec


def _parse(text: str) -> dict[str, Any]:
    if len(text) > MAX_SPEC_CHARACTERS:
        raise ModelFileError(f"the spec is longer than {MAX_SPEC_CHARACTERS} characters")
    try:
        document = json.loads(text, parse_float=_finite, parse_constant=_finite)
        # JSON can spell half a surrogate pair, which would fail wherever it is printed later.
        json.dumps(document, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        reason = str(error) or "nested too deeply"
        raise ModelFileError(f"the spec is not valid JSON ({reason})") from error
    if not isinstance(document, dict):
        raise ModelFileError(f"the spec is not a JSON object, but {shown(document)}")
    return document


def _finite(literal: str) -> float:
    value = float(literal)
    if not math.isfinite(value):
        raise ValueError(f"{literal[:40]} is not a finite number")
    return value


def _build(cls: Any, value: object, key: str) -> Any:
    """An instance of a dataclass from a JSON object with its fields as keys; only defaults may lack."""
    where = f" {key!r}" if key else ""
    if not isinstance(value, dict):
        raise _wrong_type(key, cls, value)
    names = sorted(field.name for field in fields(cls))
    optional = {field.name for field in fields(cls) if field.default is not MISSING}
    for name in names:
        if name not in value and name not in optional:
            raise ModelFileError(f"the spec{where} has no key {name!r}")
    for name in value:
        if name not in names:
            raise ModelFileError(f"the spec{where} has an unknown key {shown(name)}")
    hints = _hints(cls)
    prefix = f"{key}." if key else ""
    converted = {name: _convert(hints[name], value[name], prefix + name) for name in names if name in value}
    try:
        return cls(**converted)
    except AlphabetError as error:
        raise ModelFileError(f"the spec{where} is not an alphabet: {error.problem}") from error


_hints = cache(get_type_hints)  # a spec is built of dozens of records


def _convert(hint: Any, value: Any, key: str) -> Any:
    """A JSON value as the type that `hint` asks for: no coercion but whole number to float."""
    if isinstance(hint, types.UnionType):  # the only union here is with None
        return None if value is None else _convert(get_args(hint)[0], value, key)
    if is_dataclass(hint):
        return _build(hint, value, key)
    if get_origin(hint) is Mapping and type(value) is dict:
        return value
    if get_origin(hint) is tuple and type(value) is list:
        items = get_args(hint)
        if items[-1] is Ellipsis:
            items = (items[0],) * len(value)
        if len(items) == len(value):
            pairs = zip(items, value, strict=True)
            return tuple(_convert(item, each, f"{key}[{i}]") for i, (item, each) in enumerate(pairs))
    if hint is float and type(value) is int:
        try:
            return float(value)
        except OverflowError:
            raise ModelFileError(f"the spec's {key!r} is too large for a float") from None
    if type(value) is not hint:
        raise _wrong_type(key, hint, value)
    if hint is str and CONTROL_CHARACTERS.search(value):
        raise ModelFileError(f"the spec's {key!r} holds a control character: {shown(value)}")
    return value


def _wrong_type(key: str, hint: Any, value: object) -> ModelFileError:
    wanted = hint.__name__ if isinstance(hint, type) else str(hint)
    return ModelFileError(f"the spec's {key!r} must be of type {wanted}, not {shown(value)}")


NOT_STATED: Final = "NOASSERTION"
"""What SPDX has for a licence that nobody has stated."""

MAX_LICENCE_CHARACTERS: Final = 200
"""Characters of a licence: an SPDX identifier or expression, or a short name."""


def check_licence(licence: str) -> str:
    """The licence without white space around it.

    Raises:
        UsageError: blank, of several lines, or longer than 200 characters.

    >>> check_licence(" CC-BY-4.0 ")
    'CC-BY-4.0'
    """
    text = licence.strip()
    if not text or len(text) > MAX_LICENCE_CHARACTERS or CONTROL_CHARACTERS.search(text):
        raise UsageError(
            f"{licence[:40]!r} is not the name of a licence",
            remedy="give an SPDX identifier, such as Apache-2.0 or CC-BY-4.0",
        )
    return text


def licence_text(licence: str) -> str:
    """A model's licence for people.

    >>> licence_text("Apache-2.0"), licence_text(NOT_STATED)
    ('Apache-2.0', 'not stated')
    """
    return "not stated" if licence == NOT_STATED else licence


MIN_TEMPERATURE_IMAGES: Final = 100
"""Validation images that a temperature is fitted on at least. Among fewer there may be no mistake, and the
likelihood then asks for ever lower temperatures: 0.084 was seen from 30 images."""

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.25, 4.0
"""Outside, it is rather the images or the labels that are not as where the model will read."""


def bound_temperature(temperature: float, n: int) -> float:
    """Bound a fitted temperature; give 1 if it comes from fewer than `MIN_TEMPERATURE_IMAGES` images.

    >>> [bound_temperature(0.084, n) for n in (30, 300)]
    [1.0, 0.25]
    """
    return min(max(temperature, MIN_TEMPERATURE), MAX_TEMPERATURE) if n >= MIN_TEMPERATURE_IMAGES else 1.0


def few_known_text(n: int) -> str | None:
    """What a known head's threshold comes from where the validation images are too few to show it; or None.

    >>> few_known_text(30)
    'known is calibrated on 30 validation images: fewer than 200 do not show what withholds 0.5 % of \
characters, so a low threshold is taken'
    >>> few_known_text(3000) is None
    True
    """
    if n >= MIN_KNOWN_IMAGES:
        return None
    images = "1 validation image" if n == 1 else f"{n:,} validation images"
    return (
        f"known is calibrated on {images}: fewer than {MIN_KNOWN_IMAGES} do not show what withholds "
        f"{100 * MAX_WITHHELD:g} % of characters, so a low threshold is taken"
    )


def temperature_text(temperature: float, n: int | None) -> str:
    """A temperature, and what it comes from, for people.

    Args:
        n: validation images; None where it is not known how many they were.

    >>> temperature_text(1.0, 30)
    '1.000, not fitted: 30 validation images are fewer than 100'
    >>> temperature_text(1.2, 3000)
    '1.200, fitted on the 3,000 validation images'
    """
    text = f"{temperature:.3f}"
    if n is None:
        return f"{text}, fitted on the validation images"
    if n < MIN_TEMPERATURE_IMAGES:
        images = (
            f"{n:,} validation {'image is' if n == 1 else 'images are'} fewer than {MIN_TEMPERATURE_IMAGES}"
        )
        return (
            f"{text}, not fitted: {images}" if temperature == 1 else f"{text}, not to be believed: {images}"
        )
    bound = {MIN_TEMPERATURE: " (the lowest that is taken)", MAX_TEMPERATURE: " (the highest that is taken)"}
    return f"{text}{bound.get(temperature, '')}, fitted on the {n:,} validation images"
