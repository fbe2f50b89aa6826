"""Parse the graph of an untrusted ONNX file into plain objects, as strictly as onnxruntime might not.

The reader and onnxruntime have to see the same graph, else a check of one says nothing about the other.
So what protobuf's rules leave open is refused: a single field given twice (its parsers merge or overwrite),
a known field of another wire type (they skip it), a number too large for its field (they cut it off).

What is never needed by a network of images is refused here as well: functions, subgraphs, training graphs,
sparse tensors, tensors of strings, segments, sequences, maps and optional types.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

import numpy as np

from kalamos.errors import ModelFileError, UnsupportedModelError
from kalamos.model_file.protobuf import EXPORT_REMEDY, fields_of, varint

__all__ = [
    "BYTES_OF_TYPE",
    "Attribute",
    "DataType",
    "Graph",
    "Node",
    "Tensor",
    "ValueType",
    "read_graph",
    "type_name",
]

MAX_NODES: Final = 3_000
"""Nodes, and as many initializers. Of timm's classifiers, a Swin transformer has 600; onnxruntime
opens this many within a second or two."""

MAX_NAME_BYTES: Final = 1_024
"""Bytes of one name of a node, tensor, operator or attribute."""

MAX_LIST: Final = 256
"""Numbers in one attribute, names in one node."""

MAX_RANK: Final = 8
"""Dimensions of one tensor."""

MAX_WEIGHT_BYTES: Final = 128 * 2**20
"""Bytes of all initializers and constants once decoded; a ResNet-50 has 94 MB and opens in 370 MB."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class DataType:
    """The numbers of `onnx.TensorProto.DataType` that are allowed."""

    FLOAT, UINT8, INT8, INT32, INT64, BOOL, FLOAT16, DOUBLE = 1, 2, 3, 6, 7, 9, 10, 11


BYTES_OF_TYPE: Final[Mapping[int, int]] = {
    DataType.FLOAT: 4,
    DataType.UINT8: 1,
    DataType.INT8: 1,
    DataType.INT32: 4,
    DataType.INT64: 8,
    DataType.BOOL: 1,
    DataType.FLOAT16: 2,
    DataType.DOUBLE: 8,
}
"""Data type -> bytes of one element."""

_NUMPY: Final = {
    DataType.FLOAT: "<f4",
    DataType.UINT8: "u1",
    DataType.INT8: "i1",
    DataType.INT32: "<i4",
    DataType.INT64: "<i8",
    DataType.BOOL: "?",
    DataType.FLOAT16: "<f2",
    DataType.DOUBLE: "<f8",
}


def type_name(data_type: int) -> str:
    """A tensor's type as onnxruntime writes it.

    >>> type_name(DataType.FLOAT)
    'tensor(float)'
    """
    names = {number: name.lower() for name, number in vars(DataType).items() if name.isupper()}
    return f"tensor({names.get(data_type, f'type {data_type}')})"


@dataclass(frozen=True, slots=True)
class Tensor:
    """An initializer, or the value of an attribute."""

    name: str
    data_type: int
    shape: tuple[int, ...]
    numbers: tuple[float, ...] | None
    """Its elements in order, for up to `SMALL` integers or floats; None for more."""

    @property
    def size_bytes(self) -> int:
        return math.prod(self.shape) * BYTES_OF_TYPE[self.data_type]


SMALL: Final = 64
"""Elements of a tensor whose values are looked at: shapes, axes, scales, zero points."""

Attribute: TypeAlias = int | float | str | Tensor | tuple[int, ...] | tuple[float, ...] | tuple[str, ...]


class Node(NamedTuple):
    """One operator, with the names of what it takes and gives; "" for what is left out."""

    place: int
    name: str
    domain: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]

    def __str__(self) -> str:
        return f"node {self.place} ({self.operator}{f' {self.name[:60]!r}' if self.name else ''})"


class ValueType(NamedTuple):
    """What the graph declares of an input or output; a dimension without a number is None."""

    name: str
    data_type: int
    shape: tuple[int | None, ...] | None


class Graph(NamedTuple):
    opset: int
    """Version of ONNX's own operators."""
    nodes: tuple[Node, ...]
    initializers: tuple[Tensor, ...]
    inputs: tuple[ValueType, ...]
    outputs: tuple[ValueType, ...]


