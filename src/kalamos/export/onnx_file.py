"""Write a run as a kalamos model file: the network in ONNX, its `ModelSpec` in the metadata."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from dataclasses import replace
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from kalamos._version import __version__
from kalamos.architectures import StagedNetwork, count_parameters
from kalamos.atomic import atomic_write
from kalamos.errors import ExportError, PreprocessingError
from kalamos.export.parity import check_parity
from kalamos.model_file import METADATA_KEY, Metric, ModelSpec, TrainingRecord, open_model
from kalamos.preprocessing import Preprocessor
from kalamos.training.run import Run

__all__ = ["default_destination", "export_run", "record_metric"]

INPUT, LOGITS = "images", "logits"


def export_run(run: Run, name: str, destination: Path) -> ModelSpec:
    """Export a run's network; nothing is written unless the file reads back with the same logits.

    Args:
        name: what the model calls itself.
        destination: the `.onnx` file, written whole or not at all.

    Returns:
        The spec that the file now carries.

    Raises:
        ExportError: the exported graph answers differently from the network, or the preprocessing
            leaves images of different sizes.
        ModelFileError: the name is blank, or weights are NaN or infinite.
        OutputError: the file cannot be written.
    """
    try:
        size = Preprocessor(run.recipe.preprocessing).output_size()
    except PreprocessingError as error:
        raise ExportError(error.problem, remedy=error.remedy) from error
    spec = ModelSpec(
        name=name,
        architecture=run.recipe.arch,
        parameters=count_parameters(run.network),
        alphabet=run.alphabet,
        preprocessing=tuple(run.recipe.preprocessing),
        input_size=size,
        temperature=run.temperature,
        min_confidence=0.0,
        feature_maps=tuple(run.network.stages),
        training=TrainingRecord(
            dataset=run.recipe.dataset,
            split="train",
            n=run.train_count,
            sha256=run.data_sha256,
            recipe=run.recipe.to_mapping(),
            seed=run.recipe.seed,
            date=run.created[:10],
            torch=run.environment["torch"],
        ),
        metrics=(),
        licence="Apache-2.0",
        kalamos_version=__version__,
        created=run.created[:10],
    )
    model = _to_onnx(run.network, spec)
    content = _with_spec(model, spec)
    check_parity(run.network, open_model(content))
    with atomic_write(destination) as stream:
        stream.write(content)
    return spec


def record_metric(path: Path, metric: Metric) -> ModelSpec:
    """Store a measured figure in a model file, replacing an older one on the same data.

    Raises:
        ModelError: the file is not a kalamos model.
        OutputError: the file cannot be written.
    """
    spec = open_model(path).spec
    content = path.read_bytes()
    others = (m for m in spec.metrics if (m.dataset, m.split) != (metric.dataset, metric.split))
    spec = replace(spec, metrics=(*others, metric))
    content = _with_spec(onnx.load_from_string(content), spec)
    with atomic_write(path) as stream:
        stream.write(content)
    return spec


class _WithMaps(nn.Module):
    """The network, answering its logits and its stages' maps."""

    def __init__(self, network: StagedNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return self.network.forward_features(images)


def _to_onnx(network: StagedNetwork, spec: ModelSpec) -> onnx.ModelProto:
    example = torch.zeros(2, 1, spec.input_size, spec.input_size)
    # The exporter reports its progress on standard output and warns about its own internals.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            _WithMaps(network).eval(),
            (example,),
            dynamo=True,
            external_data=False,
            input_names=[INPUT],
            output_names=[LOGITS, *spec.feature_maps],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
            verbose=False,
        )
    if program is None:
        raise ExportError("PyTorch's exporter returned no model")
    model: onnx.ModelProto = program.model_proto
    _scrub(model)
    onnx.checker.check_model(model, full_check=True)
    return model


def _scrub(model: onnx.ModelProto) -> None:
    """Take out what the exporter says of the machine: source paths and stack traces."""
    model.doc_string = ""
    del model.metadata_props[:]
    model.graph.name = "kalamos"
    model.graph.doc_string = ""
    del model.graph.metadata_props[:]
    graph = model.graph
    for part in (*graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]


def _with_spec(model: onnx.ModelProto, spec: ModelSpec) -> bytes:
    onnx.helper.set_model_props(model, {METADATA_KEY: spec.to_json()})
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def default_destination(folder: str | os.PathLike[str]) -> Path:
    """RUN -> RUN.onnx, beside the run folder.

    >>> default_destination("runs/digits/").as_posix()
    'runs/digits.onnx'
    """
    return Path(f"{Path(folder)}.onnx")
