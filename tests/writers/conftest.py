from __future__ import annotations

import io
from collections.abc import Callable, Iterable

import pytest

from kalamos.errors import NoInkError
from kalamos.predictions import Candidate, Prediction
from kalamos.writers import open_writer

Write = Callable[..., bytes]


@pytest.fixture
def five() -> list[Prediction]:
    """One of each kind: what every format is shown with."""
    return [
        Prediction("7", 0.9981234567, (Candidate("7", 0.9981234567), Candidate("1", 1e-6)), path="img/7.png"),
        Prediction(
            None, 0.45, (Candidate("a", 0.45), Candidate("o", 0.4)), path="img/smudge.png", abstained=True
        ),
        Prediction(None, None, path="img/blank.png", error=NoInkError("nothing is written on it")),
        Prediction("a", 0.75, (Candidate("a", 0.75), Candidate("=", 0.25)), path="=1+1.png"),
        Prediction("ب", 1.0, (Candidate("ب", 1.0),), path="صور/ب.png"),
    ]


@pytest.fixture
def write() -> Write:
    def write(
        name: str, predictions: Iterable[Prediction], *, labels: Iterable[str] = "17ao=ب", top_k: int = 2
    ) -> bytes:
        sink = io.BytesIO()
        with open_writer(name, sink, labels=list(labels), top_k=top_k) as writer:
            for prediction in predictions:
                writer.write(prediction)
        return sink.getvalue()

    return write