def read_graph(data: bytes) -> Graph:
    """The graph of an ONNX model that uses nothing but plain operators on plain tensors.

    Raises:
        UnsupportedModelError: functions, subgraphs or other things that are never needed, or too many of
            those that are.
        ModelFileError: damaged.
    """
    model = _Message(memoryview(data), "the model")
    for number, what in {20: "training graphs", 25: "functions of its own"}.items():
        if model.messages(number):
            raise _unsupported(f"the model has {what}")
    graph_bytes = model.single(7)
    if graph_bytes is None:
        raise _damaged("it holds no graph")
    graph = _Message(graph_bytes, "the graph")
    if graph.messages(15):
        raise _unsupported("the graph has sparse tensors")
    for what, count in (("nodes", len(graph.messages(1))), ("initializers", len(graph.messages(5)))):
        if count > MAX_NODES:
            raise _unsupported(f"the graph has {count:,} {what}, where {MAX_NODES:,} are allowed")
    initializers = tuple(_tensor(each, f"initializer {i}") for i, each in enumerate(graph.messages(5)))
    nodes = tuple(_node(place, each) for place, each in enumerate(graph.messages(1)))
    constants = (value for node in nodes for value in node.attributes.values() if isinstance(value, Tensor))
    _check_weights(initializers, constants)
    return Graph(
        opset=_opset(model.messages(8)),
        nodes=nodes,
        initializers=initializers,
        inputs=tuple(map(_value_type, graph.messages(11))),
        outputs=tuple(map(_value_type, graph.messages(12))),
    )


def _check_weights(initializers: Iterable[Tensor], constants: Iterable[Tensor]) -> None:
    size = sum(tensor.size_bytes for tensor in (*initializers, *constants))
    if size > MAX_WEIGHT_BYTES:
        raise _unsupported(
            f"its weights take {size >> 20:,} MiB, where {MAX_WEIGHT_BYTES >> 20} MiB are allowed"
        )


def _opset(imports: list[memoryview]) -> int:
    versions: dict[str, int] = {}
    for each in imports:
        message = _Message(each, "an opset")
        domain = message.text(1)
        domain = "" if domain == "ai.onnx" else domain
        if domain in versions:
            raise _damaged(f"two versions of the operators {domain!r}")
        versions[domain] = message.number(2)
    if "" not in versions:
        raise _damaged("it does not say which version of ONNX's operators it uses")
    return versions[""]


def _node(place: int, payload: memoryview) -> Node:
    where = f"node {place}"
    message = _Message(payload, where)
    attributes: dict[str, Attribute] = {}
    for each in message.messages(5):
        name, value = _attribute(each, where)
        if name in attributes:
            raise _damaged(f"{where} has the attribute {name!r} twice")
        attributes[name] = value
    inputs, outputs = message.texts(1), message.texts(2)
    if max(len(inputs), len(outputs), len(attributes)) > MAX_LIST:
        raise _unsupported(f"{where} has more than {MAX_LIST} inputs, outputs or attributes")
    if message.text(8):
        raise _unsupported(f"{where} calls a function of the model's own")
    domain = message.text(7)
    return Node(
        place=place,
        name=message.text(3),
        domain="" if domain == "ai.onnx" else domain,
        operator=message.text(4),
        inputs=inputs,
        outputs=outputs,
        attributes=attributes,
    )


def _attribute(payload: memoryview, where: str) -> tuple[str, Attribute]:
    message = _Message(payload, where)
    name = message.text(1)
    message.where = where = f"attribute {name[:60]!r} of {where}"
    for number, what in _REFUSED.items():
        if message.has(number):
            raise _unsupported(f"{where} holds {what}", remedy="control flow (If, Loop, Scan) is not run")
    kind = message.small(20)
    if kind not in _READERS:
        raise _unsupported(f"{where} is of the kind {kind}")
    value = _READERS[kind](message)
    if isinstance(value, tuple) and len(value) > MAX_LIST:
        raise _unsupported(f"{where} has {len(value):,} values, where {MAX_LIST} are allowed")
    return name, value


_REFUSED: Final = {
    6: "a graph",
    10: "tensors",
    11: "graphs",
    14: "a type",
    15: "types",
    21: "a reference to a function's",
    22: "a sparse tensor",
    23: "sparse tensors",
}
"""Fields of an attribute that no plain operator needs."""


def _tensor_attribute(message: _Message) -> Tensor:
    payload = message.single(5)
    if payload is None:
        raise _damaged(f"{message.where} lacks its tensor")
    return _tensor(payload, message.where)


