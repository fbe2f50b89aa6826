"""TorchScript, `.pt2`, and what `torch.save` makes: the whole network as a pickle, or its weights alone.

TorchScript is deprecated in PyTorch, and still what many programs load (`torch.jit.load`, libtorch); `.pt2`
is PyTorch's own exported program, for any batch size. A pickle and a state dict have no place for the spec,
which goes into a file beside them. The pickle finds its classes in the kalamos that is installed where it
is loaded, and loading one runs whatever its maker put into it: trust it only because you made it.
"""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kalamos.learn.export.base import SPEC_FILE, Answer, Format
from kalamos.learn.models import StagedNetwork, create_model
from kalamos.model_file import ModelSpec

__all__ = ["FULL", "PT2", "STATE_DICT", "TORCHSCRIPT"]


def _encode_torchscript(network: StagedNetwork, spec: ModelSpec) -> bytes:
    """Trace, not script: any architecture can be traced, and what a trace may lose the parity check sees."""
    stream = io.BytesIO()
    with _without_warnings(), torch.no_grad():
        traced = torch.jit.trace(network, _example(spec), check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(traced, stream, _extra_files={SPEC_FILE: spec.to_json().encode()})
    return _without_debug_records(stream.getvalue())


def _decode_torchscript(content: bytes, spec: ModelSpec) -> Answer:  # noqa: ARG001  (a format's signature)
    with _without_warnings():
        return _answer_of(torch.jit.load(io.BytesIO(content)))  # type: ignore[no-untyped-call]


def _without_debug_records(content: bytes) -> bytes:
    """Drop `*.debug_pkl` from an archive: optional, and full of this machine's source paths."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(stream, "w") as slim:
        for entry in archive.infolist():
            if not entry.filename.endswith(".debug_pkl"):
                # A new entry: the old one's padding belongs to its old place. Its date is 1980's.
                slim.writestr(zipfile.ZipInfo(entry.filename), archive.read(entry))
    return stream.getvalue()


def _encode_pt2(network: StagedNetwork, spec: ModelSpec) -> bytes:
    batch = torch.export.Dim("batch", min=1)
    stream = io.BytesIO()
    with _without_warnings():
        program = torch.export.export(network, (_example(spec),), dynamic_shapes=({0: batch},))
        _forget_sources(program)
        torch.export.save(program, stream, extra_files={SPEC_FILE: spec.to_json()})
    return stream.getvalue()


def _decode_pt2(content: bytes, spec: ModelSpec) -> Answer:  # noqa: ARG001
    with _without_warnings():
        return _answer_of(torch.export.load(io.BytesIO(content)).module())


def _forget_sources(program: torch.export.ExportedProgram) -> None:
    """Remove the stack traces, which hold this machine's source paths."""
    for module in program.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                node.meta.pop("stack_trace", None)


def _encode_network(network: StagedNetwork, spec: ModelSpec) -> bytes:  # noqa: ARG001
    return _saved(network)


def _decode_network(content: bytes, spec: ModelSpec) -> Answer:  # noqa: ARG001
    # Our own bytes, made a moment ago. Its mode stays as it was saved, as it will for every user.
    return _answer_of(torch.load(io.BytesIO(content), weights_only=False))


def _encode_weights(network: StagedNetwork, spec: ModelSpec) -> bytes:  # noqa: ARG001
    return _saved(network.state_dict())


def _decode_weights(content: bytes, spec: ModelSpec) -> Answer:
    network = create_model(spec.architecture, len(spec.alphabet), known=spec.known is not None).eval()
    network.load_state_dict(torch.load(io.BytesIO(content), weights_only=True))
    return _answer_of(network)


def _example(spec: ModelSpec) -> Tensor:
    return torch.zeros(2, 1, spec.input_size, spec.input_size)


def _saved(what: object) -> bytes:
    stream = io.BytesIO()
    torch.save(what, stream)
    return stream.getvalue()


def _answer_of(network: nn.Module) -> Answer:
    def answer(images: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            logits: NDArray[np.float32] = network(torch.from_numpy(images)).numpy()
        return logits

    return answer


@contextmanager
def _without_warnings() -> Iterator[None]:
    """TorchScript warns that it is deprecated, the exporter about its own internals."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


TORCHSCRIPT = Format(
    "torchscript", ".torchscript.pt", _encode_torchscript, _decode_torchscript, "torch.jit.load({})"
)
PT2 = Format("pt2", ".pt2", _encode_pt2, _decode_pt2, "torch.export.load({}).module()")
FULL = Format(
    "full",
    ".full.pt",
    _encode_network,
    _decode_network,
    "torch.load({}, weights_only=False)",
    spec_beside=True,
)
STATE_DICT = Format(
    "state-dict",
    ".state-dict.pt",
    _encode_weights,
    _decode_weights,
    "network.load_state_dict(torch.load({}, weights_only=True))",
    spec_beside=True,
)
