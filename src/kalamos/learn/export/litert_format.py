"""LiteRT (`.tflite`), which runs on phones: Android, iOS, and whatever has TensorFlow Lite.

litert-torch converts the program that PyTorch exports, without TensorFlow, for any batch size: who opens it
resizes the input, as the parity gate does. The file has no place for the spec, which goes into one beside it.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from kalamos.errors import require_extra
from kalamos.learn.export.base import Answer, Format
from kalamos.learn.models import StagedNetwork
from kalamos.model_file import ModelSpec

__all__ = ["LITERT"]

MAX_BATCH_IMAGES = 1024
"""The exported program wants an upper bound of its batch size; the file has none."""


def _encode(network: StagedNetwork, spec: ModelSpec) -> bytes:
    require_extra("litert", ("litert_torch", "ai_edge_litert"), what="LiteRT")
    import litert_torch

    litert_torch.config.show_progress = False  # it would print a line a pass
    batch = torch.export.Dim("batch", min=1, max=MAX_BATCH_IMAGES)
    example = torch.zeros(2, 1, spec.input_size, spec.input_size)
    converted = litert_torch.convert(network, (example,), dynamic_shapes=({0: batch},))
    content: bytes = converted.model_content()
    return content


def _decode(content: bytes, spec: ModelSpec) -> Answer:  # noqa: ARG001  (a format's signature)
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    [given], [answered] = interpreter.get_input_details(), interpreter.get_output_details()

    def answer(images: NDArray[np.float32]) -> NDArray[np.float32]:
        interpreter.resize_tensor_input(given["index"], images.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], images)
        interpreter.invoke()
        logits: NDArray[np.float32] = interpreter.get_tensor(answered["index"])
        return logits

    return answer


LITERT = Format(
    "litert",
    ".tflite",
    _encode,
    _decode,
    "ai_edge_litert.interpreter.Interpreter({})",
    spec_beside=True,
)
