"""Postprocessing: logits to calibrated probabilities, and predict options to answers.

Logits to probabilities: the one softmax that prediction, calibration and evaluation share.

From logits to predictions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kalamos.alphabets import ClassMask, restrict
from kalamos.errors import UsageError
from kalamos.model_file import ModelSpec
from kalamos.predict_options import PredictOptions
from kalamos.predictions import NOT_A_CHARACTER, NOT_SURE, SEVERAL, Candidate, Prediction
from kalamos.preprocessing.grouping import count_characters

__all__ = ["AnswerRule", "Inference", "predictions_of", "restricted_softmax", "softmax"]


def softmax(logits: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.float64]:
    """Logits [N, C] -> probabilities float64 [N, C], rows summing to 1.

    Args:
        temperature: above 1 makes the model less sure, below 1 more (Guo et al. 2017).

    >>> softmax(np.array([[0.0, 0.0]])).tolist()
    [[0.5, 0.5]]
    """
    scaled = np.divide(logits, temperature, dtype=np.float64)
    scaled -= scaled.max(axis=1, keepdims=True)
    powers: NDArray[np.float64] = np.exp(scaled, out=scaled)
    powers /= powers.sum(axis=1, keepdims=True)
    return powers


def restricted_softmax(
    logits: NDArray[np.floating], kept: Sequence[int], temperature: float = 1.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The softmax over some of the classes, and what it takes from the others.

    Args:
        kept: those classes, K of C.

    Returns:
        Probabilities float64 [N, K], rows summing to 1; and float64 [N], the share of the probability over
        all classes that the classes left out had, in [0, 1].

    >>> probabilities, removed = restricted_softmax(np.log([[0.1, 0.3, 0.6]]), [0, 1])
    >>> probabilities.round(3).tolist(), removed.round(3).tolist()
    ([[0.25, 0.75]], [0.6])
    """
    columns = np.asarray(kept)
    # From the logits, not from the shares: of a picture of something else those may all be 0.
    within = softmax(logits[:, columns], temperature)
    removed = 1.0 - softmax(logits, temperature)[:, columns].sum(axis=1)
    return within, np.clip(removed, 0.0, 1.0)


class AnswerRule(NamedTuple):
    """What `PredictOptions` come to for one model."""

    top_k: int
    """At most the number of labels that are left."""
    threshold: float
    """The confidence below which no label is given."""
    labels: tuple[str, ...]
    """What can be answered: the model's labels, or those that the charset leaves."""
    class_mask: ClassMask | None = None
    """Under a charset, its classes."""
    known_threshold: float = 0.0
    """The probability of being a character at all below which no label is given."""
    columns: tuple[str, ...] = ()
    """The fields that rows have besides those that all have, see `kalamos.writers.open_writer`."""

    def reason(self, confidence: float, known: float | None) -> str | None:
        """Say why an answer has no label; None for one that has.

        Args:
            confidence: of the best label.
            known: the probability of being a character at all; None if the model does not tell.

        >>> AnswerRule(top_k=1, threshold=0.9, labels=("a",)).reason(0.7, None)
        'not sure enough'
        """
        # Said so that NaN is withheld too.
        if known is not None and not known >= self.known_threshold:
            return NOT_A_CHARACTER
        return None if confidence >= self.threshold else NOT_SURE

    @classmethod
    def for_model(cls, spec: ModelSpec, options: PredictOptions) -> AnswerRule:
        """Check options against a model.

        Raises:
            UsageError: an accuracy that validation did not reach, or a charset that the alphabet lacks.

        >>> from kalamos.zoo import model_path
        >>> from kalamos.model_file import read_spec
        >>> spec = read_spec(model_path("digits"))
        >>> AnswerRule.for_model(spec, PredictOptions(charset="1 7", min_confidence=0.8))[:3]
        (2, 0.8, ('1', '7'))
        """
        mask = None if options.charset is None else restrict(spec.alphabet, options.charset)
        labels = spec.alphabet.labels if mask is None else mask.labels
        known = spec.known is not None
        columns = [
            name
            for name, says in (("known", known), ("removed", mask is not None), ("reason", known))
            if says
        ]
        return cls(
            min(options.top_k, len(labels)),
            _threshold(spec, options),
            labels,
            mask,
            _known_threshold(spec, options),
            tuple(columns),
        )


