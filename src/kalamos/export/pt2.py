"""`.pt2`: PyTorch's own exported program (`torch.export`), any batch size."""

from __future__ import annotations

import io
import warnings

import numpy as np
import torch
from numpy.typing import NDArray

from kalamos.architectures import StagedNetwork
from kalamos.export.base import SPEC_FILE, Format
from kalamos.export.parity import Answer
from kalamos.model_file import ModelSpec

__all__ = ["PT2"]


def encode(network: StagedNetwork, spec: ModelSpec) -> bytes:
    example = torch.zeros(2, 1, spec.input_size, spec.input_size)
    batch = torch.export.Dim("batch", min=1)
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns about its own internals
        program = torch.export.export(network, (example,), dynamic_shapes=({0: batch},))
        _forget_sources(program)
        torch.export.save(program, stream, extra_files={SPEC_FILE: spec.to_json()})
    return stream.getvalue()


def decode(content: bytes, spec: ModelSpec) -> Answer:  # noqa: ARG001  (it needs nothing but itself)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.export.load(io.BytesIO(content)).module()

    def answer(images: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            logits: NDArray[np.float32] = module(torch.from_numpy(images)).numpy()
        return logits

    return answer


def _forget_sources(program: torch.export.ExportedProgram) -> None:
    """Take out the stack traces, which hold this machine's source paths."""
    for module in program.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                node.meta.pop("stack_trace", None)


PT2 = Format("pt2", ".pt2", encode, decode, "torch.export.load({}).module()")
