"""What has to be known about an ONNX file before onnxruntime may open it.

An ONNX file is one protocol buffer, a `ModelProto`. This is a reader of the wire format
(https://protobuf.dev/programming-guides/encoding/) that knows the few field numbers of
onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto) under which tensors and metadata
lie. The `onnx` package would do it too, at 100 times the start-up cost.

A message is walked with a list of those still to come instead of recursion, so no nesting is too
deep; the number of fields is bounded, so is the time; payloads are views, so weights are not copied.
Only `ModelFileError` is raised, whatever the bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final, TypeAlias

import numpy as np

from kalamos.errors import ModelFileError

__all__ = ["EXPORT_REMEDY", "check_tensors", "fields_of", "keep_metadata", "read_metadata", "varint"]

EXPORT_REMEDY: Final = "write one with `kalamos export`"

MAX_PROTOBUF_FIELDS: Final = 200_000
"""A recogniser has some thousands; this many take half a second to walk."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZE: Final = {_FIXED64: 8, _FIXED32: 4}

_CHILDREN: Final[dict[str, dict[int, str]]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        22: "sparse tensor",
        23: "sparse tensor",
    },
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "tensor": {},
}
"""Message -> field number -> message inside it, for all that leads to a `TensorProto`."""

_MODEL_GRAPH, _MODEL_METADATA = 7, 14
_ENTRY_KEY, _ENTRY_VALUE = 1, 2
_ATTRIBUTE_NAME, _ATTRIBUTE_FLOAT, _ATTRIBUTE_FLOATS = 1, 2, 7
_TENSOR_TYPE, _TENSOR_FLOATS, _TENSOR_INT32S, _TENSOR_NAME = 2, 4, 5, 8
_TENSOR_RAW, _TENSOR_DOUBLES, _TENSOR_EXTERNAL, _TENSOR_LOCATION = 9, 10, 13, 14

_FloatFormat: TypeAlias = tuple[str, int]
_FLOAT16: Final = ("<u2", 0x7C00)
_BFLOAT16: Final = ("<u2", 0x7F80)
_FLOAT32: Final = ("<u4", 0x7F80_0000)
_FLOAT64: Final = ("<u8", 0x7FF0_0000_0000_0000)
_FORMAT_OF_TYPE: Final[dict[int, _FloatFormat]] = {
    1: _FLOAT32,
    10: _FLOAT16,
    11: _FLOAT64,
    14: _FLOAT32,  # complex64: two of them
    15: _FLOAT64,  # complex128
    16: _BFLOAT16,
}
"""`TensorProto.DataType` -> unsigned view and exponent bits. A number is finite unless all of those
are set (IEEE 754), and numpy has no bfloat16 to ask."""

_Field: TypeAlias = tuple[int, int, memoryview]
"""Field number, wire type, payload; the payload of a varint is its bytes."""


def read_metadata(data: bytes) -> dict[str, str]:
    """The `metadata_props` of the model.

    Raises `ModelFileError` if `data` is no ONNX model: not a protocol buffer, or one without a graph.

    >>> read_metadata(bytes([0x3A, 0, 0x72, 6, 0x0A, 1, 0x6B, 0x12, 1, 0x76]))
    {'k': 'v'}
    """
    _, fields = next(_messages(data))
    if not any(number == _MODEL_GRAPH and wire_type == _BYTES for number, wire_type, _ in fields):
        raise _damaged("it holds no graph")
    metadata = {}
    for number, wire_type, entry in fields:
        if number == _MODEL_METADATA and wire_type == _BYTES:
            key, value = _entry(entry)
            metadata[key] = value
    return metadata


def _entry(message: memoryview) -> tuple[str, str]:
    texts = {inner: _text(payload) for inner, kind, payload in fields_of(message) if kind == _BYTES}
    return texts.get(_ENTRY_KEY, ""), texts.get(_ENTRY_VALUE, "")


def keep_metadata(data: bytes, key: str) -> bytes:
    """Leave out all `metadata_props` of a model but those of one key; the rest stays as it is.

    Raises `ModelFileError` if `data` is no protocol buffer.

    >>> model = bytes([0x3A, 0, 0x72, 6, 0x0A, 1, 0x6B, 0x12, 1, 0x76])
    >>> keep_metadata(model, "k") == model, list(keep_metadata(model, "other"))
    (True, [58, 0])
    """
    parts = []
    for number, wire_type, payload in fields_of(memoryview(data)):
        if (number, wire_type) == (_MODEL_METADATA, _BYTES) and _entry(payload)[0] != key:
            continue
        parts.append(_varint_bytes(number << 3 | wire_type))
        if wire_type == _BYTES:
            parts.append(_varint_bytes(len(payload)))
        parts.append(bytes(payload))
    return b"".join(parts)


def _varint_bytes(value: int) -> bytes:
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def check_tensors(data: bytes) -> None:
    """Raise `ModelFileError` for tensors that lie in another file, and for weights that are NaN or infinite.

    Looks at initializers, node attributes, subgraphs, functions and training graphs. The tensors
    looked into are float16, bfloat16, float32, float64 and complex; 8-bit floats are not.

    >>> check_tensors(b"")
    >>> check_tensors(bytes([0x3A, 200]))
    Traceback (most recent call last):
    kalamos.errors.ModelFileError: not an ONNX model, or a damaged one: a number has no end; \
write one with `kalamos export`
    """
    for kind, fields in _messages(data):
        if kind == "tensor":
            _check_tensor(fields)
        elif kind == "attribute":
            _check_attribute(fields)


