"""kalamos reads isolated handwritten characters.

>>> import kalamos
>>> kalamos.load("digits").labels
('0', '1', '2', '3', '4', '5', '6', '7', '8', '9')

Names load when they are first used, so that `import kalamos` costs nothing. It sets
ORT_DISABLE_TELEMETRY=1 unless that is set: see `kalamos.privacy`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kalamos._version import __version__

if TYPE_CHECKING:
    from kalamos import errors
    from kalamos.errors import ImageError, KalamosError, ModelError, NoInkError
    from kalamos.predictions import Candidate, Prediction
    from kalamos.recognizer import Recognizer, load
    from kalamos.results import Results

__all__ = [
    "Candidate",
    "ImageError",
    "KalamosError",
    "ModelError",
    "NoInkError",
    "Prediction",
    "Recognizer",
    "Results",
    "__version__",
    "errors",
    "load",
]

_HOMES = {
    "Candidate": "predictions",
    "ImageError": "errors",
    "KalamosError": "errors",
    "ModelError": "errors",
    "NoInkError": "errors",
    "Prediction": "predictions",
    "Recognizer": "recognizer",
    "Results": "results",
    "load": "recognizer",
}


# Whatever imports onnxruntime in kalamos has passed here, in worker processes too.
import_module("kalamos.privacy").disable_telemetry()


def __getattr__(name: str) -> Any:
    if name == "errors":
        return import_module("kalamos.errors")
    if name not in _HOMES:
        raise AttributeError(f"module 'kalamos' has no attribute {name!r}")
    value = getattr(import_module(f"kalamos.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
