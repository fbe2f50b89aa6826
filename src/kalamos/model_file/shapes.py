"""Shape inference: dimensions, broadcasting, and layers.

Operators that move numbers about: which shapes they make, and of shapes themselves, which numbers.

Operators that weigh: convolutions, dense layers, pools, normalisations, reductions, quantisation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from kalamos.model_file.graph import SMALL, DataType
from kalamos.model_file.operators import (
    FLOATS,
    INTEGERS,
    Batch,
    Call,
    Count,
    Dimension,
    Shape,
    Value,
    broadcast,
    count_of,
    operator,
    shown_shape,
    single,
)

FAR = 2**31 - 1
"""Exporters write this, or more, for "to the end"."""


def _moved(call: Call, value: Value, shape: Sequence[Dimension], numbers: object = None) -> list[Value]:
    """One output of the input's type, every element of which is copied."""
    known = numbers if isinstance(numbers, (list, tuple)) else None
    result = call.output(value.data_type, shape, known)
    call.work.append(count_of(result.shape) * Count(4))
    return [result]


@operator("Shape", attributes="start end")
def _shape(call: Call) -> Sequence[Value]:
    shape = call.value(0).shape
    found = shape[slice(call.integer("start", 0), call.integer("end", len(shape)))]
    return [call.output(DataType.INT64, (len(found),), found)]


@operator("Reshape", attributes="allowzero", inputs=(2, 2))
def _reshape(call: Call) -> Sequence[Value]:
    value, target = call.value(0), list(call.sides(1))
    if call.integer("allowzero", 0) and 0 in target:
        call.refuse("it asks for an empty tensor")
    for place, side in enumerate(target):
        if side == 0:
            if place >= len(value.shape):
                call.refuse(f"it copies dimension {place} of {shown_shape(value.shape)}")
            target[place] = value.shape[place]
    total = count_of(value.shape)
    free = [place for place, side in enumerate(target) if side == -1]
    sides = [side for side in target if side != -1]
    if len(free) > 1 or any(isinstance(each, int) and each < 0 for each in sides):
        call.refuse("its shape is none")
    rest = total.over(count_of(sides))
    last = None if rest is None else single(rest)
    if last is None or (not free and rest != Count(1)):
        call.refuse(f"{shown_shape(value.shape)} cannot become {shown_shape(target)}")
    shape: Shape = tuple(last if side == -1 else side for side in target)
    return _moved(call, value, shape, value.numbers)


@operator("Flatten", attributes="axis")
def _flatten(call: Call) -> Sequence[Value]:
    value = call.value(0)
    axis = call.integer("axis", 1)
    if not -len(value.shape) <= axis <= len(value.shape):
        call.refuse(f"there is no axis {axis}")
    axis = axis + len(value.shape) if axis < 0 else axis
    sides = [single(count_of(part)) for part in (value.shape[:axis], value.shape[axis:])]
    if None in sides:
        call.refuse("its output would grow with the square of the number of images")
    return _moved(call, value, [side for side in sides if side is not None])


@operator("Squeeze", attributes="axes", inputs=(1, 2))
def _squeeze(call: Call) -> Sequence[Value]:
    value = call.value(0)
    axes = call.axes(len(value.shape))
    if axes is None:
        axes = tuple(place for place, side in enumerate(value.shape) if side == 1)
    if any(value.shape[axis] != 1 for axis in axes):
        call.refuse(f"not all of its axes {list(axes)} of {shown_shape(value.shape)} are 1")
    shape = [side for place, side in enumerate(value.shape) if place not in axes]
    return _moved(call, value, shape, value.numbers)


@operator("Unsqueeze", inputs=(2, 2))
def _unsqueeze(call: Call) -> Sequence[Value]:
    value = call.value(0)
    rank = len(value.shape) + len(call.whole(1))
    axes = call.axes(rank) or ()
    sides = iter(value.shape)
    return _moved(call, value, [1 if place in axes else next(sides) for place in range(rank)], value.numbers)


@operator("Transpose", attributes="perm")
def _transpose(call: Call) -> Sequence[Value]:
    value = call.value(0)
    order = call.integers("perm", range(len(value.shape))[::-1])
    if order is None or sorted(order) != list(range(len(value.shape))):
        call.refuse("its permutation is none")
    return _moved(call, value, [value.shape[axis] for axis in order])


