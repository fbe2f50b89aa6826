"""What all writers share: their interface, text that is safe to show, and the summary of a run."""

from __future__ import annotations

import math
import re
import textwrap
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

from kalamos.errors import ImageNotFoundError, UsageError
from kalamos.predictions import NOT_A_CHARACTER, SEVERAL, Prediction

__all__ = [
    "OPTIONAL_COLUMNS",
    "Summary",
    "Writer",
    "columns_of",
    "encodable",
    "lines_without_controls",
    "one_line",
    "without_controls",
]

_HIGH_CONFIDENCE, _LOW_CONFIDENCE = 0.95, 0.5
"""Confidences above the first and below the second are counted."""

_MAX_NAMED_PATHS = 5
"""Missing images that are named."""

_MAX_LABELS = 96
"""Labels that are listed: an alphabet of thousands would fill pages."""

_LINE_COLUMNS = 78
"""Columns of a line."""

_SURROGATES = re.compile(r"[\ud800-\udfff]")
# Everything that `str.splitlines` or a terminal takes for more than a character; and what turns the order of
# the letters after it (UAX #9), so that gpj.exe would look like another name.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_CONTROLS_BUT_SPACE = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_NAMED = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


OPTIONAL_COLUMNS: Final = ("known", "removed", "reason")
"""Fields of a `Prediction` that rows of all formats but text have where they say something."""


def columns_of(predictions: Iterable[Prediction]) -> tuple[str, ...]:
    """Return which of `OPTIONAL_COLUMNS` say something about these predictions.

    >>> columns_of([Prediction("7", 0.9), Prediction("7", 0.9, known=0.99)])
    ('known', 'reason')
    """
    known = removed = False
    for prediction in predictions:
        known, removed = known or prediction.known is not None, removed or prediction.removed is not None
    return tuple(name for name, says in zip(OPTIONAL_COLUMNS, (known, removed, known), strict=True) if says)


