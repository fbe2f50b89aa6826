"""Streaming summary of a prediction run, in constant memory."""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from typing import Any

from kalamos.errors import ImageNotFoundError
from kalamos.predictions import Prediction
from kalamos.writers.escape import one_line

__all__ = ["Summary"]

_SURE, _UNSURE = 0.95, 0.5
"""Confidences above the first and below the second are counted."""

_MAX_NAMED_PATHS = 5
"""Missing images that are named."""

_MAX_LABELS = 96
"""Labels that are listed: an alphabet of thousands would fill pages."""

_WIDTH = 78
"""Columns of a line."""


class Summary:
    """Counts over predictions: `str()` is for people, `as_dict()` for programs.

    Confidences are those of every prediction that has one, abstained ones included. `elapsed` is
    how many seconds the run took, where that is known; it may be set at the end.

    >>> from kalamos.errors import NoInkError
    >>> summary = Summary(elapsed=0.5)
    >>> for prediction in [
    ...     Prediction("7", 0.998),
    ...     Prediction("7", 0.912),
    ...     Prediction("1", 0.962),
    ...     Prediction(None, 0.41, abstained=True),
    ...     Prediction(None, None, error=NoInkError("the image is blank")),
    ... ]:
    ...     summary.add(prediction)
    >>> print(summary)
    5 images: 3 read, 1 abstained, 1 failed
    failures: 1 no ink
    confidence: mean 0.821, lowest 0.410, highest 0.998
                2 above 0.95, 1 below 0.5
    labels: 1 1, 7 2
    0.50 s, 10 images/s
    """

    def __init__(self, *, elapsed: float | None = None) -> None:
        self.elapsed = elapsed
        self.read = 0
        self.abstained = 0
        self.failures: Counter[str] = Counter()
        self.labels: Counter[str] = Counter()
        self.not_found: list[str] = []
        """The paths of the first few images that were not found, of those that have one."""
        self._rated = 0
        self._total = 0.0
        self._lowest = math.inf
        self._highest = -math.inf
        self._sure = 0
        self._unsure = 0

    @property
    def failed(self) -> int:
        return self.failures.total()

    @property
    def images(self) -> int:
        return self.read + self.abstained + self.failed

    @property
    def nothing_found(self) -> bool:
        """Whether no row came from a file that could be opened."""
        return self.failures[ImageNotFoundError.summary] == self.images

    def add(self, prediction: Prediction) -> None:
        if prediction.error is not None:
            self.failures[prediction.error.summary] += 1
            if isinstance(prediction.error, ImageNotFoundError) and prediction.path is not None:
                self.not_found = [*self.not_found, prediction.path][:_MAX_NAMED_PATHS]
        elif prediction.label is None:
            self.abstained += 1
        else:
            self.read += 1
            self.labels[prediction.label] += 1
        if prediction.confidence is not None:
            self._rate(float(prediction.confidence))

    def merge(self, other: Summary) -> None:
        """Count what another has counted too."""
        self.read += other.read
        self.abstained += other.abstained
        self.failures.update(other.failures)
        self.labels.update(other.labels)
        self.not_found = [*self.not_found, *other.not_found][:_MAX_NAMED_PATHS]
        self._rated += other._rated
        self._total += other._total
        self._lowest = min(self._lowest, other._lowest)
        self._highest = max(self._highest, other._highest)
        self._sure += other._sure
        self._unsure += other._unsure

    def _rate(self, confidence: float) -> None:
        self._rated += 1
        self._total += confidence
        self._lowest = min(self._lowest, confidence)
        self._highest = max(self._highest, confidence)
        self._sure += confidence > _SURE
        self._unsure += confidence < _UNSURE

    def as_dict(self) -> dict[str, Any]:
        """All numbers, ready for JSON; None where there is nothing to measure.

        >>> Summary().as_dict()["confidence"]["mean"] is None
        True
        """
        rated = self._rated > 0
        return {
            "images": self.images,
            "read": self.read,
            "abstained": self.abstained,
            "failed": self.failed,
            "failures": dict(self.failures.most_common()),
            "labels": dict(sorted(self.labels.items())),
            "confidence": {
                "mean": self._total / self._rated if rated else None,
                "lowest": self._lowest if rated else None,
                "highest": self._highest if rated else None,
                f"above_{_SURE}": self._sure,
                f"below_{_UNSURE}": self._unsure,
            },
            "seconds": self.elapsed,
            "images_per_second": self.images / self.elapsed if self.elapsed else None,
        }

    def lines(self) -> list[str]:
        """Lines without line ends, of less than 80 columns but for paths; what is nothing is left out."""
        images = "1 image" if self.images == 1 else f"{self.images:,} images"
        lines = [f"{images}: {self.read:,} read, {self.abstained:,} abstained, {self.failed:,} failed"]
        if self.failures:
            kinds = ", ".join(f"{count:,} {kind}" for kind, count in self.failures.most_common())
            lines += _wrapped(f"failures: {kinds}")
        if self.not_found:
            lines.append(f"not found: {self.paths_not_found()}")
        if self._rated:
            mean = self._total / self._rated
            lines += [
                f"confidence: mean {mean:.3f}, lowest {self._lowest:.3f}, highest {self._highest:.3f}",
                f"            {self._sure:,} above {_SURE}, {self._unsure:,} below {_UNSURE}",
            ]
        if self.labels:
            lines += _wrapped(f"labels: {self._label_counts()}")
        if self.elapsed is not None:
            speed = f", {self.images / self.elapsed:,.0f} images/s" if self.elapsed else ""
            lines.append(f"{self.elapsed:,.2f} s{speed}")
        return lines

    def _label_counts(self) -> str:
        """List the labels in the order of their code points; the rarest of a large alphabet are added up."""
        shown = dict(self.labels.most_common(_MAX_LABELS))
        counts = [f"{one_line(label)} {count:,}" for label, count in sorted(shown.items())]
        if rarer := len(self.labels) - len(shown):
            rest = self.labels.total() - sum(shown.values())
            counts.append(f"and {rest:,} of {rarer:,} rarer labels")
        return ", ".join(counts)

    def paths_not_found(self) -> str:
        """The first few of them, on one line; empty where there are none."""
        more = self.failures[ImageNotFoundError.summary] - len(self.not_found)
        shown = [*map(one_line, self.not_found), *([f"and {more:,} more"] if more > 0 else [])]
        return ", ".join(shown)

    def __str__(self) -> str:
        return "\n".join(self.lines())


def _wrapped(line: str) -> list[str]:
    """Break a line at spaces; what follows is indented to behind the first word."""
    indent = " " * (line.index(" ") + 1)
    return textwrap.wrap(
        line, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