def _messages(data: bytes) -> Iterator[tuple[str, list[_Field]]]:
    """Every message of `_CHILDREN` with its fields, the model first."""
    allowance = MAX_PROTOBUF_FIELDS
    pending = [("model", memoryview(data))]
    while pending:
        kind, message = pending.pop()
        fields = list(islice(fields_of(message), allowance + 1))
        allowance -= len(fields)
        if allowance < 0:
            raise ModelFileError(
                f"the model has more than {MAX_PROTOBUF_FIELDS} protobuf fields, too many to check"
            )
        yield kind, fields
        inside = _CHILDREN[kind]
        pending += [
            (inside[number], payload)
            for number, wire_type, payload in fields
            if wire_type == _BYTES and number in inside
        ]


def fields_of(message: memoryview) -> Iterator[_Field]:
    """Yield the fields of one message, in order: number, wire type, payload (views, nothing is copied).

    Raises `ModelFileError` where it is damaged.

    >>> [(number, kind, list(payload)) for number, kind, payload in fields_of(memoryview(bytes([8, 7])))]
    [(1, 0, [7])]
    """
    position, end = 0, len(message)
    while position < end:
        tag, start = varint(message, position)
        if not 8 <= tag < 2**32:
            # protobuf would cut a longer tag to 32 bits and see another field than we do.
            raise _damaged("a field number out of range")
        wire_type = tag & 7
        if wire_type == _BYTES:
            length, start = varint(message, start)
            position = start + length
        elif wire_type == _VARINT:
            _, position = varint(message, start)
        elif wire_type in _FIXED_SIZE:
            position = start + _FIXED_SIZE[wire_type]
        else:
            # Groups (3, 4) left protobuf before ONNX began; 6 and 7 never were.
            raise _damaged(f"wire type {wire_type}")
        if position > end:
            raise _damaged("a field reaches past the end")
        yield tag >> 3, wire_type, message[start:position]


def varint(message: memoryview, position: int) -> tuple[int, int]:
    """The number at `position`, and where it ends."""
    if position < len(message) and (value := message[position]) < 0x80:
        return value, position + 1  # nearly all of them; twice as fast as the loop
    value = 0
    for shift, byte in enumerate(message[position : position + 10]):
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, position + shift + 1
    raise _damaged("a number has no end")


def _check_tensor(fields: list[_Field]) -> None:
    name, data_type = "", 0
    for number, _, payload in fields:
        if number == _TENSOR_EXTERNAL or (number == _TENSOR_LOCATION and varint(payload, 0)[0] != 0):
            # onnxruntime would open any path that is written here, or read any memory address.
            raise ModelFileError(
                "the model keeps tensors outside its own file (external data)",
                remedy="export it again with the weights inside",
            )
        if number == _TENSOR_NAME:
            name = _shown(payload)
        elif number == _TENSOR_TYPE:
            data_type = varint(payload, 0)[0]
    own = _FORMAT_OF_TYPE.get(data_type)
    where = f"tensor {name!r}"
    for number, wire_type, payload in fields:
        if number == _TENSOR_FLOATS:
            _check_finite(payload, _FLOAT32, where)
        elif number == _TENSOR_DOUBLES:
            _check_finite(payload, _FLOAT64, where)
        elif number == _TENSOR_RAW and wire_type == _BYTES and own:
            _check_finite(payload, own, where)
        elif number == _TENSOR_INT32S and own in {_FLOAT16, _BFLOAT16}:
            _check_finite_varints(payload, own[1], where)


def _check_attribute(fields: list[_Field]) -> None:
    name = next((_shown(payload) for number, _, payload in fields if number == _ATTRIBUTE_NAME), "")
    for number, _, payload in fields:
        if number in {_ATTRIBUTE_FLOAT, _ATTRIBUTE_FLOATS}:
            _check_finite(payload, _FLOAT32, f"attribute {name!r}")


def _check_finite(payload: memoryview, float_format: _FloatFormat, where: str) -> None:
    view, exponent = float_format
    if len(payload) % int(view[-1]):
        raise _damaged(f"{where} ends within a number")
    bits = np.frombuffer(payload, dtype=view)
    if bits.size and (bits & bits.dtype.type(exponent)).max() == exponent:
        raise _not_finite(where)


def _check_finite_varints(payload: memoryview, exponent: int, where: str) -> None:
    """16-bit floats may be stored as varints, 7 bits a byte and the lowest first: look at those bytes."""
    middle, high = 0x80 | (exponent >> 7 & 0x7F), exponent >> 14
    stored = np.frombuffer(b"\0" + payload, dtype=np.uint8)
    starts = (stored[:-3] < 0x80) & (stored[1:-2] >= 0x80)
    if np.any(starts & (stored[2:-1] & middle == middle) & (stored[3:] & high == high)):
        raise _not_finite(where)


def _damaged(how: str) -> ModelFileError:
    return ModelFileError(f"not an ONNX model, or a damaged one: {how}", remedy=EXPORT_REMEDY)


def _not_finite(where: str) -> ModelFileError:
    return ModelFileError(
        f"{where} holds NaN or infinity", remedy="export the model again from a sound checkpoint"
    )


def _text(payload: memoryview) -> str:
    try:
        return str(payload, "utf-8")
    except UnicodeDecodeError:
        raise _damaged("metadata that is not UTF-8") from None


def _shown(payload: memoryview) -> str:
    return str(payload[:80], "utf-8", "replace")
