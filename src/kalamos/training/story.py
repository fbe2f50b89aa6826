"""`run.json`, read as if a stranger had written it: bounded, and every value of the type that is written."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kalamos.alphabets import Alphabet
from kalamos.errors import TrainingError
from kalamos.model_file import OperatingPoint, SelectiveAccuracy
from kalamos.training.recipe import Recipe

__all__ = ["METADATA_FILE", "Outcome", "RunMetadata", "parse_metadata", "read_metadata"]

METADATA_FILE: Final = "run.json"

MAX_BYTES: Final = 4 << 20
"""Of the file. A model file's spec, which holds recipe and alphabet too, may have a million characters."""

MAX_LABELS: Final = 100_000
"""Of the alphabet: the network's last layer has a row for each."""


@dataclass(frozen=True)
class Outcome:
    """What is known at the end of a run."""

    temperature: float
    val_accuracy: float
    kept_epoch: int
    selective: SelectiveAccuracy | None


@dataclass(frozen=True)
class RunMetadata:
    """What `run.json` says."""

    recipe: Recipe
    alphabet: Alphabet
    data_sha256: str
    train_count: int
    val_count: int
    created: str
    environment: dict[str, str]
    outcome: Outcome | None
    """None for a run that is not finished."""


def read_metadata(folder: Path) -> RunMetadata:
    """Read `run.json`.

    Raises:
        OSError: it cannot be read.
        TrainingError, RecipeError, AlphabetError, ModelFileError: what it says is not what a run writes.
    """
    with (folder / METADATA_FILE).open("rb") as stream:
        content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise TrainingError(f"{METADATA_FILE} is longer than {MAX_BYTES:,} bytes")
    return parse_metadata(content)


def parse_metadata(content: bytes) -> RunMetadata:
    """What the bytes of a `run.json` say; raises as `read_metadata`."""
    try:
        document = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        reason = str(error) or "nested too deeply"
        raise TrainingError(f"{METADATA_FILE} is not JSON ({reason})") from error
    keys = ("recipe", "alphabet", "data_sha256", "counts", "created", "environment", "outcome")
    recipe, alphabet, data, counts, created, environment, outcome = _values(document, "run", keys)
    name, labels = _values(alphabet, "alphabet", ("name", "labels"))
    train, val = _values(counts, "counts", ("train", "val"))
    if len(_typed(labels, list, "labels")) > MAX_LABELS:
        raise TrainingError(f"the alphabet has more than {MAX_LABELS:,} labels")
    for key, value in _typed(environment, dict, "environment").items():
        _typed(value, str, f"environment.{key}")
    if "torch" not in environment:
        raise TrainingError("'environment' has no key 'torch'")
    return RunMetadata(
        recipe=Recipe.from_mapping(_typed(recipe, dict, "recipe")),
        alphabet=Alphabet(_text(name, "name"), tuple(_text(label, "labels") for label in labels)),
        data_sha256=_text(data, "data_sha256"),
        train_count=_count(train, "train"),
        val_count=_count(val, "val"),
        created=_text(created, "created"),
        environment=dict(environment),
        outcome=None if outcome is None else _outcome(outcome),
    )


def _outcome(document: object) -> Outcome:
    values: dict[str, object] = dict(_typed(document, dict, "outcome"))
    selective = values.pop("selective", None)  # runs of an earlier kalamos have none
    temperature, accuracy, epoch = _values(values, "outcome", ("temperature", "val_accuracy", "kept_epoch"))
    temperature, accuracy = _number(temperature, "temperature"), _number(accuracy, "val_accuracy")
    if temperature <= 0 or not 0 <= accuracy <= 1:
        raise TrainingError(f"a temperature of {temperature} or an accuracy of {accuracy} is impossible")
    return Outcome(
        temperature,
        accuracy,
        _count(epoch, "kept_epoch"),
        None if selective is None else _selective(selective),
    )


def _selective(document: object) -> SelectiveAccuracy:
    n, points = _values(document, "selective", ("n", "points"))
    names = ("accuracy", "threshold", "coverage")
    rows = [_values(point, "points", names) for point in _typed(points, list, "points")]
    numbers = [[_number(value, "points") for value in row] for row in rows]
    return SelectiveAccuracy(_count(n, "n"), tuple(OperatingPoint(*row) for row in numbers))


def _values(document: object, what: str, keys: tuple[str, ...]) -> list[Any]:
    """The values of exactly these keys."""
    found: dict[str, Any] = _typed(document, dict, what)
    if set(found) != set(keys):
        odd = sorted(set(found) ^ set(keys))
        raise TrainingError(f"{what!r} has the wrong keys: {', '.join(map(repr, odd[:5]))}")
    return [found[key] for key in keys]


def _typed(value: Any, kind: type, what: str) -> Any:
    if type(value) is not kind:
        raise TrainingError(f"{what!r} is of type {type(value).__name__}, not {kind.__name__}")
    return value


def _text(value: object, what: str) -> str:
    text: str = _typed(value, str, what)
    try:
        text.encode()
    except UnicodeError as error:  # JSON can spell half a surrogate pair, which no file or terminal takes
        raise TrainingError(f"{what!r} is no text that can be written") from error
    return text


def _count(value: object, what: str) -> int:
    number: int = _typed(value, int, what)
    if not 0 <= number < 2**63:
        raise TrainingError(f"{what!r} is not a count")
    return number


def _number(value: object, what: str) -> float:
    if type(value) is int and abs(value) < 2**63:
        return float(value)
    number: float = _typed(value, float, what)
    if not math.isfinite(number):
        raise TrainingError(f"{what!r} is not a finite number")
    return number
