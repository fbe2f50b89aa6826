"""TorchScript: deprecated in PyTorch, and still what many programs load (`torch.jit.load`, libtorch)."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from kalamos.architectures import StagedNetwork
from kalamos.export.base import SPEC_FILE, Format
from kalamos.export.parity import Answer
from kalamos.model_file import ModelSpec

__all__ = ["TORCHSCRIPT"]


def encode(network: StagedNetwork, spec: ModelSpec) -> bytes:
    """Traced, not scripted: any architecture can be, and what a trace may lose the parity gate sees."""
    example = torch.zeros(2, 1, spec.input_size, spec.input_size)
    stream = io.BytesIO()
    with _deprecation_is_known(), torch.no_grad():
        traced = torch.jit.trace(network, example, check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(traced, stream, _extra_files={SPEC_FILE: spec.to_json().encode()})
    return _without_debug_records(stream.getvalue())


def decode(content: bytes, spec: ModelSpec) -> Answer:  # noqa: ARG001  (it needs nothing but itself)
    with _deprecation_is_known():
        module = torch.jit.load(io.BytesIO(content))  # type: ignore[no-untyped-call]

    def answer(images: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            logits: NDArray[np.float32] = module(torch.from_numpy(images)).numpy()
        return logits

    return answer


@contextmanager
def _deprecation_is_known() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _without_debug_records(content: bytes) -> bytes:
    """The same archive without `*.debug_pkl`: optional, and full of this machine's source paths."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(stream, "w") as slim:
        for entry in archive.infolist():
            if not entry.filename.endswith(".debug_pkl"):
                # A new entry: the old one's padding belongs to its old place. Its date is 1980's.
                slim.writestr(zipfile.ZipInfo(entry.filename), archive.read(entry))
    return stream.getvalue()


TORCHSCRIPT = Format("torchscript", ".torchscript.pt", encode, decode, "torch.jit.load({})")
