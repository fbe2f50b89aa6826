"""Operators that weigh: convolutions, dense layers, pools, normalisations, reductions, quantisation."""

from __future__ import annotations

import math
from collections.abc import Sequence

from kalamos.model_file.dimensions import Count, Dimension, count_of, shown_shape
from kalamos.model_file.graph import DataType
from kalamos.model_file.operators import FLOATS, Call, Value, broadcast, operator

__all__: list[str] = []

MAX_WINDOW = 1_024
"""Side of a kernel or a pool's window, dilated, in pixels."""

DEPTHWISE = 4
"""A convolution of one channel at a time takes so many times as long for a multiply-add."""


@operator("Conv", attributes="auto_pad dilations group kernel_shape pads strides", inputs=(2, 3))
def _convolution(call: Call) -> Sequence[Value]:
    images, weight = call.floats(0), call.floats(1)
    rank = len(images.shape)
    if rank not in {3, 4} or len(weight.shape) != rank or images.data_type != weight.data_type:
        call.refuse(f"it convolves {shown_shape(images.shape)} with {shown_shape(weight.shape)}")
    group = call.integer("group", 1)
    sides = [call.fixed(side) for side in weight.shape]
    channels = call.fixed(images.shape[1])
    made, within, kernel = sides[0], sides[1], sides[2:]
    if group < 1 or within * group != channels or made % group:
        call.refuse(f"{channels} channels in {group} groups do not fit {shown_shape(weight.shape)}")
    if call.integers("kernel_shape", kernel) != tuple(kernel):
        call.refuse("its kernel is of another shape than its weights")
    bias = call.optional(2)
    if bias is not None and (bias.shape != (made,) or bias.data_type != images.data_type):
        call.refuse("its bias does not fit its weights")
    places = _windows(call, images.shape[2:], kernel, ceil=False)
    result = call.output(images.data_type, (images.shape[0], made, *places))
    taps = math.prod(kernel)
    each = within * taps if within > 1 else DEPTHWISE * taps
    call.work.append(count_of(result.shape) * Count(each + 4))
    if taps > 1:
        # Columns of one group of one image, and where they come from.
        call.scratch.append(Count(taps * math.prod(places) * (8 + 4 * within)))
    return [result]


