"""Character codes: `55, img/7.png`."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import BinaryIO

from kalamos.alphabets import upper_code_point
from kalamos.errors import UsageError
from kalamos.predictions import Prediction
from kalamos.writers.base import Writer
from kalamos.writers.escape import one_line

__all__ = ["AsciiWriter"]

_NOTHING = 0
"""NUL is no character, so it stands for an image without an answer, which keeps its line too."""


class AsciiWriter(Writer):
    """`[code in decimal], [path]` and nothing else, one line an image.

    The code is that of the label in upper case ("a" gives 65), where that is one code point
    ("ß" gives 223), and 0 where the image failed or the model abstained. `labels` must be
    all that the model can answer; `UsageError` if one is not a single code point (in NFC).

    >>> import io
    >>> sink = io.BytesIO()
    >>> with AsciiWriter(sink, labels=["7", "a"], top_k=1) as writer:
    ...     writer.write(Prediction("7", 0.998, path="img/7.png"))
    ...     writer.write(Prediction("a", 0.931, path="img/a.png"))
    >>> print(sink.getvalue().decode(), end="")
    55, img/7.png
    65, img/a.png
    """

    def __init__(self, sink: BinaryIO, *, labels: Sequence[str], top_k: int, removed: bool = False) -> None:
        super().__init__(sink, labels=labels, top_k=top_k, removed=removed)
        longer = [label for label in labels if len(unicodedata.normalize("NFC", label)) != 1]
        if longer:
            shown = ", ".join(map(repr, longer[:3])) + (", …" if longer[3:] else "")
            raise UsageError(
                f"the ascii format writes one character code a label, and these labels are none: {shown}",
                remedy="use another format, such as csv",
            )
        self._codes = {label: upper_code_point(label) for label in labels}

    def write(self, prediction: Prediction) -> None:
        code = _NOTHING if prediction.label is None else self._codes[prediction.label]
        path = "-" if prediction.path is None else one_line(prediction.path)
        self._sink.write(f"{code}, {path}\n".encode())