_READERS: Final[Mapping[int, Callable[[_Message], Attribute]]] = {
    1: lambda message: message.float32(2),
    2: lambda message: message.number(3),
    3: lambda message: message.text(4),
    4: _tensor_attribute,
    6: lambda message: message.float32s(7),
    7: lambda message: message.numbers(8),
    8: lambda message: message.texts(9),
}
"""`AttributeProto.AttributeType` -> how its value is read, of the kinds that are allowed."""


def _tensor(payload: memoryview, where: str) -> Tensor:
    message = _Message(payload, where)
    name, data_type = message.text(8), message.small(2)
    where = f"tensor {name[:60]!r}" if name else f"the tensor of {where}"
    if data_type not in BYTES_OF_TYPE:
        raise _unsupported(f"{where} is of the data type {data_type}")
    if message.has(3) or message.has(6):
        raise _unsupported(f"{where} holds a segment or strings")
    shape = message.numbers(1)
    if len(shape) > MAX_RANK or any(not 0 <= side < 2**31 for side in shape):
        raise _unsupported(f"{where} has the shape {list(shape[: MAX_RANK + 1])}")
    count = math.prod(shape)
    if count * BYTES_OF_TYPE[data_type] > MAX_WEIGHT_BYTES:
        raise _unsupported(f"{where} has {count:,} elements")
    stored, numbers = _elements(message, data_type, count)
    if stored != count:
        raise _damaged(f"{where} has {stored:,} elements, where its shape asks for {count:,}")
    return Tensor(name, data_type, shape, numbers)


def _elements(message: _Message, data_type: int, count: int) -> tuple[int, tuple[float, ...] | None]:
    """How many elements are stored; and they themselves, where they are few."""
    content = message.single(9)
    if content is not None:
        size = BYTES_OF_TYPE[data_type]
        if len(content) % size:
            raise _damaged(f"{message.where} ends within a number")
        stored = len(content) // size
        if stored != count or count > SMALL:
            return stored, None
        return stored, tuple(np.frombuffer(content, _NUMPY[data_type]).tolist())
    if data_type == DataType.FLOAT:
        return _fixed(message.packed(4, _FIXED32), "<f4", count)
    if data_type == DataType.DOUBLE:
        return _fixed(message.packed(10, _FIXED64), "<f8", count)
    parts = message.packed(7 if data_type == DataType.INT64 else 5, _VARINT)
    # The last byte of each number alone is below 128.
    stored = sum(int(np.count_nonzero(np.frombuffer(part, np.uint8) < 0x80)) for part in parts)
    if stored != count or count > SMALL or data_type not in {DataType.INT64, DataType.INT32, DataType.BOOL}:
        return stored, None
    numbers = tuple(number for part in parts for number in _varints(part))
    if data_type == DataType.INT32 and any(not -(2**31) <= number < 2**31 for number in numbers):
        raise _damaged(f"{message.where} has a number out of range")
    return stored, numbers


def _fixed(parts: list[memoryview], numpy_type: str, count: int) -> tuple[int, tuple[float, ...] | None]:
    size = int(numpy_type[-1])
    if any(len(part) % size for part in parts):
        raise _damaged("a tensor ends within a number")
    stored = sum(map(len, parts)) // size
    if stored != count or count > SMALL:
        return stored, None
    return stored, tuple(value for part in parts for value in np.frombuffer(part, numpy_type).tolist())


def _value_type(payload: memoryview) -> ValueType:
    message = _Message(payload, "a value's type")
    name = message.text(1)
    type_bytes = message.single(2)
    if type_bytes is None:
        return ValueType(name, 0, None)
    declared = _Message(type_bytes, f"the type of {name[:60]!r}")
    if any(declared.messages(number) for number in (4, 5, 7, 8, 9)):
        raise _unsupported(f"{name[:60]!r} is not a plain tensor")
    tensor_bytes = declared.single(1)
    if tensor_bytes is None:
        return ValueType(name, 0, None)
    tensor = _Message(tensor_bytes, declared.where)
    shape_bytes = tensor.single(2)
    shape = None
    if shape_bytes is not None:
        dimensions = [
            _Message(each, declared.where) for each in _Message(shape_bytes, declared.where).messages(1)
        ]
        shape = tuple(each.number(1) if each.has(1) else None for each in dimensions)
        if len(shape) > MAX_RANK or any(side is not None and not 0 <= side < 2**31 for side in shape):
            raise _unsupported(f"{name[:60]!r} is declared with the shape {list(shape[: MAX_RANK + 1])}")
        for each in dimensions:
            each.text(2)
    return ValueType(name, tensor.small(1), shape)