def _windows(call: Call, sides: Sequence[Dimension], kernel: Sequence[int], *, ceil: bool) -> tuple[int, ...]:
    """How many places a window takes along each side."""
    call.text("auto_pad", "NOTSET", ("NOTSET",))
    count = len(sides)
    strides = call.integers("strides", [1] * count) or ()
    dilations = call.integers("dilations", [1] * count) or ()
    pads = call.integers("pads", [0] * 2 * count) or ()
    if not len(kernel) == len(strides) == len(dilations) == len(pads) / 2 == count:
        call.refuse("its strides, dilations, pads and kernel are not as many as its sides")
    found = []
    for side, size, stride, dilation, before, after in zip(
        sides, kernel, strides, dilations, pads[:count], pads[count:], strict=True
    ):
        if size < 1 or not 1 <= stride <= MAX_WINDOW or dilation < 1 or min(before, after) < 0:
            call.refuse("its kernel, stride, dilation or pads are out of range")
        reach = dilation * (size - 1) + 1
        if reach > MAX_WINDOW or max(before, after) > MAX_WINDOW:
            call.refuse(f"its kernel or padding reaches further than {MAX_WINDOW} pixels")
        free = call.fixed(side) + before + after - reach
        if free < 0:
            call.refuse(f"its kernel is larger than {shown_shape(sides)}")
        places = (-(-free // stride) if ceil else free // stride) + 1
        if ceil and (places - 1) * stride >= call.fixed(side) + before:
            places -= 1  # it would begin in the padding
        found.append(places)
    return tuple(found)


@operator(
    "MaxPool",
    "AveragePool",
    attributes="auto_pad ceil_mode count_include_pad dilations kernel_shape pads storage_order strides",
)
def _pool(call: Call) -> Sequence[Value]:
    images = call.value(0)
    kernel = call.integers("kernel_shape")
    if len(images.shape) != 4 or kernel is None or len(kernel) != 2 or len(call.node.outputs) != 1:
        call.refuse("it pools other than whole images")
    if images.data_type not in FLOATS | {DataType.UINT8, DataType.INT8}:
        call.refuse("it pools another type of number")
    for name in ("ceil_mode", "count_include_pad", "storage_order"):
        if call.integer(name, 0) not in {0, 1}:
            call.refuse(f"its {name} is neither 0 nor 1")
    pads = call.integers("pads", [0, 0, 0, 0]) or ()
    if any(pad >= size for pad, size in zip(pads, kernel * 2, strict=False)):
        call.refuse("its padding is wider than its window")
    places = _windows(call, images.shape[2:], kernel, ceil=bool(call.integer("ceil_mode", 0)))
    result = call.output(images.data_type, (*images.shape[:2], *places))
    call.work.append(count_of(result.shape) * Count(math.prod(kernel) * DEPTHWISE))
    return [result]


@operator("GlobalAveragePool", "GlobalMaxPool")
def _global_pool(call: Call) -> Sequence[Value]:
    images = call.floats()
    if len(images.shape) != 4:
        call.refuse("it pools other than whole images")
    call.work.append(count_of(images.shape) * Count(4))
    return [call.output(images.data_type, (*images.shape[:2], 1, 1))]


@operator("BatchNormalization", attributes="epsilon momentum training_mode", inputs=(5, 5))
def _batch_norm(call: Call) -> Sequence[Value]:
    images = call.floats()
    call.number("epsilon", 1e-5)
    call.number("momentum", 0.9)
    if call.integer("training_mode", 0) or len(images.shape) < 2:
        call.refuse("it is still training, or has no channels")
    for place in range(1, 5):
        if call.floats(place).shape != images.shape[1:2]:
            call.refuse("its statistics are not one for each channel")
    result = call.output(images.data_type, images.shape)
    call.work.append(count_of(result.shape) * Count(4))
    return [result]


@operator("LayerNormalization", attributes="axis epsilon stash_type", inputs=(2, 3), since=17)
def _layer_norm(call: Call) -> Sequence[Value]:
    value = call.floats()
    call.number("epsilon", 1e-5)
    axis = call.axis(call.integer("axis", -1), len(value.shape))
    if call.integer("stash_type", 1) != 1 or len(call.node.outputs) != 1:
        call.refuse("it gives more than the normalised tensor")
    for place in (1, 2):
        given = call.optional(place)
        if given is not None and (given.shape != value.shape[axis:] or given.data_type != value.data_type):
            call.refuse("its weights do not fit its input")
    result = call.output(value.data_type, value.shape)
    call.work.append(count_of(result.shape) * Count(12))
    return [result]


@operator("InstanceNormalization", attributes="epsilon", inputs=(3, 3))
def _instance_norm(call: Call) -> Sequence[Value]:
    images = call.floats()
    call.number("epsilon", 1e-5)
    if len(images.shape) < 3:
        call.refuse("it normalises other than images")
    for place in (1, 2):
        if call.floats(place).shape != images.shape[1:2]:
            call.refuse("its weights are not one for each channel")
    result = call.output(images.data_type, images.shape)
    call.work.append(count_of(result.shape) * Count(12))
    return [result]


@operator("Softmax", "LogSoftmax", attributes="axis")
def _softmax(call: Call) -> Sequence[Value]:
    value = call.floats()
    call.axis(call.integer("axis", -1), len(value.shape))
    result = call.output(value.data_type, value.shape)
    call.work.append(count_of(result.shape) * Count(32))
    return [result]


@operator("MatMul", inputs=(2, 2))
def _matmul(call: Call) -> Sequence[Value]:
    first, second = call.floats(0), call.floats(1)
    if min(len(first.shape), len(second.shape)) < 2 or first.data_type != second.data_type:
        call.refuse("it multiplies other than matrices of one type")
    if first.shape[-1] != second.shape[-2]:
        call.refuse(f"{shown_shape(first.shape)} and {shown_shape(second.shape)} cannot be multiplied")
    many = broadcast(call, first.shape[:-2], second.shape[:-2])
    result = call.output(first.data_type, (*many, first.shape[-2], second.shape[-1]))
    call.work.append(count_of((*result.shape, first.shape[-1])))
    call.work.append(count_of(result.shape) * Count(4))
    return [result]


@operator("Gemm", attributes="alpha beta transA transB", inputs=(2, 3))
def _gemm(call: Call) -> Sequence[Value]:
    first, second = call.floats(0), call.floats(1)
    call.number("alpha", 1.0)
    call.number("beta", 1.0)
    if len(first.shape) != 2 or len(second.shape) != 2 or first.data_type != second.data_type:
        call.refuse("it multiplies other than two matrices of one type")
    rows, inner = first.shape[::-1] if call.integer("transA", 0) else first.shape
    other, columns = second.shape[::-1] if call.integer("transB", 0) else second.shape
    if inner != other:
        call.refuse(f"{shown_shape(first.shape)} and {shown_shape(second.shape)} cannot be multiplied")
    bias, shape = call.optional(2), (rows, columns)
    if bias is not None and (
        bias.data_type != first.data_type or broadcast(call, bias.shape, shape) != shape
    ):
        call.refuse("its bias does not fit its weights")
    result = call.output(first.data_type, (rows, columns))
    call.work.append(count_of((rows, columns, inner)))
    return [result]


@operator(
    *("ReduceMean", "ReduceMax", "ReduceMin", "ReduceSum", "ReduceL2"),
    attributes="axes keepdims noop_with_empty_axes",
    inputs=(1, 2),
)
def _reduction(call: Call) -> Sequence[Value]:
    value = call.floats()
    axes = call.axes(len(value.shape))
    if not axes:
        axes = () if call.integer("noop_with_empty_axes", 0) else tuple(range(len(value.shape)))
    if call.integer("keepdims", 1):
        shape = [1 if place in axes else side for place, side in enumerate(value.shape)]
    else:
        shape = [side for place, side in enumerate(value.shape) if place not in axes]
    call.work.append(count_of(value.shape) * Count(4))
    return [call.output(value.data_type, shape)]


@operator(
    "QuantizeLinear",
    "DequantizeLinear",
    attributes="axis block_size output_dtype precision saturate",
    inputs=(2, 3),
)
def _quantisation(call: Call) -> Sequence[Value]:
    value, scale, zero = call.value(0), call.floats(1), call.optional(2)
    quantising = call.node.operator == "QuantizeLinear"
    if any(call.integer(name, 0) for name in ("block_size", "output_dtype", "precision")):
        call.refuse("it quantises in blocks, or to other types than 8 bits")
    call.integer("saturate", 1)
    if scale.shape not in {(), (1,)}:
        axis = call.axis(call.integer("axis", 1), len(value.shape))
        if scale.shape != (value.shape[axis],):
            call.refuse("its scales are not one for each channel")
    if zero is not None and zero.shape != scale.shape:
        call.refuse("its zero points are not as many as its scales")
    small = {DataType.UINT8, DataType.INT8}
    narrow = value.data_type if not quantising else DataType.UINT8 if zero is None else zero.data_type
    fits = value.data_type == DataType.FLOAT if quantising else value.data_type in {*small, DataType.INT32}
    if not fits or scale.data_type != DataType.FLOAT or (quantising and narrow not in small):
        call.refuse("it quantises another type of number")
    if not quantising and zero is not None and zero.data_type != value.data_type:
        call.refuse("its zero points are of another type than its input")
    result = call.output(narrow if quantising else DataType.FLOAT, value.shape)
    call.work.append(count_of(result.shape) * Count(4))
    return [result]
