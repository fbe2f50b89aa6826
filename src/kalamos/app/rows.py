"""Predictions and models as the API's JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from kalamos.app.schema import Alphabet, Measured, Model
from kalamos.app.uploads import Upload
from kalamos.model_file import ModelSpec
from kalamos.predictions import Prediction
from kalamos.writers.json_objects import json_object

__all__ = ["answer_json", "described"]


def answer_json(
    model: str, uploads: Sequence[Upload], predictions: Sequence[Prediction], *, top_k: int, removed: bool
) -> bytes:
    """`schema.Answer`, its rows written as `kalamos predict -f json` writes them.

    >>> from kalamos.predictions import Candidate
    >>> read = Prediction("7", 0.998, (Candidate("7", 0.998),))
    >>> print(answer_json("digits", [Upload(b"", "7.png", "7.png")], [read], top_k=1, removed=False).decode())
    {"model": "digits", "results": [
    {"path": "7.png", "label": "7", "confidence": 0.998000, "abstained": false, "error": null, \
"top": [{"label": "7", "confidence": 0.998000}], "code": null}
    ]}
    """
    rows = [
        f"{json_object(replace(prediction, path=upload.name), top_k, removed)[:-1]}, "
        f'"code": {_code(prediction)}}}'
        for upload, prediction in zip(uploads, predictions, strict=True)
    ]
    results = ",\n".join(rows)
    return f'{{"model": {json.dumps(model)}, "results": [\n{results}\n]}}'.encode()


def _code(prediction: Prediction) -> str:
    return "null" if prediction.error is None else f'"{prediction.error.summary.replace(" ", "_")}"'


def described(name: str, spec: ModelSpec) -> Model:
    """What `/v1/models` says of a model: nothing of where it lies."""
    return Model(
        name=name,
        architecture=spec.architecture,
        parameters=spec.parameters,
        alphabet=Alphabet(name=spec.alphabet.name, labels=list(spec.alphabet.labels)),
        input_size=spec.input_size,
        min_confidence=spec.min_confidence,
        target_accuracies=[] if spec.selective is None else [p.accuracy for p in spec.selective.points],
        metrics=[
            Measured(dataset=m.dataset, split=m.split, n=m.n, accuracy=m.accuracy, interval=m.interval)
            for m in spec.metrics
        ],
        licence=spec.licence,
    )