class Writer(ABC):
    """Writes predictions to a binary file as they come, one row per image.

    A context manager: a block that ends well closes the document. One that ends in an exception leaves it
    unfinished, so that half an answer is not taken for a whole one. The file beneath is never flushed or
    closed here; it belongs to whoever opened it.

    Args:
        sink: the binary file.
        labels: all labels that the model can give.
        top_k: candidates to write of each prediction.
        columns: which of `OPTIONAL_COLUMNS` rows have, in their order there.

    Raises:
        UsageError: there is no such column.
    """

    def __init__(
        self, sink: BinaryIO, *, labels: Sequence[str], top_k: int, columns: Sequence[str] = ()
    ) -> None:
        if not {*columns} <= {*OPTIONAL_COLUMNS}:
            raise UsageError(f"no columns {', '.join(columns)}", remedy=f"use {', '.join(OPTIONAL_COLUMNS)}")
        self._sink = sink
        self._labels = labels
        self._top_k = top_k
        self._columns = tuple(name for name in OPTIONAL_COLUMNS if name in columns)

    @abstractmethod
    def write(self, prediction: Prediction) -> None:
        """Append one row."""

    def close(self) -> None:  # noqa: B027 - most formats have nothing to finish
        """Finish the document: call it once, after the last row."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()


def encodable(text: str) -> str:
    r"""Show what UTF-8 cannot hold, and leave the rest as it is.

    Python keeps the undecodable bytes of a file name as lone surrogates (PEP 383); each is shown as its byte.

    >>> print(encodable("caf\udce9.png"))
    caf\xe9.png
    """
    return text if text.isascii() else _SURROGATES.sub(_visible, text)


def one_line(text: str) -> str:
    r"""Show control characters too: one line in reading order, safe for every terminal.

    Backslashes are not doubled, so a path without control characters is shown exactly.

    >>> print(one_line("scan\n1\x1b[31m.png"))
    scan\n1\x1b[31m.png
    """
    return text if text.isprintable() else _CONTROLS.sub(_visible, text)


def without_controls(text: str) -> str:
    r"""Do what `one_line` does, but keep tabs, carriage returns and line feeds.

    >>> without_controls("a\tb\x1b[31m") == r"a\tb\x1b[31m".replace(r"\t", "\t")
    True
    """
    return text if text.isprintable() else _CONTROLS_BUT_SPACE.sub(_visible, text)


def lines_without_controls(text: str) -> str:
    r"""Do what `one_line` does to each of several lines, so that a carriage return hides nothing before it.

    >>> print(lines_without_controls("one\ntwo\r\x1b[2K"))
    one
    two\r\x1b[2K
    """
    return text if text.isprintable() else "\n".join(map(one_line, text.split("\n")))


def _visible(match: re.Match[str]) -> str:
    character = match.group()
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    # From 0x80 on \x would be mistaken for such a byte.
    return _NAMED.get(character) or (f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}")


class Summary:
    """Counts over predictions, in constant memory: `str()` is for people, `as_dict()` for programs.

    Confidences are those of every prediction that has one, abstained ones included. `elapsed` is how many
    seconds the run took, if known; it may be set at the end.

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
        self.reasons: Counter[str] = Counter()
        """Why the model abstained, where it says so."""
        self.failures: Counter[str] = Counter()
        self.labels: Counter[str] = Counter()
        self.not_found: list[str] = []
        """The paths of the first few images that were not found, of those that have one."""
        self._rated = 0
        self._total = 0.0
        self._lowest = math.inf
        self._highest = -math.inf
        self._high = 0
        self._low = 0

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
            if prediction.reason is not None:
                self.reasons[prediction.reason] += 1
        else:
            self.read += 1
            self.labels[prediction.label] += 1
        if prediction.confidence is not None:
            confidence = float(prediction.confidence)
            self._rated += 1
            self._total += confidence
            self._lowest = min(self._lowest, confidence)
            self._highest = max(self._highest, confidence)
            self._high += confidence > _HIGH_CONFIDENCE
            self._low += confidence < _LOW_CONFIDENCE

    def merge(self, other: Summary) -> None:
        """Add the counts of another."""
        for count in ("read", "abstained", "_rated", "_total", "_high", "_low"):
            setattr(self, count, getattr(self, count) + getattr(other, count))
        self.reasons.update(other.reasons)
        self.failures.update(other.failures)
        self.labels.update(other.labels)
        self.not_found = [*self.not_found, *other.not_found][:_MAX_NAMED_PATHS]
        self._lowest = min(self._lowest, other._lowest)
        self._highest = max(self._highest, other._highest)

    def as_dict(self) -> dict[str, Any]:
        """Give all numbers, ready for JSON; None if there is nothing to measure.

        >>> Summary().as_dict()["confidence"]["mean"] is None
        True
        """
        rated = self._rated > 0
        return {
            "images": self.images,
            "read": self.read,
            "abstained": self.abstained,
            "reasons": dict(self.reasons.most_common()),
            "failed": self.failed,
            "failures": dict(self.failures.most_common()),
            "labels": dict(sorted(self.labels.items())),
            "confidence": {
                "mean": self._total / self._rated if rated else None,
                "lowest": self._lowest if rated else None,
                "highest": self._highest if rated else None,
                f"above_{_HIGH_CONFIDENCE}": self._high,
                f"below_{_LOW_CONFIDENCE}": self._low,
            },
            "seconds": self.elapsed,
            "images_per_second": self.images / self.elapsed if self.elapsed else None,
        }

    def lines(self) -> list[str]:
        """Give lines of less than 80 columns, except for paths; what is zero is left out."""
        images = "1 image" if self.images == 1 else f"{self.images:,} images"
        lines = [f"{images}: {self.read:,} read, {self.abstained:,} abstained, {self.failed:,} failed"]
        if self.reasons[NOT_A_CHARACTER] or self.reasons[SEVERAL]:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.reasons.most_common())
            lines += _wrapped(f"abstained: {reasons}")
        if self.failures:
            kinds = ", ".join(f"{count:,} {kind}" for kind, count in self.failures.most_common())
            lines += _wrapped(f"failures: {kinds}")
        if self.not_found:
            lines.append(f"not found: {self.paths_not_found()}")
        if self._rated:
            mean = self._total / self._rated
            lines += [
                f"confidence: mean {mean:.3f}, lowest {self._lowest:.3f}, highest {self._highest:.3f}",
                f"            {self._high:,} above {_HIGH_CONFIDENCE}, {self._low:,} below {_LOW_CONFIDENCE}",
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
        """Name the first few images that were not found, on one line; empty if there are none."""
        more = self.failures[ImageNotFoundError.summary] - len(self.not_found)
        shown = [*map(one_line, self.not_found), *([f"and {more:,} more"] if more > 0 else [])]
        return ", ".join(shown)

    def __str__(self) -> str:
        return "\n".join(self.lines())


def _wrapped(line: str) -> list[str]:
    """Break a line at spaces; what follows is indented to behind the first word."""
    indent = " " * (line.index(" ") + 1)
    return textwrap.wrap(
        line, _LINE_COLUMNS, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
