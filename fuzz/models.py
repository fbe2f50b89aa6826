"""Model files: graphs that loop, grow, divide by zero or answer in other shapes, and specs of odd values."""

from __future__ import annotations

import base64
import io
import itertools
import json
import random
import zipfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from fuzz.case import Case, mutated
from fuzz.images.pictures import long_deflate
from fuzz.runs import edited_document

__all__ = [
    "draw",
    "endless_model",
    "expanded_model",
    "filled_model",
    "folded_model",
    "sound_model",
    "weighty_model",
]

SPEC, MEMORY = "kalamos.spec", "kalamos.memory"
SIDE, CLASSES = 28, 10
FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL

STEPS: list[dict[str, Any]] = [
    {"step": "grey"},
    {"step": "ink"},
    {"step": "crop"},
    {"step": "resize", "size": 20},
    {"step": "centre", "size": SIDE},
    {"step": "normalise", "mean": 0.13, "std": 0.3},
]


def draw(rng: random.Random) -> Case:
    """A model file."""
    recipes = {
        _spec: 5,
        _steps: 2,
        _graph: 6,
        _grown: 3,
        _endless: 1.5,
        _nested: 1,
        _folded: 1.5,
        _tensors: 3,
        _bytes: 1,
        _memory: 0.7,
    }
    [recipe] = rng.choices(list(recipes), list(recipes.values()))
    return recipe(rng)


def _case(what: str, model: ModelProto | bytes, **notes: Any) -> Case:
    content = model if isinstance(model, bytes) else model.SerializeToString()
    return Case(f"model: {what}", "a.onnx", content, notes=notes)


def _sound_spec(**changed: Any) -> dict[str, Any]:
    return {
        "format_version": 1,
        "name": "x",
        "architecture": "x",
        "parameters": 2,
        "alphabet": {"name": "digits", "labels": list("0123456789")},
        "preprocessing": STEPS,
        "input_size": SIDE,
        "temperature": 1.0,
        "min_confidence": 0.5,
        "feature_maps": [],
        "training": None,
        "metrics": [],
        "licence": "Apache-2.0",
        "kalamos_version": "0.1.0",
        "created": "2026-01-01",
    } | changed


@cache
def _weights() -> TensorProto:
    values = np.random.default_rng(0).normal(0, 0.05, (SIDE * SIDE, CLASSES)).astype(np.float32)
    return numpy_helper.from_array(values, "W")


def _model(
    nodes: list[NodeProto],
    *,
    constants: list[TensorProto] | None = None,
    spec: Any = None,
    functions: Any = (),
    text: str | None = None,
) -> ModelProto:
    """`image` flattened, times W, is `scores`; the nodes make `logits` of it."""
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["image"], ["flat"]),
            helper.make_node("MatMul", ["flat", "W"], ["scores"]),
            *nodes,
        ],
        "g",
        [helper.make_tensor_value_info("image", FLOAT, ["N", 1, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", FLOAT, ["N", CLASSES])],
        [_weights(), *(constants or [])],
    )
    opsets = [helper.make_opsetid("", 17)] + ([helper.make_opsetid("own", 1)] if functions else [])
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=functions)
    entry = model.metadata_props.add()
    entry.key, entry.value = (
        SPEC,
        text if text is not None else json.dumps(_sound_spec() if spec is None else spec),
    )
    return model


def _constant(name: str, values: Any, dtype: Any = np.int64) -> TensorProto:
    return numpy_helper.from_array(np.asarray(values, dtype), name)


SAME = [helper.make_node("Identity", ["scores"], ["logits"])]


def sound_model(**changed: Any) -> ModelProto:
    """A model that is well, but for what its spec is asked to say otherwise."""
    return _model(SAME, spec=_sound_spec(**changed))


def filled_model(shape: Sequence[int]) -> ModelProto:
    """A model with a tensor of ones of this shape between its scores and its answer."""
    one = numpy_helper.from_array(np.ones(1, np.float32))
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["big"], value=one),
        helper.make_node("ReduceMax", ["big"], ["peak"], keepdims=0),
        helper.make_node("Add", ["scores", "peak"], ["logits"]),
    ]
    return _model(nodes, constants=[_constant("shape", list(shape))])


