"""JSON (RFC 8259): one array, or one object a line."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import BinaryIO

from kalamos.predictions import Prediction
from kalamos.writers.base import Writer
from kalamos.writers.escape import encodable

__all__ = ["JsonLinesWriter", "JsonWriter", "json_object"]

# JSON may hold these as they are, but `str.splitlines` and JavaScript before 2019 end a line at some, a
# terminal obeys some, and some turn the order of what is shown. Escaped, they are the same text to a reader.
_ESCAPED = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_encode = json.JSONEncoder(ensure_ascii=False).encode


class JsonLinesWriter(Writer):
    """An object a line. Confidences have six decimals.

    >>> import io
    >>> from kalamos.predictions import Candidate
    >>> sink = io.BytesIO()
    >>> with JsonLinesWriter(sink, labels="17", top_k=1) as writer:
    ...     writer.write(Prediction("7", 0.998, (Candidate("7", 0.998),), path="7.png"))
    >>> for key, value in json.loads(sink.getvalue()).items():
    ...     print(key, value)
    path 7.png
    label 7
    confidence 0.998
    abstained False
    error None
    top [{'label': '7', 'confidence': 0.998}]
    """

    def write(self, prediction: Prediction) -> None:
        self._sink.write(f"{json_object(prediction, self._top_k, self._removed)}\n".encode())


class JsonWriter(Writer):
    """One array of the objects that `JsonLinesWriter` writes, each on a line of its own.

    >>> import io
    >>> sink = io.BytesIO()
    >>> with JsonWriter(sink, labels="17", top_k=1) as writer:
    ...     pass
    >>> json.loads(sink.getvalue())
    []
    """

    def __init__(self, sink: BinaryIO, *, labels: Sequence[str], top_k: int, removed: bool = False) -> None:
        super().__init__(sink, labels=labels, top_k=top_k, removed=removed)
        # With the first row, so that what fails before it, such as the model, leaves nothing behind.
        self._separator = "[\n"

    def write(self, prediction: Prediction) -> None:
        self._sink.write(f"{self._separator}{json_object(prediction, self._top_k, self._removed)}".encode())
        self._separator = ",\n"

    def close(self) -> None:
        self._sink.write(b"[\n]\n" if self._separator.startswith("[") else b"\n]\n")


def json_object(prediction: Prediction, top_k: int, with_removed: bool) -> str:
    """The one object of a prediction, which every JSON that kalamos writes is made of."""
    # By hand, around the encoder for strings: three times as fast as a dict through the encoder.
    label, confidence = prediction.label, prediction.confidence
    top = ", ".join(
        [
            f'{{"label": {_label_string(label)}, "confidence": {_number(confidence)}}}'
            for label, confidence in prediction.top[:top_k]
        ]
    )
    removed = ""
    if with_removed:
        removed = f'"removed": {_number(prediction.removed)}, '
    return (
        f'{{"path": {"null" if prediction.path is None else _string(prediction.path)}, '
        f'"label": {"null" if label is None else _label_string(label)}, '
        f'"confidence": {_number(confidence)}, '
        f'{removed}"abstained": {"true" if prediction.abstained else "false"}, '
        f'"error": {"null" if prediction.error is None else _string(str(prediction.error))}, '
        f'"top": [{top}]}}'
    )


def _number(value: float | None) -> str:
    """A share as JSON, which knows neither NaN nor infinity.

    >>> _number(0.5), _number(float("nan")), _number(None)
    ('0.500000', 'null', 'null')
    """
    return "null" if value is None or not math.isfinite(value) else f"{value:.6f}"


def _string(text: str) -> str:
    encoded = _encode(encodable(text))
    if encoded.isprintable():
        return encoded
    return _ESCAPED.sub(lambda match: f"\\u{ord(match.group()):04x}", encoded)


# Labels are few and come in every row several times, paths never come twice.
_label_string = lru_cache(maxsize=1024)(_string)
