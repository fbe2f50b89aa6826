"""Sizes of tensors whose first dimension depends on the number of images in a run.

A dimension is a whole number, or a multiple of that number of images: exporters write nothing else. So
every size grows with the images, and a bound that holds for 64 of them holds for fewer.

Which operators a model file may use, and what each makes of its inputs: the register and its common parts.

An operator is allowed where its function is registered here. The function infers, from what is known of the
inputs, the shapes and types of the outputs, the values of small whole numbers (shapes on their way to a
Reshape), and the work; what it cannot infer, it refuses. `layers` registers those that weigh, `shaping`
those that only move numbers about, this module those that work element by element.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Final, NamedTuple, NoReturn, TypeAlias

from kalamos.errors import UnsupportedModelError
from kalamos.model_file.graph import SMALL, Attribute, DataType, Node, Tensor

__all__ = [
    "FLOATS",
    "INTEGERS",
    "MAX_OPSET",
    "MIN_OPSET",
    "OPERATORS",
    "Batch",
    "Call",
    "Count",
    "Dimension",
    "Shape",
    "Value",
    "broadcast",
    "count_of",
    "operator",
    "shown_shape",
    "single",
]

MAX_NUMBER: Final = 2**53
"""Beyond this no size is told; onnxruntime's own arithmetic wraps at 2**63."""


@dataclass(frozen=True, slots=True)
class Batch:
    """`times` as many as there are images in a run."""

    times: int

    def __str__(self) -> str:
        return "N" if self.times == 1 else f"{self.times}N"


Dimension: TypeAlias = int | Batch
Shape: TypeAlias = tuple[Dimension, ...]