@operator("Concat", attributes="axis", inputs=(1, 256))
def _concat(call: Call) -> Sequence[Value]:
    values = [call.value(place) for place in range(len(call.inputs))]
    first = values[0]
    axis = call.axis(call.integer("axis", 0), len(first.shape))
    others = {value.shape[:axis] + value.shape[axis + 1 :] for value in values}
    if len(others) > 1 or len({value.data_type for value in values}) > 1:
        call.refuse("its inputs do not go together")
    sides = [value.shape[axis] for value in values]
    batches = [side.times for side in sides if isinstance(side, Batch)]
    plain = [side for side in sides if not isinstance(side, Batch)]
    if batches and plain:
        call.refuse("it joins what grows with the number of images to what does not")
    side: Dimension = Batch(sum(batches)) if batches else sum(plain)
    numbers = None
    if len(first.shape) == 1 and all(value.numbers is not None for value in values):
        numbers = [number for value in values for number in value.numbers or ()]
    return _moved(call, first, (*first.shape[:axis], side, *first.shape[axis + 1 :]), numbers)


@operator("Split", attributes="axis num_outputs", inputs=(1, 2))
def _split(call: Call) -> Sequence[Value]:
    value, count = call.value(0), len(call.node.outputs)
    axis = call.axis(call.integer("axis", 0), len(value.shape))
    side = value.shape[axis]
    if isinstance(side, Batch):
        call.refuse("it splits the images of a run")
    if call.optional(1) is not None:
        parts = list(call.whole(1))
    else:
        if call.integer("num_outputs", count) != count or not count:
            call.refuse("it has another number of outputs than it says")
        size = -(-side // count)
        parts = [size] * (count - 1) + [side - size * (count - 1)]
    if len(parts) != count or sum(parts) != side or min(parts) < 1:
        call.refuse(f"its parts {parts[:9]} do not make up {side}")
    results = [
        call.output(value.data_type, (*value.shape[:axis], part, *value.shape[axis + 1 :])) for part in parts
    ]
    call.work.append(count_of(value.shape) * Count(4))
    return results


@operator("Slice", inputs=(3, 5))
def _slice(call: Call) -> Sequence[Value]:
    value = call.value(0)
    starts, ends = call.whole(1), call.known(2)
    rank = len(value.shape)
    axes = call.axes(rank, place=3)
    axes = tuple(range(len(starts))) if axes is None else axes
    steps = call.whole(4) if call.optional(4) is not None else (1,) * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) <= rank:
        call.refuse("its starts, ends, axes and steps are not as many")
    shape, numbers = list(value.shape), value.numbers
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        side = shape[axis]
        if isinstance(side, Batch):
            if (start, step) != (0, 1) or not (end == side or (isinstance(end, int) and end >= FAR)):
                call.refuse("it leaves out images of a run")
            continue
        if not isinstance(end, int) or step == 0:
            call.refuse("what it keeps is not known")
        kept = range(side)[start:end:step]
        shape[axis] = len(kept)
        numbers = None if numbers is None or rank > 1 else tuple(numbers[place] for place in kept)
    return _moved(call, value, shape, numbers)


@operator("Gather", attributes="axis", inputs=(2, 2))
def _gather(call: Call) -> Sequence[Value]:
    value, places = call.value(0), call.value(1)
    if places.data_type not in INTEGERS:
        call.refuse("its places are not whole numbers")
    axis = call.axis(call.integer("axis", 0), len(value.shape))
    side = value.shape[axis]
    chosen = places.numbers
    if chosen is not None and not isinstance(side, Batch):
        inside = all(isinstance(place, int) and -side <= place < side for place in chosen)
        if not inside:
            call.refuse(f"it takes from beyond the end of {shown_shape(value.shape)}")
    numbers = None
    if value.numbers is not None and chosen is not None and len(value.shape) == 1:
        numbers = [value.numbers[place] for place in chosen if isinstance(place, int)]
    return _moved(call, value, (*value.shape[:axis], *places.shape, *value.shape[axis + 1 :]), numbers)


@operator("Expand", inputs=(2, 2))
def _expand(call: Call) -> Sequence[Value]:
    value, sides = call.value(0), call.sides(1)
    if any(isinstance(side, int) and side < 1 for side in sides):
        call.refuse("its shape is none")
    return _moved(call, value, broadcast(call, value.shape, sides))


@operator("Pad", attributes="mode", inputs=(2, 4))
def _pad(call: Call) -> Sequence[Value]:
    value, pads = call.value(0), call.whole(1)
    mode = call.text("mode", "constant", ("constant", "reflect", "edge"))
    rank = len(value.shape)
    axes = call.axes(rank, place=3)
    axes = tuple(range(rank)) if axes is None else axes
    filling = call.optional(2)
    if filling is not None and (filling.data_type != value.data_type or count_of(filling.shape) != Count(1)):
        call.refuse("its value is not a single number of its input's type")
    if len(pads) != 2 * len(axes) or any(not 0 <= pad <= FAR for pad in pads):
        call.refuse(f"its pads {list(pads[:16])} do not fit {shown_shape(value.shape)}")
    shape = list(value.shape)
    for axis, before, after in zip(axes, pads, pads[len(axes) :], strict=False):
        side = shape[axis]
        if not before and not after:
            continue
        if isinstance(side, Batch):
            call.refuse("it adds images to a run")
        if mode == "reflect" and max(before, after) >= side:
            call.refuse("it reflects more than there is")
        shape[axis] = side + before + after
    return _moved(call, value, shape)


