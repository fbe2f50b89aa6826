"""A kalamos model is one `.onnx` file that knows everything: network, alphabet, preprocessing, figures.

`read_spec` tells what a file is; `open_model` makes it ready to run, after checks that let no file
read other files, answer NaN, or disagree with what it says about itself.
"""

from kalamos.model_file.embedding import Embedding
from kalamos.model_file.load import LoadedModel, check_model, open_graph, open_model, read_spec
from kalamos.model_file.spec import (
    FORMAT_VERSION,
    METADATA_KEY,
    KnownRecord,
    Metric,
    ModelSpec,
    OperatingPoint,
    Quantisation,
    RobustnessRecord,
    SelectiveAccuracy,
    TrainingRecord,
)

__all__ = [
    "FORMAT_VERSION",
    "METADATA_KEY",
    "Embedding",
    "KnownRecord",
    "LoadedModel",
    "Metric",
    "ModelSpec",
    "OperatingPoint",
    "Quantisation",
    "RobustnessRecord",
    "SelectiveAccuracy",
    "TrainingRecord",
    "check_model",
    "open_graph",
    "open_model",
    "read_spec",
]
