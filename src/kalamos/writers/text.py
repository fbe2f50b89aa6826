"""Text for people, and character codes (`55, img/7.png`)."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import BinaryIO

from kalamos.alphabets import upper_code_point
from kalamos.errors import UsageError
from kalamos.predictions import Candidate, Prediction
from kalamos.writers.base import Writer, one_line

__all__ = ["AsciiWriter", "TextWriter"]

_MAX_PATH_COLUMNS = 40
"""Paths are padded to the longest so far, up to this; a longer one moves its own line only."""

_MAX_REMOVED = 0.5
"""If a charset excludes more probability than this, the line says so."""

_NO_CODE = 0
"""NUL is no character, so it stands for an image without an answer, which keeps its line too."""


class TextWriter(Writer):
    """Writes path, label, confidence and runners-up; or that the model abstained; or why the image failed.

    If a charset excludes more than half of the probability, the line says so: it is likely to be something
    else.

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
        if self._width < len(path) <= _MAX_PATH_COLUMNS:
            self._width = len(path)
        self._sink.write(f"{path:{self._width}}  {self._answer(prediction)}\n".encode())

    def _answer(self, prediction: Prediction) -> str:
        if prediction.error is not None:
            return f"failed: {one_line(str(prediction.error))}"
        top = prediction.top[: self._top_k]
        if prediction.label is None:
            reason = "abstained" if prediction.reason is None else prediction.reason
            label, rest = "?", reason + (f": {_listed(top)}" if top else "")
        else:
            label, rest = one_line(prediction.label), f"then {_listed(top[1:])}" if top[1:] else ""
        if prediction.removed is not None and prediction.removed > _MAX_REMOVED:
            rest += f"{'; ' if rest else ''}{prediction.removed:.1%} outside the charset"
        confidence = "-" if prediction.confidence is None else f"{prediction.confidence:.1%}"
        return f"{label}  {confidence:>6}  {rest}".rstrip()


def _listed(candidates: Iterable[Candidate]) -> str:
    return ", ".join(f"{one_line(label)} {confidence:.1%}" for label, confidence in candidates)


class AsciiWriter(Writer):
    """Writes `[code in decimal], [path]` and nothing else, one line per image.

    The code is that of the label in upper case ("a" gives 65), if that is one code point ("ß" gives 223), and
    0 if the image failed or the model abstained. Raises `UsageError` if one of `labels`, which are all that
    the model can give, is not a single code point (in NFC).

    >>> import io
    >>> sink = io.BytesIO()
    >>> with AsciiWriter(sink, labels=["7", "a"], top_k=1) as writer:
    ...     writer.write(Prediction("7", 0.998, path="img/7.png"))
    ...     writer.write(Prediction("a", 0.931, path="img/a.png"))
    >>> print(sink.getvalue().decode(), end="")
    55, img/7.png
    65, img/a.png
    """

    def __init__(
        self, sink: BinaryIO, *, labels: Sequence[str], top_k: int, columns: Sequence[str] = ()
    ) -> None:
        super().__init__(sink, labels=labels, top_k=top_k, columns=columns)
        longer = [label for label in labels if len(unicodedata.normalize("NFC", label)) != 1]
        if longer:
            shown = ", ".join(map(repr, longer[:3])) + (", …" if longer[3:] else "")
            raise UsageError(
                f"the ascii format writes one character code a label, and these labels are none: {shown}",
                remedy="use another format, such as csv",
            )
        self._codes = {label: upper_code_point(label) for label in labels}

    def write(self, prediction: Prediction) -> None:
        code = _NO_CODE if prediction.label is None else self._codes[prediction.label]
        path = "-" if prediction.path is None else one_line(prediction.path)
        self._sink.write(f"{code}, {path}\n".encode())
