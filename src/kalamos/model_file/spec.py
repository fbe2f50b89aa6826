"""What a kalamos model says about itself: the JSON under `kalamos.spec` in the ONNX metadata.

The dataclasses here and in `records` are the schema: their field names are the keys, their type hints
are what `ModelSpec.from_json` checks the values against.
"""

from __future__ import annotations

import json
import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from functools import cache
from typing import Any, Final, get_args, get_origin, get_type_hints

from kalamos.alphabets import CONTROL_CHARACTERS, Alphabet
from kalamos.errors import AlphabetError, ModelFileError, SpecVersionError
from kalamos.model_file.records import (
    Metric,
    Quantisation,
    RobustnessRecord,
    SelectiveAccuracy,
    TrainingRecord,
    is_date,
    require,
    shown,
)

__all__ = ["FORMAT_VERSION", "METADATA_KEY", "ModelSpec"]

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
        raise ModelFileError(f"the spec{where} is no alphabet: {error.problem}") from error


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
