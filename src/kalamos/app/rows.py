"""Predictions and models as the API's JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from math import isfinite

from kalamos.app.refusals import APIError
from kalamos.app.schema import Alphabet, Measured, Model
from kalamos.app.uploads import UploadedImage
from kalamos.model_file import ModelSpec
from kalamos.predictions import Prediction
from kalamos.writers.escape import encodable
from kalamos.writers.json_objects import json_object

__all__ = ["answer_json", "described"]


def answer_json(
    model: str,
    uploads: Sequence[UploadedImage],
    predictions: Sequence[Prediction],
    *,
    top_k: int,
    removed: bool,
) -> bytes:
    """`schema.Answer`, its rows written as `kalamos predict -f json` writes them.

    Raises:
        APIError: 503 where a confidence is no number, which JSON has no way to write.

    >>> from kalamos.predictions import Candidate
    >>> read = Prediction("7", 0.998, (Candidate("7", 0.998),))
    >>> image = UploadedImage(b"", "7.png", "7.png")
    >>> print(answer_json("digits", [image], [read], top_k=1, removed=False).decode())
    {"model": "digits", "results": [
    {"path": "7.png", "label": "7", "confidence": 0.998000, "abstained": false, "error": null, \
"top": [{"label": "7", "confidence": 0.998000}], "code": null}
    ]}
    """
    if not all(isfinite(candidate.confidence) for each in predictions for candidate in each.top):
        raise APIError(
            503, "model_unusable", f"the model {model!r} gave no numbers", remedy="use another model"
        )
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
        name=encodable(name),
        architecture=encodable(spec.architecture),
        parameters=spec.parameters,
        alphabet=Alphabet(name=encodable(spec.alphabet.name), labels=list(spec.alphabet.labels)),
        input_size=spec.input_size,
        min_confidence=spec.min_confidence,
        target_accuracies=[] if spec.selective is None else [p.accuracy for p in spec.selective.points],
        metrics=[
            Measured(
                dataset=encodable(m.dataset),
                split=encodable(m.split),
                n=m.n,
                accuracy=m.accuracy,
                interval=m.interval,
            )
            for m in spec.metrics
        ],
        licence=encodable(spec.licence),
    )
