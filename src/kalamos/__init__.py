"""kalamos reads handwritten characters: one on a picture, or many on a page.

>>> import kalamos
>>> kalamos.load("digits").labels
('0', '1', '2', '3', '4', '5', '6', '7', '8', '9')

What the command says, the library says too: `load`, `read`, `train`, `evaluate`, `compare`, `inspect`,
`export`, `fine_tune`, `load_dataset` and `list_models`.

Names load when they are first used, so that `import kalamos` costs nothing. It sets
ORT_DISABLE_TELEMETRY=1 unless that is set: see `kalamos.privacy`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kalamos._version import __version__

if TYPE_CHECKING:
    from kalamos import errors, sheets
    from kalamos.alphabets import Alphabet
    from kalamos.datasets import load_dataset
    from kalamos.errors import ImageError, KalamosError, ModelError, NoInkError
    from kalamos.evaluation.evaluate import evaluate
    from kalamos.finetune import fine_tune
    from kalamos.forms import Form
    from kalamos.inspection import inspect
    from kalamos.learn import Recipe, Run, train
    from kalamos.learn.compare import compare
    from kalamos.learn.export import export_model as export
    from kalamos.pages import Page, read
    from kalamos.predict_options import PredictOptions
    from kalamos.predictions import Candidate, Prediction
    from kalamos.recognizer import Recognizer, load
    from kalamos.results import Results
    from kalamos.zoo import names as list_models

_HOMES = {
    "Alphabet": "alphabets",
    "Candidate": "predictions",
    "Form": "forms",
    "ImageError": "errors",
    "KalamosError": "errors",
    "ModelError": "errors",
    "NoInkError": "errors",
    "Page": "pages",
    "PredictOptions": "predict_options",
    "Prediction": "predictions",
    "Recipe": "learn",
    "Recognizer": "recognizer",
    "Results": "results",
    "Run": "learn",
    "compare": "learn.compare",
    "evaluate": "evaluation.evaluate",
    "export": "learn.export:export_model",
    "fine_tune": "finetune",
    "inspect": "inspection",
    "list_models": "zoo:names",
    "load": "recognizer",
    "load_dataset": "datasets",
    "read": "pages",
    "train": "learn",
}
"""Name -> the module that has it, and what it is called there if otherwise."""

__all__ = [
    "Alphabet",
    "Candidate",
    "Form",
    "ImageError",
    "KalamosError",
    "ModelError",
    "NoInkError",
    "Page",
    "PredictOptions",
    "Prediction",
    "Recipe",
    "Recognizer",
    "Results",
    "Run",
    "__version__",
    "compare",
    "errors",
    "evaluate",
    "export",
    "fine_tune",
    "inspect",
    "list_models",
    "load",
    "load_dataset",
    "read",
    "sheets",
    "train",
]

# Whatever imports onnxruntime in kalamos has passed here, in worker processes too.
import_module("kalamos.privacy").disable_telemetry()


def __getattr__(name: str) -> Any:
    if name in ("errors", "sheets"):
        return import_module(f"kalamos.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'kalamos' has no attribute {name!r}")
    home, _, there = _HOMES[name].partition(":")
    try:
        value = getattr(import_module(f"kalamos.{home}"), there or name)
    except ModuleNotFoundError as error:
        if not home.startswith("learn") or (error.name or "").startswith("kalamos"):
            raise
        missing = import_module("kalamos.errors").MissingExtraError
        raise missing(f"kalamos.{name} needs {error.name}, not installed here", extra="train") from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