def expanded_model(shape: Sequence[int], products: int = 0) -> ModelProto:
    """The same, made of the image's own numbers, so that nothing can be made before it comes.

    Args:
        shape: of the tensor.
        products: how many times a square one is multiplied by itself.
    """
    nodes = [
        helper.make_node("ReduceMax", ["scores"], ["one"], keepdims=0),
        helper.make_node("Expand", ["one", "shape"], ["big0"]),
        *(helper.make_node("MatMul", [f"big{each}", "big0"], [f"big{each + 1}"]) for each in range(products)),
        helper.make_node("ReduceMax", [f"big{products}"], ["peak"], keepdims=0),
        helper.make_node("Add", ["scores", "peak"], ["logits"]),
    ]
    return _model(nodes, constants=[_constant("shape", list(shape))])


def weighty_model(weight_bytes: int) -> ModelProto:
    """A model whose second layer has so many bytes of weights, or a little less."""
    wide = numpy_helper.from_array(
        np.ones((SIDE * SIDE, weight_bytes // (4 * SIDE * SIDE)), np.float32), "wide"
    )
    nodes = [
        helper.make_node("MatMul", ["flat", "wide"], ["hidden"]),
        helper.make_node("ReduceMean", ["hidden"], ["middle"], axes=[1], keepdims=1),
        helper.make_node("Add", ["scores", "middle"], ["logits"]),
    ]
    return _model(nodes, constants=[wide])


def folded_model(side: int, count: int) -> ModelProto:
    """A model that multiplies constant matrices of `side` x `side`, `count` times."""
    fill = numpy_helper.from_array(np.full(1, 1e-3, np.float32))
    nodes = [helper.make_node("ConstantOfShape", ["shape"], ["m0"], value=fill)]
    nodes += [helper.make_node("MatMul", [f"m{each}", "m0"], [f"m{each + 1}"]) for each in range(count)]
    nodes += [
        helper.make_node("ReduceMax", [f"m{count}"], ["peak"], keepdims=0),
        helper.make_node("Add", ["scores", "peak"], ["logits"]),
    ]
    return _model(nodes, constants=[_constant("shape", [side, side])])


def endless_model(turns: int) -> ModelProto:
    """A model that goes through a loop so many times."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Neg", ["state"], ["state_out"])],
        "body",
        [
            helper.make_tensor_value_info("turn", INT64, []),
            helper.make_tensor_value_info("go", BOOL, []),
            helper.make_tensor_value_info("state", FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on", BOOL, []),
            helper.make_tensor_value_info("state_out", FLOAT, None),
        ],
    )
    constants = [_constant("turns", turns), _constant("yes", values=True, dtype=np.bool_)]
    return _model(
        [helper.make_node("Loop", ["turns", "yes", "scores"], ["logits"], body=body)], constants=constants
    )


def _spec(rng: random.Random) -> Case:
    """Values of odd types in the JSON."""
    document = edited_document(rng, _sound_spec(), changes=rng.choice((1, 1, 2)))
    text = json.dumps(document)
    if rng.random() < 0.1:
        text = rng.choice(
            (
                text[:-5],
                "[" * 100_000,
                text.replace("1.0", "NaN"),
                text.replace("1.0", "1e999"),
                '{"a":' * 9_000,
            )
        )
    return _case("odd values in the spec", _model(SAME, text=text))


def _steps(rng: random.Random) -> Case:
    """Preprocessing that makes pictures large, many times, or never the size of the graph's input."""
    extra = [
        {"step": "pad", "px": rng.choice((1, 4_096, 100_000, 2**31 - 1, 0, -4))},
        {"step": "resize", "size": rng.choice((1, 4_096, 30_000, 2**31 - 1))},
        {"step": "centre", "size": rng.choice((4_096, 40_000))},
        {
            "step": "stroke",
            "size": rng.choice((1, 9_000)),
            "thinnest": rng.choice((1e9, 5.0)),
            "thickest": 1e9,
        },
        {"step": rng.choice(("ink", "crop", "grey", "polarity", "ink_box"))},
    ]
    chosen = [rng.choice(extra) for _ in range(rng.choice((1, 2, 3)))] * rng.choice((1, 1, 3, 20, 2_000))
    at = rng.randint(0, len(STEPS) - 1)
    return _case(
        "preprocessing that grows",
        _model(SAME, spec=_sound_spec(preprocessing=STEPS[:at] + chosen + STEPS[at:])),
    )


UNARY = (
    "Log",
    "Sqrt",
    "Reciprocal",
    "Exp",
    "Neg",
    "Erf",
    "Acos",
    "Softmax",
    "LogSoftmax",
    "Relu",
    "Tan",
    "Cosh",
    "Floor",
    "Hardmax",
)
SHRINKING = ("ReduceSum", "ReduceMax", "ReduceLogSum", "NonZero", "Shape", "Unsqueeze", "TopK")
FOREIGN = ("RandomNormalLike", "Dropout", "Unknown", "LSTM", "StringNormalizer", "Cast")
BINARY = ("Div", "Sub", "Mul", "Add", "Pow", "Mod")


def _graph(rng: random.Random) -> Case:
    """Some operators between the scores and the logits: not a number, other shapes, indices out of bounds."""
    nodes: list[NodeProto] = []
    constants: list[TensorProto] = []
    last = "scores"
    for number in range(rng.randint(1, 4)):
        out = f"v{number}"
        node = _any_node(rng, last, out, number, constants)
        nodes.append(node)
        last = out
    nodes.append(helper.make_node("Identity", [last], ["logits"]))
    return _case("operators of chance", _model(nodes, constants=constants))


def _any_node(
    rng: random.Random, last: str, out: str, number: int, constants: list[TensorProto]
) -> NodeProto:
    def constant(values: Any, dtype: Any = np.int64) -> str:
        constants.append(_constant(f"c{number}_{len(constants)}", values, dtype))
        return constants[-1].name

    def node(operator: str, *inputs: str, **attributes: Any) -> NodeProto:
        return helper.make_node(operator, [last, *inputs], [out], **attributes)

    def gathered() -> NodeProto:
        count = rng.choice((1, CLASSES))
        indices = [rng.choice((0, 9, 10, 1_000, 2**31, -(2**40))) for _ in range(count)]
        return node("Gather", constant(indices), axis=rng.choice((0, 1, 1, 7)))

    def sliced() -> NodeProto:
        first, stop = rng.choice((0, 1, 50)), rng.choice((0, 1, 2**62))
        return node("Slice", constant([first]), constant([stop]), constant([0]))

    def shaped(operator: str, *shapes: list[int]) -> NodeProto:
        return node(operator, constant(rng.choice(shapes)))

    recipes: tuple[Callable[[], NodeProto], ...] = (
        lambda: node(rng.choice(UNARY)),
        lambda: node(rng.choice(UNARY)),
        lambda: node(rng.choice(BINARY), rng.choice((last, constant(0.0, np.float32)))),
        gathered,
        sliced,
        lambda: node("Concat", *[last] * rng.choice((1, 2, 49)), axis=rng.choice((0, 1))),
        lambda: node("Transpose", perm=rng.choice(([1, 0], [0, 1], [0, 0]))),
        lambda: shaped("Reshape", [-1], [CLASSES, -1], [0, 0], [1, -1], [-1, 5], [2**40, 2], [-1, CLASSES]),
        lambda: shaped("Tile", [1, 1], [2, 1], [1, 2], [100_000, 1], [2**31, 2**31]),
        lambda: shaped("Pad", [0, 0, 0, 0], [1, 0, 0, 0], [0, 2**30, 0, 0], [-5, 0, 0, 0]),
        lambda: shaped("Expand", [1, 1], [3, CLASSES], [2**31, 1, CLASSES], [4_000_000, 1, 1]),
        lambda: node(rng.choice(SHRINKING)),
        lambda: node(rng.choice(FOREIGN)),
    )
    return rng.choice(recipes)()


def _grown(rng: random.Random) -> Case:
    """Tensors that are short to write and large to make, at run time or when the graph is made ready."""
    size = rng.choice((20_000, 60_000, 2**31, 2**40))
    shape = rng.choice(([size, size], [size], [1, size * 10], [size, 1, 1, 4]))
    constants = [_constant("shape", shape)]
    nodes = [
        helper.make_node(
            "ConstantOfShape", ["shape"], ["big"], value=numpy_helper.from_array(np.ones(1, np.float32))
        )
    ]
    tied = "big"
    if rng.random() < 0.5:  # of the image's own numbers, so that nothing can be made before it comes
        constants.append(_constant("row", [0]))
        nodes = [
            helper.make_node("ReduceMax", ["scores"], ["one"], keepdims=0),
            helper.make_node(rng.choice(("Expand", "Expand", "Tile")), ["one", "shape"], ["big"]),
        ]
    for number in range(rng.randint(0, 3)):
        nodes.append(helper.make_node(rng.choice(("Exp", "Identity", "Relu", "Neg")), [tied], [f"b{number}"]))
        tied = f"b{number}"
    nodes += [
        helper.make_node("ReduceMax", [tied], ["peak"], keepdims=0),
        helper.make_node("Add", ["scores", "peak"], ["logits"]),
    ]
    return _case("tensors that grow", _model(nodes, constants=constants))


def _endless(rng: random.Random) -> Case:
    """Loops of many turns, branches, scans."""
    turns = rng.choice((3, 10**6, 2**40, 2**62))
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["on"]),
            helper.make_node(rng.choice(("Identity", "Neg", "Tanh")), ["state"], ["state_out"]),
            *([helper.make_node("Identity", ["state"], ["kept"])] if (keeps := rng.random() < 0.3) else []),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", INT64, []),
            helper.make_tensor_value_info("go", BOOL, []),
            helper.make_tensor_value_info("state", FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on", BOOL, []),
            helper.make_tensor_value_info("state_out", FLOAT, None),
            *([helper.make_tensor_value_info("kept", FLOAT, None)] if keeps else []),
        ],
    )
    constants = [_constant("turns", turns), _constant("yes", True, np.bool_)]
    outputs = ["logits", "all"] if keeps else ["logits"]
    nodes = [
        helper.make_node("Loop", [rng.choice(("turns", "turns", "")), "yes", "scores"], outputs, body=body)
    ]
    if rng.random() < 0.2:
        branch = helper.make_graph(
            [helper.make_node("Identity", ["scores"], ["z"])],
            "b",
            [],
            [helper.make_tensor_value_info("z", FLOAT, None)],
        )
        nodes = [helper.make_node("If", ["yes"], ["logits"], then_branch=branch, else_branch=branch)]
    return _case("loops and branches", _model(nodes, constants=constants))


