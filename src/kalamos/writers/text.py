"""Lines for people."""

from __future__ import annotations

from collections.abc import Iterable

from kalamos.predictions import Candidate, Prediction
from kalamos.writers.base import Writer
from kalamos.writers.escape import one_line

__all__ = ["TextWriter"]

_WIDEST = 40
"""Paths are padded to the longest so far, up to this; a longer one moves its own line only."""

_MOST = 0.5


class TextWriter(Writer):
    """Path, label, confidence and the runners-up; or that the model abstained; or why it failed.

    Where a charset took more than half of the probability away, the line says so: it is likely to be
    something else.

    >>> import io
    >>> sink = io.BytesIO()
    >>> with TextWriter(sink, labels="17", top_k=2) as writer:
    ...     top = (Candidate("7", 0.971), Candidate("1", 0.029))
    ...     writer.write(Prediction("7", 0.971, top, path="img/7.png"))
    >>> print(sink.getvalue().decode(), end="")
    img/7.png  7   97.1%  then 1 2.9%
    """

    _width = 0

    def write(self, prediction: Prediction) -> None:
        path = "-" if prediction.path is None else one_line(prediction.path)
        if self._width < len(path) <= _WIDEST:
            self._width = len(path)
        self._sink.write(f"{path:{self._width}}  {self._answer(prediction)}\n".encode())

    def _answer(self, prediction: Prediction) -> str:
        if prediction.error is not None:
            return f"failed: {one_line(str(prediction.error))}"
        top = prediction.top[: self._top_k]
        if prediction.label is None:
            label, rest = "?", "abstained" + (f": {_listed(top)}" if top else "")
        else:
            label, rest = one_line(prediction.label), f"then {_listed(top[1:])}" if top[1:] else ""
        if prediction.removed is not None and prediction.removed > _MOST:
            rest += f"{'; ' if rest else ''}{prediction.removed:.1%} outside the charset"
        confidence = "-" if prediction.confidence is None else f"{prediction.confidence:.1%}"
        return f"{label}  {confidence:>6}  {rest}".rstrip()


def _listed(candidates: Iterable[Candidate]) -> str:
    return ", ".join(f"{one_line(label)} {confidence:.1%}" for label, confidence in candidates)
