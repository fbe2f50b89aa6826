"""What a network knows of an image before its last layer says which class it is: the embedding."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from kalamos.errors import ModelFileError
from kalamos.model_file.graph import read_graph
from kalamos.model_file.load import LOGITS_OUTPUT, Session, open_graph
from kalamos.model_file.protobuf import fields_of
from kalamos.model_file.spec import ModelSpec

__all__ = ["Embedding"]

MODEL_GRAPH, GRAPH_OUTPUT, VALUE_NAME, VALUE_TYPE, TYPE_TENSOR = 7, 12, 1, 2, 1
"""Field numbers in ONNX's messages."""

BYTES_FIELD: Final = 2
"""Wire type of texts and of messages within messages."""

FLOAT_TENSOR: Final = b"\x08\x01"
"""A tensor's type: elem_type = FLOAT."""


class Embedding:
    """All of a network but its last dense layer; needs no package but onnxruntime.

    Args:
        content: a model file that `open_model` takes.
        spec: what it says of itself.
        where: what to call it in messages.

    Raises:
        ModelFileError: its logits do not come out of a dense layer.
    """

    def __init__(self, content: bytes, spec: ModelSpec, where: str) -> None:
        layer = next((each for each in read_graph(content).nodes if LOGITS_OUTPUT in each.outputs), None)
        if layer is None or layer.operator != "Gemm":
            raise ModelFileError(f"{where}: its logits do not come out of a dense layer (Gemm)")
        self._tensor = layer.inputs[0]
        self._session: Session = open_graph(_with_output(content, self._tensor), spec, where)

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Normalised images float32 [N, 1, S, S], N at least 1 -> what the last layer takes, float32 [N, D].

        Raises:
            ModelAnswerError: the network fails on them, or answers NaN or infinity.
        """
        return self._session.run([self._tensor], batch)[0]


def _with_output(content: bytes, tensor: str) -> bytes:
    """The model file with one of its graph's tensors as a further output."""
    typed = _field(VALUE_TYPE, _field(TYPE_TENSOR, FLOAT_TENSOR))
    output = _field(GRAPH_OUTPUT, _field(VALUE_NAME, tensor.encode()) + typed)
    return b"".join(
        _field(number, bytes(payload) + (output if number == MODEL_GRAPH else b""), wire_type)
        for number, wire_type, payload in fields_of(memoryview(content))
    )


def _field(number: int, payload: bytes, wire_type: int = BYTES_FIELD) -> bytes:
    length = _varint(len(payload)) if wire_type == BYTES_FIELD else b""
    return _varint(number << 3 | wire_type) + length + payload


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])
