"""What an evaluation leaves behind: numbers for programs, pictures for people."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kalamos._version import __version__
from kalamos.atomic import atomic_write
from kalamos.datasets import Split
from kalamos.errors import OutputError
from kalamos.evaluation.evaluate import Evaluation
from kalamos.evaluation.pictures import encode_png, mistakes_sheet
from kalamos.model_file import Metric
from kalamos.recognizer import Recognizer

__all__ = ["as_metric", "metrics", "write_report"]


def as_metric(measured: Evaluation, dataset: str, split: str) -> Metric:
    """The figures in the form that a model file keeps."""
    return Metric(
        dataset=dataset,
        split=split,
        sha256=measured.sha256,
        n=measured.n,
        accuracy=measured.accuracy,
        interval=measured.interval,
        ece=measured.ece,
        date=datetime.now(UTC).date().isoformat(),
        kalamos_version=__version__,
    )


def metrics(measured: Evaluation) -> dict[str, Any]:
    """Everything measured, as plain JSON types; null for a class without images."""
    shares = [None if math.isnan(share) else share for share in measured.per_class_accuracy().tolist()]
    return {
        "n": measured.n,
        "accuracy": measured.accuracy,
        "interval_95": list(measured.interval),
        "unread": measured.unread,
        "ece": measured.ece,
        "per_class_accuracy": dict(zip(measured.labels, shares, strict=True)),
        "most_confused": [
            {"truth": truth, "predicted": predicted, "count": count}
            for truth, predicted, count in measured.most_confused(k=20)
        ],
        "confusion": measured.confusion.tolist(),
        "labels": list(measured.labels),
        "sha256": measured.sha256,
        "kalamos_version": __version__,
    }


def write_report(folder: Path, measured: Evaluation, split: Split, reader: Recognizer) -> None:
    """Write `metrics.json` and `mistakes.png` (each wrong image beside what the model saw).

    Raises:
        OutputError: the folder or a file cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror})") from error
    text = json.dumps(metrics(measured), indent=2, ensure_ascii=False) + "\n"
    for name, content in {
        "metrics.json": text.encode(),
        "mistakes.png": encode_png(mistakes_sheet(measured, split, reader)),
    }.items():
        with atomic_write(folder / name) as stream:
            stream.write(content)