class _Message:
    """The fields of one protobuf message, by number; each is asked for with the wire type it has to have."""

    def __init__(self, payload: memoryview, where: str) -> None:
        self.where = where
        self._fields: dict[int, list[tuple[int, memoryview]]] = {}
        for number, wire_type, content in fields_of(payload):
            self._fields.setdefault(number, []).append((wire_type, content))

    def has(self, number: int) -> bool:
        return number in self._fields

    def messages(self, number: int) -> list[memoryview]:
        """The contents of a field of bytes, once for each time it is there."""
        found = self._fields.get(number, [])
        if any(wire_type != _BYTES for wire_type, _ in found):
            raise _damaged(f"{self.where} has a field {number} of another kind")
        return [content for _, content in found]

    def single(self, number: int) -> memoryview | None:
        """The content of a field of bytes that may be there once."""
        found = self.messages(number)
        self._once(number, len(found))
        return found[0] if found else None

    def text(self, number: int) -> str:
        found = self.single(number)
        return "" if found is None else self._decoded(found)

    def texts(self, number: int) -> tuple[str, ...]:
        return tuple(map(self._decoded, self.messages(number)))

    def number(self, number: int) -> int:
        """An int64 that may be there once; 0 where it is not."""
        found = self._fields.get(number, [])
        self._once(number, len(found))
        if not found:
            return 0
        [(wire_type, content)] = found
        if wire_type != _VARINT:
            raise _damaged(f"{self.where} has a field {number} of another kind")
        return _varints(content)[0]

    def small(self, number: int) -> int:
        """An int32 or an enumeration, which protobuf would cut to 32 bits."""
        value = self.number(number)
        if not -(2**31) <= value < 2**31:
            raise _damaged(f"{self.where} has a number out of range")
        return value

    def numbers(self, number: int) -> tuple[int, ...]:
        """int64s, packed or one by one."""
        return tuple(int(value) for part in self.packed(number, _VARINT) for value in _varints(part))

    def float32(self, number: int) -> float:
        found = self._fields.get(number, [])
        self._once(number, len(found))
        if not found:
            return 0.0
        [(wire_type, content)] = found
        if wire_type != _FIXED32:
            raise _damaged(f"{self.where} has a field {number} of another kind")
        value: float = struct.unpack("<f", content)[0]
        return value

    def float32s(self, number: int) -> tuple[float, ...]:
        parts = self.packed(number, _FIXED32)
        if any(len(part) % 4 for part in parts):
            raise _damaged(f"{self.where} ends within a number")
        return tuple(value for part in parts for (value,) in struct.iter_unpack("<f", part))

    def packed(self, number: int, wire_type: int) -> list[memoryview]:
        """The contents of a repeated field of numbers."""
        found = self._fields.get(number, [])
        if any(kind not in {wire_type, _BYTES} for kind, _ in found):
            raise _damaged(f"{self.where} has a field {number} of another kind")
        return [content for _, content in found]

    def _once(self, number: int, count: int) -> None:
        if count > 1:
            raise _damaged(f"{self.where} has the field {number} {count} times")

    def _decoded(self, payload: memoryview) -> str:
        if len(payload) > MAX_NAME_BYTES:
            raise _unsupported(f"{self.where} has a name of {len(payload):,} bytes")
        try:
            return str(payload, "utf-8")
        except UnicodeDecodeError:
            raise _damaged(f"a name in {self.where} is not UTF-8") from None


def _varints(payload: memoryview) -> list[int]:
    values, position = [], 0
    while position < len(payload):
        value, position = varint(payload, position)
        if value >= 2**64:
            raise _damaged("a number out of range")
        values.append(value - 2**64 if value >= 2**63 else value)
    return values


def _damaged(how: str) -> ModelFileError:
    return ModelFileError(f"not an ONNX model, or a damaged one: {how}", remedy=EXPORT_REMEDY)


def _unsupported(what: str, *, remedy: str = EXPORT_REMEDY) -> UnsupportedModelError:
    return UnsupportedModelError(what, remedy=remedy)
