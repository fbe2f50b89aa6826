"""Small model files that ask for too much, or for what must not be run: made here, each of another kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from kalamos.model_file import METADATA_KEY, ModelSpec

SIZE, CLASSES = 4, 3
NODE = helper.make_node
STEPS: tuple[dict[str, object], ...] = (
    {"step": "resize", "size": 3},
    {"step": "centre", "size": SIZE},
    {"step": "normalise", "mean": 0.0, "std": 1.0},
)


def model(
    spec: ModelSpec,
    nodes: Sequence[NodeProto],
    arrays: dict[str, np.ndarray] | None = None,
    *,
    opset: int = 18,
    functions: Sequence[onnx.FunctionProto] = (),
    domains: Sequence[str] = (),
    **changes: object,
) -> bytes:
    """A linear model whose logits "sound" go through `nodes`, which have to give "logits"."""
    weight = np.random.default_rng(0).normal(size=(SIZE * SIZE, CLASSES)).astype(np.float32)
    graph = helper.make_graph(
        [NODE("Flatten", ["images"], ["flat"]), NODE("MatMul", ["flat", "weight"], ["sound"]), *nodes],
        "hostile",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 1, SIZE, SIZE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", CLASSES])],
        [
            numpy_helper.from_array(weight, "weight"),
            *(numpy_helper.from_array(np.asarray(array), name) for name, array in (arrays or {}).items()),
        ],
    )
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    changes = {"feature_maps": (), "preprocessing": STEPS, **changes}
    made = helper.make_model(graph, opset_imports=imports, ir_version=9, functions=list(functions))
    helper.set_model_props(
        made,
        {METADATA_KEY: replace(spec, **changes).to_json()},  # type: ignore[arg-type]
    )
    content: bytes = made.SerializeToString()
    return content


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def floats(*shape: int) -> np.ndarray:
    return np.full(shape, 0.5, np.float32)


def added(name: str) -> NodeProto:
    """The logits, with a tensor of one element, or one row, added."""
    return NODE("Add", ["sound", name], ["logits"])


def endless_loop(spec: ModelSpec) -> bytes:
    body = helper.make_graph(
        [NODE("Identity", ["going"], ["still"]), NODE("Identity", ["was"], ["is"])],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("was", TensorProto.FLOAT, [1]),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("is", TensorProto.FLOAT, [1]),
        ],
    )
    loop = NODE("Loop", ["turns", "yes", "zero"], ["last"], body=body)
    arrays = {"turns": np.array(2**62), "yes": np.array(True), "zero": floats(1)}
    return model(spec, [loop, added("last")], arrays)


def doubling_functions(spec: ModelSpec) -> bytes:
    """Each function calls the one before twice: 2**25 nodes when they are unfolded."""
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
    functions = [
        helper.make_function("own", "f0", ["x"], ["y"], [NODE("Relu", ["x"], ["y"])], imports),
        *(
            helper.make_function(
                "own",
                f"f{level}",
                ["x"],
                ["y"],
                [
                    NODE(f"f{level - 1}", ["x"], ["z"], domain="own"),
                    NODE(f"f{level - 1}", ["z"], ["y"], domain="own"),
                ],
                imports,
            )
            for level in range(1, 26)
        ),
    ]
    node = NODE("f25", ["sound"], ["logits"], domain="own")
    return model(spec, [node], functions=functions, domains=["own"])


def choice(spec: ModelSpec) -> bytes:
    branch = helper.make_graph(
        [NODE("Identity", ["sound"], ["kept"])],
        "branch",
        [],
        [helper.make_tensor_value_info("kept", TensorProto.FLOAT, None)],
    )
    node = NODE("If", ["yes"], ["logits"], then_branch=branch, else_branch=branch)
    return model(spec, [node], {"yes": np.array(True)})


def product_of_constants(spec: ModelSpec) -> bytes:
    """Work while the file is opened: nothing of it depends on an image."""
    nodes = [NODE("Expand", ["one", "shape"], ["m0"])]
    nodes += [NODE("MatMul", [f"m{i}", f"m{i}"], [f"m{i + 1}"]) for i in range(40)]
    nodes += [NODE("ReduceMin", [f"m{40}"], ["least"], keepdims=0), added("least")]
    return model(spec, nodes, {"one": floats(1, 1), "shape": ints(4096, 4096)})


def small_products(spec: ModelSpec) -> bytes:
    """As many multiply-adds, of matrices that take little memory."""
    nodes = [NODE("MatMul", ["m", "m"], ["m0"])]
    nodes += [NODE("MatMul", [f"m{i}", "m"], [f"m{i + 1}"]) for i in range(900)]
    nodes += [NODE("ReduceMin", ["m900"], ["least"], keepdims=0), added("least")]
    return model(spec, nodes, {"m": floats(256, 256)})


def grown(operator: str, array: np.ndarray, **attributes: object) -> Callable[[ModelSpec], bytes]:
    def make(spec: ModelSpec) -> bytes:
        nodes = [
            NODE(operator, ["images", "by"], ["huge"], **attributes),
            NODE("ReduceMax", ["huge"], ["most"], keepdims=0),
            added("most"),
        ]
        return model(spec, nodes, {"by": array})

    return make


def doubled(spec: ModelSpec) -> bytes:
    """Thirty tensors, each twice the one before."""
    nodes = [NODE("Concat", ["images", "images"], ["d0"], axis=2)]
    nodes += [NODE("Concat", [f"d{i}", f"d{i}"], [f"d{i + 1}"], axis=2) for i in range(30)]
    return model(spec, [*nodes, NODE("ReduceMax", ["d30"], ["most"], keepdims=0), added("most")])


def many_branches(spec: ModelSpec) -> bytes:
    """Each tensor is small enough; all are held until the last node."""
    nodes = [NODE("Tile", ["images", "by"], ["wide"])]
    nodes += [NODE("Add", ["wide", f"c{i}"], [f"b{i}"]) for i in range(100)]
    nodes += [NODE("Concat", [f"b{i}" for i in range(100)], ["all"], axis=1)]
    nodes += [NODE("ReduceMax", ["all"], ["most"], keepdims=0), added("most")]
    constants = {f"c{i}": np.float32([i]) for i in range(100)}
    return model(spec, nodes, {"by": ints(1, 1, 256, 256), **constants})


def enlarged(spec: ModelSpec) -> bytes:
    nodes = [
        NODE("Resize", ["images", "", "scales"], ["huge"], mode="cubic"),
        NODE("ReduceMax", ["huge"], ["most"], keepdims=0),
        added("most"),
    ]
    return model(spec, nodes, {"scales": np.array([1, 1, 9000, 9000], np.float32)})


def convolved(spec: ModelSpec) -> bytes:
    nodes = [
        NODE("Conv", ["images", "kernel"], ["huge"], pads=[1000] * 4),
        NODE("Conv", ["huge", "more"], ["larger"], pads=[500] * 4, dilations=[200, 200]),
        NODE("ReduceMax", ["larger"], ["most"], keepdims=0),
        added("most"),
    ]
    return model(spec, nodes, {"kernel": floats(64, 1, 4, 4), "more": floats(64, 64, 3, 3)})


def counted(spec: ModelSpec) -> bytes:
    nodes = [
        NODE("Range", ["from", "to", "by"], ["many"]),
        NODE("Cast", ["many"], ["numbers"], to=TensorProto.FLOAT),
        NODE("ReduceMax", ["numbers"], ["most"], keepdims=0),
        added("most"),
    ]
    return model(spec, nodes, {"from": np.array(0), "to": np.array(2**31 - 2), "by": np.array(1)})


def gathered(spec: ModelSpec) -> bytes:
    nodes = [
        NODE("Expand", ["none", "shape"], ["places"]),
        NODE("Gather", ["images", "places"], ["g"], axis=3),
    ]
    return model(spec, [*nodes, NODE("ReduceMax", ["g"], ["most"], keepdims=0), added("most")], {
        "none": np.array(0), "shape": ints(30_000, 30_000),
    })  # fmt: skip


def of_unknown_size(spec: ModelSpec) -> bytes:
    """A shape that an image decides."""
    nodes = [
        NODE("ReduceMax", ["images"], ["bright"], keepdims=0),
        NODE("Cast", ["bright"], ["count"], to=TensorProto.INT64),
        NODE("Reshape", ["count", "one"], ["shape"]),
        NODE("Expand", ["half", "shape"], ["huge"]),
        NODE("ReduceMax", ["huge"], ["most"], keepdims=0),
        added("most"),
    ]
    return model(spec, nodes, {"one": ints(1), "half": floats(1)})


def square_of_the_batch(spec: ModelSpec) -> bytes:
    """Rows that grow with the square of the number of images."""
    nodes = [
        NODE("Transpose", ["sound"], ["turned"], perm=[1, 0]),
        NODE("MatMul", ["sound", "turned"], ["pairs"]),
        NODE("Flatten", ["pairs"], ["line"], axis=0),
        NODE("ReduceMax", ["line"], ["most"], keepdims=0),
        added("most"),
    ]
    return model(spec, nodes)


def einsum(spec: ModelSpec) -> bytes:
    nodes = [NODE("Einsum", ["sound", "m"], ["logits"], equation="ni,abcdefi->ni")]
    return model(spec, nodes, {"m": floats(9, 9, 9, 9, 9, 9, 3)})


def many_nodes(spec: ModelSpec) -> bytes:
    nodes = [NODE("Relu", ["sound"], ["n0"])]
    nodes += [NODE("Relu", [f"n{i}"], [f"n{i + 1}"]) for i in range(100_000)]
    return model(spec, [*nodes, NODE("Relu", ["n100000"], ["logits"])])


def long_names(spec: ModelSpec) -> bytes:
    return model(spec, [NODE("Relu", ["sound"], ["x" * 10**6]), NODE("Relu", ["x" * 10**6], ["logits"])])


def circle(spec: ModelSpec) -> bytes:
    nodes = [NODE("Add", ["sound", "b"], ["a"]), NODE("Relu", ["a"], ["b"]), NODE("Relu", ["b"], ["logits"])]
    return model(spec, nodes)


def twice(spec: ModelSpec) -> bytes:
    return model(spec, [NODE("Relu", ["sound"], ["sound"]), NODE("Relu", ["sound"], ["logits"])])


def division_of_whole_numbers(spec: ModelSpec) -> bytes:
    """By zero: it ends the process."""
    nodes = [
        NODE("Cast", ["images"], ["whole"], to=TensorProto.INT64),
        NODE("Div", ["one", "whole"], ["endless"]),
        NODE("Cast", ["endless"], ["number"], to=TensorProto.FLOAT),
        NODE("ReduceMax", ["number"], ["most"], keepdims=0),
        added("most"),
    ]
    return model(spec, nodes, {"one": ints(1)})


def padded_steps(spec: ModelSpec) -> bytes:
    steps = [{"step": "pad", "px": 4096}] * 20
    return model(spec, [NODE("Relu", ["sound"], ["logits"])], preprocessing=(*steps, *STEPS))


def enlarged_steps(spec: ModelSpec) -> bytes:
    steps = [{"step": "resize", "size": 4096}, {"step": "pad", "px": 4096}] * 6
    return model(spec, [NODE("Relu", ["sound"], ["logits"])], preprocessing=(*steps, *STEPS))


def rows_twice(spec: ModelSpec) -> bytes:
    return model(spec, [NODE("Concat", ["sound", "sound"], ["logits"], axis=0)])


def beyond_the_end(spec: ModelSpec) -> bytes:
    nodes = [NODE("Gather", ["sound", "place"], ["logits"], axis=1)]
    return model(spec, nodes, {"place": ints(0, 1, 10**9)})


def beyond_the_end_when_run(spec: ModelSpec) -> bytes:
    """Only an image tells the place."""
    nodes = [
        NODE("ReduceMax", ["images"], ["bright"], keepdims=0),
        NODE("Mul", ["bright", "far"], ["place"]),
        NODE("Cast", ["place"], ["whole"], to=TensorProto.INT64),
        NODE("Gather", ["table", "whole"], ["found"]),
        added("found"),
    ]
    return model(spec, nodes, {"far": np.array(1e6, np.float32), "table": floats(3)})


def nothing_by_nothing(spec: ModelSpec) -> bytes:
    """NaN for every image."""
    nodes = [NODE("Sub", ["sound", "sound"], ["zero"]), NODE("Div", ["zero", "zero"], ["logits"])]
    return model(spec, nodes)


def infinite(spec: ModelSpec) -> bytes:
    nodes = [NODE("Mul", ["sound", "large"], ["a"]), NODE("Mul", ["a", "large"], ["logits"])]
    return model(spec, nodes, {"large": np.array(3e38, np.float32)})


REFUSED: dict[str, Callable[[ModelSpec], bytes]] = {
    made.__name__: made
    for made in (
        *(endless_loop, doubling_functions, choice, product_of_constants, small_products, doubled),
        *(
            many_branches,
            enlarged,
            convolved,
            counted,
            gathered,
            of_unknown_size,
            square_of_the_batch,
            einsum,
        ),
        *(many_nodes, long_names, circle, twice, division_of_whole_numbers, rows_twice, beyond_the_end),
    )
} | {
    "tiled": grown("Tile", ints(1, 1, 10_000, 10_000)),
    "expanded": grown("Expand", ints(1, 1000, 1000, 4, 4)),
    "padded": grown("Pad", ints(0, 0, 10_000, 10_000, 0, 0, 10_000, 10_000)),
    "kernel": grown("Conv", floats(1, 1, 2, 2), pads=[10**6] * 4),
    "strides_of_none": grown("Conv", floats(1, 1, 2, 2), strides=[0, 0]),
    "groups_of_none": grown("Conv", floats(1, 1, 2, 2), group=0),
    "negative_pads": grown("Conv", floats(1, 1, 2, 2), pads=[-3, -3, -3, -3]),
    "upside_down": grown("ConvTranspose", floats(1, 1, 900, 900), strides=[900, 900]),
}
"""Refused when opened."""

UNUSABLE = {made.__name__: made for made in (padded_steps, enlarged_steps)}
"""Refused where the model is made ready to read: its preprocessing is the bomb."""

FAILING = {made.__name__: made for made in (beyond_the_end_when_run, nothing_by_nothing, infinite)}
"""They open, and fail on an image."""
