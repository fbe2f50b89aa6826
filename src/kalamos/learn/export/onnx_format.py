"""A kalamos model file: the network in ONNX, its `ModelSpec` in the metadata."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import numpy as np
import onnx
import onnx.numpy_helper
import torch
from torch import Tensor, nn

from kalamos.errors import ExportError
from kalamos.learn.export.base import BATCH_SIZES, MAX_LOGIT_DIFFERENCE, Answer, Format, strokes
from kalamos.learn.loop import infer_known
from kalamos.learn.models import StagedNetwork
from kalamos.learn.models.base import fold_batch_norms
from kalamos.model_file import METADATA_KEY, Metric, ModelSpec, RobustnessRecord, open_model
from kalamos.model_file.load import KNOWN_OUTPUT
from kalamos.preprocessing import Preprocessor
from kalamos.utils.atomic_write import write_bytes
from kalamos.utils.sessions import open_onnx

__all__ = [
    "ONNX",
    "encode_as_half",
    "encode_onnx",
    "record_metric",
    "record_robustness",
    "round_to_half",
    "store_as_half",
    "with_spec",
]

Network = TypeVar("Network", bound=nn.Module)

INPUT, LOGITS = "images", "logits"

MIN_HALF_WEIGHTS = 64
"""Smaller tensors, biases mostly, are not worth a node."""


def record_metric(path: Path, metric: Metric) -> ModelSpec:
    """Store a measured figure in a model file, replacing an older one on the same data.

    Raises:
        ModelError: the file is not a kalamos model.
        OutputError: the file cannot be written.
    """
    spec = open_model(path).spec
    others = (m for m in spec.metrics if (m.dataset, m.split) != (metric.dataset, metric.split))
    return _store(path, replace(spec, metrics=(*others, metric)))


def record_robustness(path: Path, records: Iterable[RobustnessRecord]) -> ModelSpec:
    """Store figures under shift or against outliers, each replacing an older one of its kind and name.

    Raises:
        ModelError: the file is not a kalamos model.
        OutputError: the file cannot be written.
    """
    spec = open_model(path).spec
    kept = {(record.kind, record.name): record for record in (*spec.robustness, *records)}
    return _store(path, replace(spec, robustness=tuple(kept.values())))


def _store(path: Path, spec: ModelSpec) -> ModelSpec:
    model = onnx.load_from_string(path.read_bytes())
    others = {entry.key: entry.value for entry in model.metadata_props}  # what teaching remembers
    content = with_spec(model, spec, others)
    write_bytes(path, content)
    return spec


def with_licence(content: bytes, spec: ModelSpec, licence: str) -> bytes:
    """A model file's bytes with another licence; all else stays."""
    model = onnx.load_from_string(content)
    others = {entry.key: entry.value for entry in model.metadata_props}
    return with_spec(model, replace(spec, licence=licence), others)


def encode_onnx(network: StagedNetwork, spec: ModelSpec) -> bytes:
    content = with_spec(_to_onnx(network, spec), spec)
    if network.known is not None:
        _check_known(network, content, spec)
    return content


def _check_known(network: StagedNetwork, content: bytes, spec: ModelSpec) -> None:
    """Compare the output "known" on drawn strokes; the logits are compared for every format."""
    images = strokes(max(BATCH_SIZES), spec.input_size, np.random.default_rng(0))
    batch = Preprocessor(spec.preprocessing).batch(images)
    [answered] = open_model(content).graph.run([KNOWN_OUTPUT], batch)
    difference = float(np.abs(answered - infer_known(network, batch)).max())
    if not difference <= MAX_LOGIT_DIFFERENCE:
        raise ExportError(
            f"the onnx file's output {KNOWN_OUTPUT!r} differs from the network's by {difference:.2g}, "
            f"where {MAX_LOGIT_DIFFERENCE:g} is asked for",
            remedy="nothing was written",
        )


def decode_onnx(content: bytes, spec: ModelSpec) -> Answer:  # noqa: ARG001  (the content holds it)
    return open_model(content).logits