def _threshold(spec: ModelSpec, options: PredictOptions) -> float:
    """The confidence below which no label is given, in [0, 1]: the model's own, or the one asked for.

    Under a charset it is compared with the confidence within the charset. Whoever names one knows what
    can be there: an "O" where only digits occur is a "0", and sure to be. Measured on EMNIST-47's validation
    images (`lenet_bn`, charset `digits`): 99.9 % right are reached at 99 % coverage, with the share of the
    probability that the charset keeps counted in at 85 %. What it costs is letters: of those that look like
    no digit 11 % have a confidence of 0.9 and more within the digits, and 2.5 % once what has
    `Prediction.removed` above 0.99 is put aside, which takes 0.6 % of the digits along.
    """
    if options.min_confidence is not None:
        return float(options.min_confidence)
    if options.target_accuracy is None:
        return spec.min_confidence
    if spec.selective is None:
        raise UsageError(
            f"the model {spec.name!r} does not say which confidence reaches which accuracy",
            remedy="export it again, from a run of this kalamos, or set min_confidence instead",
        )
    return spec.selective.at(options.target_accuracy).threshold


def _known_threshold(spec: ModelSpec, options: PredictOptions) -> float:
    if options.min_known is None:
        return 0.0 if spec.known is None else spec.known.threshold
    if spec.known is None and options.min_known > 0:
        raise UsageError(
            f"the model {spec.name!r} does not tell characters from other images",
            remedy="leave min_known out, or train it with outliers (outliers = 20000)",
        )
    return float(options.min_known)


class Inference(NamedTuple):
    """The model's answers to the images, of N, that could be read and have ink."""

    rows: NDArray[np.int64]
    """Which those M images are, int64 [M], rising."""
    logits: NDArray[np.float32]
    """float32 [M, C], of all the model's classes, before the temperature."""
    probabilities: NDArray[np.float64]
    """float64 [M, C], or [M, K] under a mask of K classes; rows sum to 1."""
    removed: NDArray[np.float64] | None
    """Under a mask, float64 [M]: the probability in [0, 1] of the classes left out."""
    known: NDArray[np.float64] | None = None
    """float64 [M]: the probability in [0, 1] of being a character at all; None if the model does not tell."""

    @classmethod
    def of_logits(
        cls,
        rows: NDArray[np.int64],
        logits: NDArray[np.float32],
        temperature: float,
        class_mask: ClassMask | None = None,
        known: NDArray[np.float64] | None = None,
    ) -> Inference:
        """Divide logits by the temperature and take the softmax, over the classes of the mask alone."""
        if class_mask is None:
            return cls(rows, logits, softmax(logits, temperature), None, known)
        return cls(rows, logits, *restricted_softmax(logits, class_mask.indices, temperature), known)


def predictions_of(
    found: Inference,
    paths: Sequence[str | None],
    rule: AnswerRule,
    prepared: Sequence[NDArray[np.uint8]] | None = None,
) -> list[Prediction]:
    """Make predictions of a model's answers: with the `top_k` candidates, or abstaining.

    Args:
        found: the answers to M images, with the rule's class mask.
        paths: M names for the predictions.
        prepared: M images uint8 [S, S] as the model saw them: those that it took for no character are looked
            at again, whether there are several.

    >>> rule = AnswerRule(top_k=1, threshold=0.9, labels=("a", "b"))
    >>> found = Inference.of_logits(np.arange(2), np.array([[4, 0], [1, 0]], np.float32), 1.0)
    >>> predictions_of(found, ["x.png", "y.png"], rule)
    [Prediction(label='a', confidence=0.982, path='x.png'), \
Prediction(label=None, confidence=0.731, path='y.png', abstained='not sure enough')]
    """
    nothing: Sequence[float | None] = [None] * len(paths)
    removed = nothing if found.removed is None else found.removed.tolist()
    known = nothing if found.known is None else found.known.tolist()
    order = np.argsort(-found.probabilities, axis=1, kind="stable")[:, : rule.top_k]
    # Half the cost of take_along_axis, which one image alone would feel.
    confidences = found.probabilities[np.arange(len(order))[:, np.newaxis], order]
    predictions = []
    for row, (path, indices, values, share, character) in enumerate(
        zip(paths, order.tolist(), confidences.tolist(), removed, known, strict=True)
    ):
        top = tuple([Candidate(rule.labels[i], value) for i, value in zip(indices, values, strict=True)])
        best, confidence = top[0]
        reason = rule.reason(confidence, character)
        if reason == NOT_A_CHARACTER and prepared is not None and count_characters(prepared[row]) > 1:
            reason = SEVERAL
        label = best if reason is None else None
        predictions.append(
            Prediction(label, confidence, top, path, None, reason is not None, share, character, reason)
        )
    return predictions
