"""How a recogniser is to answer, checked before the first image is read."""

from __future__ import annotations

import math
from numbers import Real
from typing import NamedTuple

from kalamos.charset import Restriction, restrict
from kalamos.errors import UsageError
from kalamos.images import MAX_PIXELS
from kalamos.isolation import TIMEOUT_SECONDS
from kalamos.model_file import ModelSpec

__all__ = ["ReadingOptions", "reading_options", "threshold_of"]


class ReadingOptions(NamedTuple):
    """What `reading_options` makes of a caller's wishes."""

    top_k: int
    """At most as many as there are labels."""
    threshold: float
    """Confidence below which no label is given."""
    labels: tuple[str, ...]
    """What can be answered: the model's labels, or those that the charset leaves."""
    restriction: Restriction | None
    timeout: float = TIMEOUT_SECONDS
    """Seconds that decoding one image may take."""
    max_pixels: int = MAX_PIXELS
    """Height x width of the largest image that is decoded."""

    @property
    def restricted(self) -> bool:
        return self.restriction is not None


def reading_options(
    spec: ModelSpec,
    *,
    top_k: int,
    min_confidence: float | None = None,
    target_accuracy: float | None = None,
    charset: str | None = None,
    timeout: float | None = None,
    max_pixels: int | None = None,
) -> ReadingOptions:
    """The options of `Recognizer.predict`, for the model that `spec` tells of.

    Raises:
        UsageError: see there.
    """
    if top_k < 1:
        raise UsageError(f"top_k = {top_k} leaves no answer", remedy="use 1 or more")
    threshold = threshold_of(spec, min_confidence, target_accuracy)
    restriction = None if charset is None else restrict(spec.alphabet, charset)
    labels = spec.alphabet.labels if restriction is None else restriction.labels
    timeout = TIMEOUT_SECONDS if timeout is None else timeout
    if not _is_number(timeout) or not 0 < timeout < math.inf:
        raise UsageError(
            f"timeout = {timeout!r} is no time", remedy="give the seconds that an image may take"
        )
    max_pixels = MAX_PIXELS if max_pixels is None else max_pixels
    if not _is_number(max_pixels) or not max_pixels > 0:
        raise UsageError(f"max_pixels = {max_pixels!r} would refuse everything", remedy="use 1 or more")
    return ReadingOptions(
        min(top_k, len(labels)), threshold, labels, restriction, float(timeout), int(max_pixels)
    )


def threshold_of(
    spec: ModelSpec, min_confidence: float | None = None, target_accuracy: float | None = None
) -> float:
    """The confidence below which no label is given, in [0, 1]: the model's own, or the one asked for.

    Under a charset it is compared with the confidence within the charset. Whoever names one knows what
    can be there: an "O" where only digits occur is a "0", and sure to be. Measured on EMNIST-47's validation
    images (`lenet_bn`, charset `digits`): 99.9 % right are reached at 99 % coverage, with the share of the
    probability that the charset keeps counted in at 85 %. What it costs is letters: of those that look like
    no digit 11 % have a confidence of 0.9 and more within the digits, and 2.5 % once what has
    `Prediction.removed` above 0.99 is put aside, which takes 0.6 % of the digits along.

    Raises:
        UsageError: both are given, or one is out of range; or validation did not reach
            `target_accuracy` (the message says what it reached), or the model does not know.

    >>> from kalamos.model_file import read_spec
    >>> from kalamos.zoo import model_path
    >>> spec = read_spec(model_path("digits"))
    >>> threshold_of(spec), threshold_of(spec, min_confidence=0.8)
    (0.0, 0.8)
    """
    if min_confidence is not None and target_accuracy is not None:
        raise UsageError(
            "a least confidence and a target accuracy are both given", remedy="leave one of the two out"
        )
    if min_confidence is not None:
        if not _is_number(min_confidence) or not 0 <= min_confidence <= 1:
            raise UsageError(f"min_confidence = {min_confidence!r} is not a probability in [0, 1]")
        return float(min_confidence)
    if target_accuracy is None:
        return spec.min_confidence
    if not _is_number(target_accuracy) or not 0 < target_accuracy <= 1:
        raise UsageError(
            f"target_accuracy = {target_accuracy!r} is not an accuracy in (0, 1]",
            remedy="0.99 asks for 99 % right among the images answered",
        )
    if spec.selective is None:
        raise UsageError(
            f"the model {spec.name!r} does not say which confidence reaches which accuracy",
            remedy="export it again, from a run of this kalamos, or give a least confidence instead",
        )
    return spec.selective.at(target_accuracy).threshold


def _is_number(value: object) -> bool:
    return isinstance(value, Real)