def _nested(rng: random.Random) -> Case:
    """Functions that call one another twice, and so on."""
    depth, wide = rng.choice((3, 12, 25, 400)), rng.choice((1, 2, 2, 3))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    functions = [
        helper.make_function("own", "f0", ["x"], ["y"], [helper.make_node("Neg", ["x"], ["y"])], opsets)
    ]
    for level in range(1, depth):
        names = ["x", *(f"h{number}" for number in range(wide - 1)), "y"]
        calls = [
            helper.make_node(f"f{level - 1}", [a], [b], domain="own") for a, b in itertools.pairwise(names)
        ]
        functions.append(helper.make_function("own", f"f{level}", ["x"], ["y"], calls, opsets))
    if rng.random() < 0.1:  # a circle
        functions[0].node[0].CopyFrom(helper.make_node(f"f{depth - 1}", ["x"], ["y"], domain="own"))
    nodes = [helper.make_node(f"f{depth - 1}", ["scores"], ["logits"], domain="own")]
    return _case("functions within functions", _model(nodes, functions=functions))


def _folded(rng: random.Random) -> Case:
    """Work on constants alone, which an optimiser does while the model is opened."""
    return _case("work on constants", folded_model(rng.choice((64, 1_000, 3_000)), rng.choice((5, 40, 300))))


