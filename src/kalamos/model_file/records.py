"""The records that a `ModelSpec` holds: what was learnt from, what was measured, with which figures.

Their field names are keys of the spec's JSON, their type hints what its values are checked against.
Each raises `ModelFileError`, naming the key, for a value out of range.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Final

from kalamos.errors import ModelFileError, UsageError

__all__ = [
    "Metric",
    "OperatingPoint",
    "Quantisation",
    "RobustnessRecord",
    "SelectiveAccuracy",
    "TrainingRecord",
    "is_date",
    "require",
    "shown",
]

ROBUSTNESS_KINDS: Final = ("shift", "outliers")

_SHA256: Final = re.compile("[0-9a-f]{64}")


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
    """Every setting of the training, plain JSON."""
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
    """Expected calibration error, in [0, 1]."""
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
    they differ from those to come, the less a target is a promise. `kalamos.evaluation.selective`
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