@dataclass(frozen=True, slots=True)
class Count:
    """`times` x N to the `power`, N being the number of images in a run.

    >>> (Count(3, 1) * Count(2, 1)).at(10)
    600
    """

    times: int
    power: int = 0

    def __mul__(self, other: Count) -> Count:
        return Count(self.times * other.times, self.power + other.power)

    def at(self, images: int) -> int:
        """The number for a run of so many images."""
        grown: int = images**self.power
        return self.times * grown

    def over(self, other: Count) -> Count | None:
        """The quotient; None where it leaves a rest or does not grow with N."""
        if other.times < 1 or self.times % other.times or self.power < other.power:
            return None
        return Count(self.times // other.times, self.power - other.power)


def count_of(shape: Iterable[Dimension]) -> Count:
    """The elements of a tensor.

    >>> count_of((Batch(2), 3, 4))
    Count(times=24, power=1)
    """
    shape = tuple(shape)
    times = math.prod(side.times if isinstance(side, Batch) else side for side in shape)
    return Count(times, sum(isinstance(side, Batch) for side in shape))


def single(count: Count) -> Dimension | None:
    """One dimension of so many; None where N is in it more than once, or it is too large to tell."""
    if count.power > 1 or count.times > MAX_NUMBER:
        return None
    return Batch(count.times) if count.power and count.times else count.times


def shown_shape(shape: Sequence[Dimension]) -> str:
    """The shape for a message.

    >>> shown_shape((Batch(1), 3))
    '[N, 3]'
    """
    return f"[{', '.join(map(str, shape))}]"


MIN_OPSET: Final = 13
MAX_OPSET: Final = 23
"""Versions of ONNX's operators whose meaning the functions here know. `kalamos export` writes 20."""

FLOATS: Final = frozenset({DataType.FLOAT, DataType.FLOAT16, DataType.DOUBLE})
INTEGERS: Final = frozenset({DataType.INT32, DataType.INT64})

MAX_ELEMENTS: Final = 2**31
"""Of one tensor, of one image."""

EXPORT_AGAIN: Final = "export the network with `kalamos export`, or with a fixed image size and plain layers"


class Value(NamedTuple):
    """What is known of a tensor before anything has run."""

    data_type: int
    shape: Shape
    numbers: tuple[Dimension | float, ...] | None = None
    """Its elements in order, where they are few and known."""
    constant: bool = False
    """Whether it is the same for every image: onnxruntime computes it while it opens the file."""


@dataclass(slots=True)
class Call:
    """One node with what is known of its inputs; collects the work."""

    node: Node
    inputs: Sequence[Value | None]
    opset: int
    work: list[Count] = field(default_factory=list)
    """Multiply-adds, or what takes as long."""
    scratch: list[Count] = field(default_factory=list)
    """Bytes that the operator needs beside its inputs and outputs."""

    def refuse(self, why: str, *, remedy: str = EXPORT_AGAIN) -> NoReturn:
        raise UnsupportedModelError(f"{self.node}: {why}", remedy=remedy)

    def value(self, place: int) -> Value:
        """The input at a place, which must be there."""
        found = self.optional(place)
        if found is None:
            self.refuse(f"its input {place} is missing")
        return found

    def optional(self, place: int) -> Value | None:
        return self.inputs[place] if place < len(self.inputs) else None

    def floats(self, place: int = 0) -> Value:
        """The input at a place, which must be of floating-point numbers."""
        found = self.value(place)
        if found.data_type not in FLOATS:
            self.refuse(f"its input {place} is not of floating-point numbers")
        return found

    def integer(self, name: str, default: int) -> int:
        value = self.node.attributes.get(name, default)
        if not isinstance(value, int):
            self.refuse(f"its attribute {name!r} is not a whole number")
        return value

    def number(self, name: str, default: float) -> float:
        value = self.node.attributes.get(name, default)
        if not isinstance(value, float):
            self.refuse(f"its attribute {name!r} is not a number")
        return value

    def text(self, name: str, default: str, allowed: Iterable[str]) -> str:
        value = self.node.attributes.get(name, default)
        if not isinstance(value, str) or value not in set(allowed):
            self.refuse(f"its attribute {name!r} is not one of {', '.join(allowed)}")
        return value

    def integers(self, name: str, default: Sequence[int] | None = None) -> tuple[int, ...] | None:
        value = self.node.attributes.get(name)
        if value is None:
            return None if default is None else tuple(default)
        if not isinstance(value, tuple) or not all(isinstance(each, int) for each in value):
            self.refuse(f"its attribute {name!r} is not a list of whole numbers")
        return tuple(each for each in value if isinstance(each, int))

    def known(self, place: int) -> tuple[Dimension | float, ...]:
        """The elements of an input that must be known, such as a shape."""
        value = self.value(place)
        if value.numbers is None:
            self.refuse(
                f"its input {place} is not known before it runs, so neither is the size of its output"
            )
        return value.numbers

    def whole(self, place: int) -> tuple[int, ...]:
        """As `known`, of whole numbers that do not depend on the number of images."""
        numbers = self.known(place)
        if not all(type(each) is int for each in numbers):
            self.refuse(f"its input {place} is not of plain whole numbers")
        return tuple(each for each in numbers if isinstance(each, int))

    def sides(self, place: int) -> tuple[Dimension, ...]:
        """As `known`, of whole numbers, of which some may depend on the number of images: a shape."""
        if self.value(place).data_type not in INTEGERS:
            self.refuse(f"its input {place} is not of whole numbers")
        return tuple(each for each in self.known(place) if not isinstance(each, float))

    def fixed(self, side: Dimension) -> int:
        """A side that must not depend on the number of images."""
        if isinstance(side, Batch):
            self.refuse("it treats the images of a run as parts of one")
        return side

    def axis(self, axis: int, rank: int) -> int:
        """An axis counted from the front, which there must be."""
        if not -rank <= axis < rank:
            self.refuse(f"there is no axis {axis} of {rank}")
        return axis % rank

    def axes(self, rank: int, *, place: int = 1, name: str = "axes") -> tuple[int, ...] | None:
        """Axes given as an input (later versions) or an attribute (earlier); None where neither is there."""
        given = self.whole(place) if self.optional(place) is not None else self.integers(name)
        if given is None:
            return None
        found = tuple(self.axis(axis, rank) for axis in given)
        if len(set(found)) != len(found):
            self.refuse("it names an axis twice")
        return found

    def output(
        self,
        data_type: int,
        shape: Iterable[Dimension],
        numbers: Sequence[Dimension | float] | None = None,
    ) -> Value:
        """An output, within the bounds of one tensor."""
        shape = tuple(shape)
        empty = shape == (0,)  # no axes, or the shape of a scalar
        if any(not isinstance(side, Batch) and side < 1 for side in shape) and not empty:
            self.refuse(f"its output would be empty, {shown_shape(shape)}")
        if count_of(shape).times > MAX_ELEMENTS or len(shape) > 8:
            self.refuse(f"its output would be too large, {shown_shape(shape)}")
        if numbers is not None and (len(numbers) > SMALL or not all(map(_tellable, numbers))):
            numbers = None
        constant = all(value is None or value.constant for value in self.inputs)
        return Value(data_type, shape, None if numbers is None else tuple(numbers), constant)

    def output_of(self, tensor: Tensor) -> Value:
        """An output that is a tensor written in the graph."""
        return Value(tensor.data_type, tensor.shape, tensor.numbers, constant=True)

    def filling(self, given: Attribute | None) -> tuple[int, Dimension | float | None]:
        """The type and the number of a tensor of one element; float 0 where none is given."""
        if given is None:
            return DataType.FLOAT, 0.0
        if not isinstance(given, Tensor) or given.shape != (1,):
            self.refuse("its value is not a tensor of one element")
        return given.data_type, None if given.numbers is None else given.numbers[0]


def _tellable(number: Dimension | float) -> bool:
    return abs(number.times if isinstance(number, Batch) else number) <= MAX_NUMBER


Infer: TypeAlias = Callable[[Call], Sequence[Value]]


class Operator(NamedTuple):
    """One operator that is allowed."""

    infer: Infer
    attributes: frozenset[str]
    """Those it may have."""
    inputs: tuple[int, int]
    """How few and how many it may have."""
    since: int
    """The first version of ONNX's operators in which it means what `infer` knows."""


OPERATORS: Final[dict[str, Operator]] = {}
"""Name -> operator, of ONNX's own domain alone."""


def operator(
    *names: str, attributes: str = "", inputs: tuple[int, int] = (1, 1), since: int = MIN_OPSET
) -> Callable[[Infer], Infer]:
    """Allow operators, inferred by the function below.

    Args:
        attributes: those they may have, with spaces between them.
    """

    def register(infer: Infer) -> Infer:
        for name in names:
            OPERATORS[name] = Operator(infer, frozenset(attributes.split()), inputs, since)
        return infer

    return register


def broadcast(call: Call, *shapes: Shape) -> Shape:
    """The shape that NumPy's rules make of several."""
    sides: list[Dimension] = []
    for column in zip_longest(*(reversed(shape) for shape in shapes), fillvalue=1):
        different = {side for side in column if side != 1}
        if len(different) > 1:
            call.refuse(f"shapes {', '.join(map(shown_shape, shapes))} do not go together")
        sides.append(different.pop() if different else 1)
    return tuple(reversed(sides))


COSTS: Final[Mapping[str, int]] = {
    **dict.fromkeys(("Erf", "Exp", "Log", "Sigmoid", "Tanh", "Softplus", "Mish", "Gelu", "Elu", "Selu"), 16),
    **dict.fromkeys(("Cos", "Sin"), 32),
    "HardSwish": 32,
    "Pow": 64,
}
"""Multiply-adds that one element costs; 8 where nothing else is said, for memory has to be moved."""


def element_cost(name: str) -> int:
    """How many multiply-adds one element costs, in time."""
    return COSTS.get(name, 8)


def _elementwise(call: Call, value: Value) -> None:
    call.work.append(count_of(value.shape) * Count(element_cost(call.node.operator)))


@operator(
    *(
        "Ceil",
        "Cos",
        "Erf",
        "Exp",
        "Floor",
        "HardSwish",
        "Log",
        "Mish",
        "Reciprocal",
        "Relu",
        "Round",
        "Sigmoid",
    ),
    *("Sin", "Softplus", "Sqrt", "Tanh"),
)
def _unary(call: Call) -> Sequence[Value]:
    value = call.floats()
    result = call.output(value.data_type, value.shape)
    _elementwise(call, result)
    return [result]


@operator("Elu", "HardSigmoid", "LeakyRelu", "Selu", attributes="alpha beta gamma")
@operator("Gelu", attributes="approximate", since=20)
def _unary_with_settings(call: Call) -> Sequence[Value]:
    for name in call.node.attributes:
        if name == "approximate":
            call.text(name, "none", ("none", "tanh"))
        else:
            call.number(name, 0.0)
    return _unary(call)


@operator("Abs", "Neg", "Identity", "Not")
def _unary_of_any(call: Call) -> Sequence[Value]:
    value = call.value(0)
    if (call.node.operator == "Not") != (
        value.data_type == DataType.BOOL
    ) and call.node.operator != "Identity":
        call.refuse("its input is of another type")
    numbers = value.numbers if call.node.operator == "Identity" else None
    result = call.output(value.data_type, value.shape, numbers)
    _elementwise(call, result)
    return [result]


@operator("Add", "Sub", "Mul", "Div", "Mod", "Pow", "Min", "Max", attributes="fmod", inputs=(2, 2))
def arithmetic(call: Call) -> Sequence[Value]:
    """Two tensors of one type, element by element."""
    first, second = call.value(0), call.value(1)
    name = call.node.operator
    call.integer("fmod", 0)
    if first.data_type != second.data_type or first.data_type == DataType.BOOL:
        call.refuse("its inputs are of different types, or no numbers")
    whole = first.data_type not in FLOATS
    if whole and name in {"Div", "Mod"}:
        # A division by zero of whole numbers ends the process.
        divisors = call.known(1)
        if not all(isinstance(each, Batch) or each > 0 for each in divisors):
            call.refuse("it divides whole numbers by what is not above zero")
    if whole and name == "Pow":
        call.refuse("it takes powers of whole numbers")
    shape = broadcast(call, first.shape, second.shape)
    result = call.output(first.data_type, shape, _combined(name, first, second, shape) if whole else None)
    _elementwise(call, result)
    return [result]


def _combined(name: str, first: Value, second: Value, shape: Shape) -> list[Dimension] | None:
    """The elements of a result of whole numbers, where they are few and known; None otherwise."""
    if first.numbers is None or second.numbers is None or len(shape) > 1:
        return None
    length = max(len(first.numbers), len(second.numbers))
    left, right = (
        list(numbers) * length if len(numbers) == 1 else list(numbers)
        for numbers in (first.numbers, second.numbers)
    )
    found = []
    for a, b in zip(left, right, strict=True):
        if isinstance(a, float) or isinstance(b, float):
            return None
        number = _apply(name, a, b)
        if number is None:
            return None
        found.append(number)
    return found


def _apply(name: str, a: Dimension, b: Dimension) -> Dimension | None:
    """One number by another; None where the number of images decides what comes out."""
    if isinstance(a, int) and isinstance(b, int):
        return _apply_plain(name, a, b)
    if name == "Add":
        return _sum(a, b)
    if name == "Sub" and b == 0:
        return a
    if name == "Mul":
        return _product(a, b)
    if name == "Div" and isinstance(a, Batch):
        return _quotient(a, b)
    return None


def _apply_plain(name: str, a: int, b: int) -> int | None:
    if name == "Div":
        return abs(a) // b * (1 if a >= 0 else -1)  # b is above zero; the quotient goes towards zero
    if name == "Mod":
        return a % b
    combine: dict[str, Callable[[int, int], int]] = {
        "Add": int.__add__,
        "Sub": int.__sub__,
        "Mul": int.__mul__,
        "Min": min,
        "Max": max,
    }
    return combine[name](a, b) if name in combine else None


def _sum(a: Dimension, b: Dimension) -> Dimension | None:
    if isinstance(a, Batch) and isinstance(b, Batch):
        return Batch(a.times + b.times)
    return a if b == 0 else b if a == 0 else None


def _product(a: Dimension, b: Dimension) -> Dimension | None:
    if isinstance(a, Batch) and isinstance(b, Batch):
        return None
    factor, batch = (a, b) if isinstance(b, Batch) else (b, a)
    if isinstance(factor, Batch) or not isinstance(batch, Batch) or factor < 0:
        return None
    return Batch(batch.times * factor) if factor else 0


def _quotient(a: Batch, b: Dimension) -> Dimension | None:
    divisor = b.times if isinstance(b, Batch) else b
    if divisor < 1 or a.times % divisor:
        return None
    return a.times // divisor if isinstance(b, Batch) else Batch(a.times // divisor)


@operator("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", inputs=(2, 2))
def _comparison(call: Call) -> Sequence[Value]:
    first, second = call.value(0), call.value(1)
    if first.data_type != second.data_type:
        call.refuse("its inputs are of different types")
    result = call.output(DataType.BOOL, broadcast(call, first.shape, second.shape))
    _elementwise(call, result)
    return [result]


@operator("And", "Or", inputs=(2, 2))
def _logic(call: Call) -> Sequence[Value]:
    first, second = call.value(0), call.value(1)
    if {first.data_type, second.data_type} != {DataType.BOOL}:
        call.refuse("its inputs are not booleans")
    result = call.output(DataType.BOOL, broadcast(call, first.shape, second.shape))
    _elementwise(call, result)
    return [result]


@operator("Where", inputs=(3, 3))
def _where(call: Call) -> Sequence[Value]:
    condition, first, second = call.value(0), call.value(1), call.value(2)
    if condition.data_type != DataType.BOOL or first.data_type != second.data_type:
        call.refuse("its inputs are of other types than it takes")
    result = call.output(first.data_type, broadcast(call, condition.shape, first.shape, second.shape))
    _elementwise(call, result)
    return [result]


@operator("Clip", inputs=(1, 3))
def _clip(call: Call) -> Sequence[Value]:
    value = call.value(0)
    for place in (1, 2):
        bound = call.optional(place)
        if bound is not None and (bound.data_type != value.data_type or count_of(bound.shape) != Count(1)):
            call.refuse("its bounds are not single numbers of its input's type")
    result = call.output(value.data_type, value.shape)
    _elementwise(call, result)
    return [result]


@operator("PRelu", inputs=(2, 2))
def _prelu(call: Call) -> Sequence[Value]:
    value, slope = call.floats(0), call.floats(1)
    if broadcast(call, value.shape, slope.shape) != value.shape:
        call.refuse("its slopes do not fit its input")
    result = call.output(value.data_type, value.shape)
    _elementwise(call, result)
    return [result]


@operator("Cast", attributes="to saturate")
def _cast(call: Call) -> Sequence[Value]:
    value = call.value(0)
    wanted = call.integer("to", 0)
    call.integer("saturate", 1)
    if wanted not in FLOATS | INTEGERS | {DataType.BOOL, DataType.UINT8, DataType.INT8}:
        call.refuse(f"it casts to the data type {wanted}")
    keeps = value.data_type in INTEGERS and wanted in INTEGERS
    numbers = value.numbers if keeps and value.numbers is not None else None
    if wanted == DataType.INT32 and numbers is not None:
        small = all(abs(n.times if isinstance(n, Batch) else n) < 2**24 for n in numbers)
        numbers = numbers if small else None
    result = call.output(wanted, value.shape, numbers)
    _elementwise(call, result)
    return [result]


@operator("Constant", attributes="value value_float value_floats value_int value_ints", inputs=(0, 0))
def _constant(call: Call) -> Sequence[Value]:
    [(name, given)] = call.node.attributes.items() if len(call.node.attributes) == 1 else [("", 0)]
    kinds: Mapping[str, tuple[type | tuple[type, ...], int]] = {
        "value_float": (float, DataType.FLOAT),
        "value_floats": (float, DataType.FLOAT),
        "value_int": (int, DataType.INT64),
        "value_ints": (int, DataType.INT64),
    }
    if isinstance(given, Tensor) and name == "value":
        return [call.output_of(given)]
    if name not in kinds:
        call.refuse("it has not one value")
    kind, data_type = kinds[name]
    many = name.endswith("s")
    numbers: Sequence[Attribute] = given if many and isinstance(given, tuple) else (given,)
    if isinstance(given, tuple) != many or not all(isinstance(each, kind) for each in numbers):
        call.refuse(f"its {name} is of another type")
    known = [each for each in numbers if isinstance(each, int | float)]
    return [call.output(data_type, (len(known),) if many else (), known)]