@cache
def _shipped() -> list[bytes]:
    folder = Path(__file__).parent.parent / "src" / "kalamos" / "zoo"
    return [path.read_bytes() for path in sorted(folder.glob("*.onnx")) if path.stat().st_size < 3_000_000]


def _tensors(rng: random.Random) -> Case:
    """A shipped model with one thing changed: an operator, an attribute, a shape, a name, a weight's type."""
    model = onnx.load_from_string(rng.choice(_shipped()))
    for _ in range(rng.choice((1, 1, 2))):
        node = rng.choice(model.graph.node)
        tensor = rng.choice(model.graph.initializer)
        match rng.randrange(9):
            case 0:
                node.op_type = rng.choice(
                    (
                        *UNARY,
                        *BINARY,
                        "MaxPool",
                        "AveragePool",
                        "Conv",
                        "ConvTranspose",
                        "Resize",
                        "Gemm",
                        "Flatten",
                    )
                )
            case 1:
                _change_attribute(rng, node)
            case 2:
                del tensor.dims[rng.randint(0, len(tensor.dims)) :]
                tensor.dims.append(rng.choice((0, 1, 2**20, -1, 2**40)))
            case 3:
                tensor.data_type = rng.choice(list(TensorProto.DataType.values()))
            case 4 if node.input:
                node.input[rng.randrange(len(node.input))] = rng.choice((tensor.name, "", "nothing", "image"))
            case 5:
                model.graph.node.remove(node)
            case 6:
                tensor.data_location = TensorProto.EXTERNAL
                entry = tensor.external_data.add()
                entry.key, entry.value = "location", rng.choice(("/etc/passwd", "../x", "*/_ORT_MEM_ADDR_/*"))
            case 7:
                dims = model.graph.input[0].type.tensor_type.shape.dim
                dims[rng.randrange(len(dims))].dim_value = rng.choice((0, 1, 3, 2**31))
            case _:
                raw = np.frombuffer(tensor.raw_data, np.float32).copy() if tensor.data_type == FLOAT else None
                if raw is not None and raw.size:
                    raw = np.full_like(raw, rng.choice((0.0, 1e30, -1e38)))
                    tensor.raw_data = raw.tobytes()
    return _case("a shipped model changed", model)