@operator("Range", inputs=(3, 3))
def _range(call: Call) -> Sequence[Value]:
    start, limit, step = (call.known(place) for place in range(3))
    data_type = call.value(0).data_type
    if any(len(each) != 1 for each in (start, limit, step)) or data_type not in INTEGERS:
        call.refuse("it counts with other than single whole numbers")
    if isinstance(limit[0], Batch) and start[0] == 0 and step[0] == 1:
        return [call.output(data_type, (limit[0],))]
    numbers = (*call.whole(0), *call.whole(1), *call.whole(2))
    if numbers[2] == 0:
        call.refuse("it counts in steps of zero")
    found = range(*numbers)
    if len(found) > FAR:
        call.refuse("it counts too far")
    return _moved(call, call.value(0), (len(found),), list(found) if len(found) <= SMALL else None)


@operator("ConstantOfShape", attributes="value", inputs=(1, 1))
def _constant_of_shape(call: Call) -> Sequence[Value]:
    sides = call.sides(0)
    given = call.node.attributes.get("value")
    data_type, filling = call.filling(given)
    shape = call.output(data_type, sides).shape
    count = count_of(shape)
    few = not count.power and count.times <= SMALL
    call.work.append(count * Count(4))
    return [call.output(data_type, shape, [filling] * count.times if few and filling is not None else None)]


@operator("Tile", inputs=(2, 2))
def _tile(call: Call) -> Sequence[Value]:
    value, repeats = call.value(0), call.whole(1)
    if len(repeats) != len(value.shape) or any(times < 1 for times in repeats):
        call.refuse("its repeats do not fit its input")
    shape = [
        Batch(side.times * times) if isinstance(side, Batch) else side * times
        for side, times in zip(value.shape, repeats, strict=True)
    ]
    return _moved(call, value, shape)


@operator("DepthToSpace", "SpaceToDepth", attributes="blocksize mode")
def _space(call: Call) -> Sequence[Value]:
    value, size = call.floats(), call.integer("blocksize", 0)
    call.text("mode", "DCR", ("DCR", "CRD"))
    if len(value.shape) != 4 or not 1 <= size <= 64:
        call.refuse("it takes images, in blocks of 1 to 64")
    channels, height, width = (call.fixed(side) for side in value.shape[1:])
    whole = (
        channels % size**2 == 0
        if call.node.operator == "DepthToSpace"
        else not (height % size or width % size)
    )
    if not whole:
        call.refuse(f"{shown_shape(value.shape)} is not made up of its blocks")
    if call.node.operator == "DepthToSpace":
        return _moved(call, value, (value.shape[0], channels // size**2, height * size, width * size))
    return _moved(call, value, (value.shape[0], channels * size**2, height // size, width // size))


@operator(
    "Resize",
    attributes="coordinate_transformation_mode mode nearest_mode cubic_coeff_a antialias exclude_outside"
    " extrapolation_value keep_aspect_ratio_policy",
    inputs=(3, 4),
)
def _resize(call: Call) -> Sequence[Value]:
    value = call.floats()
    mode = call.text("mode", "nearest", ("nearest", "linear", "cubic"))
    call.text(
        "coordinate_transformation_mode",
        "half_pixel",
        ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"),
    )
    call.text(
        "nearest_mode", "round_prefer_floor", ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")
    )
    call.text("keep_aspect_ratio_policy", "stretch", ("stretch",))
    if call.integer("antialias", 0) or call.integer("exclude_outside", 0):
        call.refuse("it resizes in a way that is not known here")
    region = call.optional(1)
    if len(value.shape) != 4 or (region is not None and region.shape != (0,)):
        call.refuse("it resizes other than whole images")
    shape = _resized(call, value.shape)
    if shape[:2] != value.shape[:2]:
        call.refuse("it resizes more than the height and the width")
    taps = {"nearest": 4, "linear": 16, "cubic": 64}[mode]
    result = call.output(value.data_type, shape)
    call.work.append(count_of(shape) * Count(taps))
    return [result]


def _resized(call: Call, shape: Shape) -> Shape:
    sizes, scales = call.optional(3), call.optional(2)
    if sizes is not None and sizes.shape != (0,):
        return call.sides(3)
    if scales is None or scales.numbers is None or len(scales.numbers) != len(shape):
        call.refuse("its output's size is not known before it runs")
    found: list[Dimension] = []
    for side, scale in zip(shape, scales.numbers, strict=True):
        if isinstance(scale, Batch) or not 0 < scale < 2**16:
            call.refuse("its scales are out of range")
        if scale == 1:
            found.append(side)
        else:
            found.append(math.floor(call.fixed(side) * scale))
    return tuple(found)


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