class _WithMaps(nn.Module):
    """The network, answering its logits, its known head's logit if it has one, and its stages' maps."""

    def __init__(self, network: StagedNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return self.network.forward_answers(images)


def _to_onnx(network: StagedNetwork, spec: ModelSpec) -> onnx.ModelProto:
    example = torch.zeros(2, 1, spec.input_size, spec.input_size)
    outputs = [LOGITS, *([] if network.known is None else [KNOWN_OUTPUT]), *spec.feature_maps]
    free = {0: torch.export.Dim("batch", min=1)}
    return _exported(_WithMaps(network).eval(), example, INPUT, outputs, free)


def _exported(
    network: nn.Module, example: Tensor, name: str, outputs: list[str], free: Mapping[int, object]
) -> onnx.ModelProto:
    """Run PyTorch's exporter on a network of one input, of which some axes are free."""
    # The exporter reports its progress on standard output and warns about its own internals.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            external_data=False,
            input_names=[name],
            output_names=outputs,
            dynamic_shapes=(dict(free),),
            verbose=False,
        )
    if program is None:
        raise ExportError("PyTorch's exporter returned no model")
    model: onnx.ModelProto = program.model_proto
    onnx.checker.check_model(model, full_check=True)
    return model


def encode_as_half(
    network: nn.Module,
    inputs: Sequence[Tensor],
    *,
    names: tuple[str, str],
    dynamic_shapes: Mapping[int, object],
    properties: Mapping[str, str],
    max_gap: float,
) -> bytes:
    """Encode a network of one input and one output, its weights rounded to float16: half the file.

    Args:
        network: stays as it is.
        inputs: the exporter sees the first; on each, the file must answer as the rounded network does.
        names: of the input and of the output.
        dynamic_shapes: axes of the input that are free -> their `torch.export.Dim`.
        properties: of the model.
        max_gap: largest difference of an answer from the network's.

    Raises:
        ExportError: PyTorch's exporter fails, or what it returns answers otherwise than the network.
    """
    rounded = round_to_half(network)
    model = _exported(rounded, inputs[0], names[0], [names[1]], dynamic_shapes)
    scrub(model)
    store_as_half(model)
    onnx.helper.set_model_props(model, dict(properties))
    content: bytes = model.SerializeToString(deterministic=True)
    session = open_onnx(content)
    for each in inputs:
        with torch.no_grad():
            expected = rounded(each).numpy()
        [answer] = session.run(None, {names[0]: each.numpy()})
        gap = float(np.abs(answer - expected).max())
        if not gap <= max_gap:
            raise ExportError(f"the exported network answers otherwise than the network itself, by {gap:.2g}")
    return content


def round_to_half(network: Network) -> Network:
    """Copy a network for export: in evaluation mode, batch norms folded, weights rounded to float16."""
    copy = deepcopy(network).eval().to(memory_format=torch.contiguous_format)
    fold_batch_norms(copy)
    for parameter in copy.parameters():
        parameter.data = parameter.data.half().float()
    return copy


def scrub(model: onnx.ModelProto) -> None:
    """Take out what PyTorch's exporter says of the machine: source paths and stack traces."""
    model.doc_string = ""
    del model.metadata_props[:]
    model.graph.name = "kalamos"
    model.graph.doc_string = ""
    del model.graph.metadata_props[:]
    graph = model.graph
    for part in (*graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]


def store_as_half(model: onnx.ModelProto) -> None:
    """Keep large weights, which are rounded to it already, as float16: onnxruntime widens them as it opens.

    Half the file; the graph that runs, and how fast, stays the same.
    """
    casts = []
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size >= MIN_HALF_WEIGHTS:
            name = tensor.name
            tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
            casts.append(onnx.helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:], model.graph.value_info[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model, full_check=True)


def with_spec(
    model: onnx.ModelProto, spec: ModelSpec, others: Mapping[str, str] = MappingProxyType({})
) -> bytes:
    """The model's bytes with the spec and no metadata but `others`, and nothing of the machine."""
    scrub(model)
    onnx.helper.set_model_props(model, {**others, METADATA_KEY: spec.to_json()})
    content: bytes = model.SerializeToString(deterministic=True)
    return content


ONNX = Format("onnx", ".onnx", encode_onnx, decode_onnx, "kalamos.load({})")