def _change_attribute(rng: random.Random, node: NodeProto) -> None:
    if not node.attribute:
        node.attribute.append(
            helper.make_attribute(rng.choice(("axis", "group", "pads")), rng.choice((0, 9, -3)))
        )
        return
    attribute = rng.choice(node.attribute)
    if attribute.type == AttributeProto.INTS:
        at = rng.randrange(len(attribute.ints) or 1)
        attribute.ints[at:] = [rng.choice((0, 1, 3, 500, 1_000_000, 2**40, -1))] * max(
            1, len(attribute.ints) - at
        )
    elif attribute.type == AttributeProto.INT:
        attribute.i = rng.choice((0, 1, 7, 500, 2**40, -1))
    elif attribute.type == AttributeProto.FLOAT:
        attribute.f = rng.choice((0.0, -1.0, 1e38, 1e-45))
    else:
        attribute.name = "x"


def _bytes(rng: random.Random) -> Case:
    return _case(
        "bytes changed", mutated(rng, rng.choice((_model(SAME).SerializeToString(), rng.choice(_shipped()))))
    )


def _memory(rng: random.Random) -> Case:
    """What a model remembers for teaching: arrays that unpack to far more, or of other shapes."""
    model = onnx.load_from_string(rng.choice(_shipped()))
    for entry in model.metadata_props:
        if entry.key == MEMORY:
            entry.value = _array_file(rng)
            break
    else:
        entry = model.metadata_props.add()
        entry.key, entry.value = MEMORY, _array_file(rng)
    return _case("a memory that unpacks to far more", model, teach=True)


def _array_file(rng: random.Random) -> str:
    stream = io.BytesIO()
    numbers = rng.choice((50, 1_000_000, 400_000_000))
    shape = rng.choice(((numbers // 10, 10), (10, numbers // 10), (numbers,)))
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("means", "factor", "rest"):
            head = io.BytesIO()
            np.lib.format.write_array_header_1_0(
                head, {"descr": rng.choice(("<f2", "<f8")), "fortran_order": False, "shape": shape}
            )
            archive.writestr(name + ".npy", head.getvalue())
    data = stream.getvalue()
    return base64.b64encode(_with_zeros(data, 2 * numbers)).decode()


def _with_zeros(data: bytes, zeros: int) -> bytes:
    """The archive again, each member followed by zeros that take some kB for hundreds of megabytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w") as new:
        for name in old.namelist():
            _add_packed(new, name, old.read(name), zeros)
    return stream.getvalue()


def _add_packed(archive: zipfile.ZipFile, name: str, head: bytes, zeros: int) -> None:
    import zlib

    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH) + long_deflate(zeros)
    info = zipfile.ZipInfo(name)
    archive.writestr(info, packed)
    info.compress_type, info.file_size = zipfile.ZIP_DEFLATED, len(head) + zeros
    info.CRC = zlib.crc32(head)
    block = bytes(1 << 22)
    for at in range(0, zeros, len(block)):
        info.CRC = zlib.crc32(block[: zeros - at], info.CRC)
