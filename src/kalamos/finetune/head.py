"""The last dense layer of an ONNX file, and logistic regression on it.

The last dense layer of a model file: what it takes, how it weighs that, and another in its place.

Multinomial logistic regression that begins at a head and stays near it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kalamos.errors import MissingExtraError, ModelFileError
from kalamos.model_file import Embedding, ModelSpec, open_graph
from kalamos.model_file.load import KNOWN_OUTPUT, LOGITS_OUTPUT

if TYPE_CHECKING:
    import onnx

__all__ = ["MAX_REGRESSION", "MOST_STEPS", "Head", "fit_head", "split_model", "with_head"]

WEIGHT, BIAS = "teaching.weight", "teaching.bias"
"""Names that no exporter gives, for a last layer whose own weights have none."""

KNOWN_NODE = "teaching.known"
"""The node that tells whether an image is one of a taught alphabet's characters."""

SEEN_WEIGHT, SEEN_BIAS = "teaching.seen.weight", "teaching.seen.bias"
"""What is looked at, by names that no model file has: a taught one has those above."""


@dataclass(frozen=True)
class Head:
    """A dense layer: logits = embeddings @ weight.T + bias.

    Attributes:
        weight: float64 [C, D].
        bias: float64 [C].

    >>> Head(np.eye(2), np.array([0.0, 1.0])).logits(np.array([[3.0, 4.0]])).tolist()
    [[3.0, 5.0]]
    """

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]

    def logits(self, embeddings: NDArray[np.floating]) -> NDArray[np.float64]:
        """Embeddings [N, D] -> float64 [N, C]."""
        found: NDArray[np.float64] = embeddings @ self.weight.T + self.bias
        return found


def split_model(content: bytes, spec: ModelSpec, where: str) -> tuple[Embedding, Head]:
    """Take a model apart before its last dense layer.

    Works on float models and on int8 ones; the weights of those come out as the numbers they stand for.

    Args:
        content: a model file that `kalamos.model_file.open_model` takes.
        where: what to call it in messages.

    Raises:
        ModelFileError: its logits do not come out of a dense layer.
        MissingExtraError: the package `onnx` is not installed.
    """
    model = _parsed(content)
    layer = _last_layer(model.graph, where)
    wanted = dict(zip((SEEN_WEIGHT, SEEN_BIAS), filter(None, layer.input[1:]), strict=False))
    # The weights as the graph sees them: an int8 model computes them from integers.
    session = open_graph(_with_outputs(model, wanted), spec, where)
    blank = np.zeros((1, 1, spec.input_size, spec.input_size), np.float32)
    found = dict(zip(wanted, session.run(list(wanted), blank), strict=True))
    scales = _attributes(layer)
    weight = scales["alpha"] * found[SEEN_WEIGHT].astype(np.float64)
    if not scales["transB"]:
        weight = weight.T
    bias = scales["beta"] * np.asarray(found.get(SEEN_BIAS, 0), np.float64).reshape(-1)
    return Embedding(content, spec, where), Head(weight, np.broadcast_to(bias, len(weight)))


def with_head(
    content: bytes,
    head: Head,
    metadata: Mapping[str, str],
    where: str,
    *,
    known: bool = False,
) -> bytes:
    """The model file with another last layer, float32, and other metadata.

    Args:
        known: give the file an output "known", the largest logit. One that it has stays.

    Raises:
        ModelFileError: its logits do not come out of a dense layer.
        MissingExtraError: the package `onnx` is not installed.
    """
    import onnx
    from onnx import helper, numpy_helper

    model = _parsed(content)
    graph = model.graph
    layer = _last_layer(graph, where)
    embeddings, name = layer.input[0], layer.name
    # Under their names `kalamos export` finds the weights again.
    inputs = {tensor.name for tensor in graph.initializer} & set(layer.input[1:])
    weight, bias = ([*layer.input[1:], ""] if len(inputs) == 2 else [WEIGHT, BIAS])[:2]
    graph.node.remove(layer)
    # It takes the logits, and so comes after the new layer.
    told = [node for node in graph.node if node.name.startswith(KNOWN_NODE)]
    for node in told:
        graph.node.remove(node)
    _prune(graph, {embeddings, *(output.name for output in graph.output)})
    graph.initializer.extend(
        numpy_helper.from_array(values.astype(np.float32), key)
        for key, values in ((weight, head.weight), (bias, head.bias))
    )
    graph.node.append(helper.make_node("Gemm", [embeddings, weight, bias], [LOGITS_OUTPUT], name, transB=1))
    if known and not told:
        graph.output.append(helper.make_tensor_value_info(KNOWN_OUTPUT, onnx.TensorProto.FLOAT, ["batch"]))
    if known or told:
        axes, largest = f"{KNOWN_NODE}.axes", f"{KNOWN_NODE}.largest"
        graph.node.append(helper.make_node("Constant", [], [axes], axes, value_ints=[1]))
        graph.node.append(
            helper.make_node("ReduceMax", [LOGITS_OUTPUT, axes], [KNOWN_OUTPUT], largest, keepdims=0)
        )
    kept = [value for value in graph.value_info if value.name not in {LOGITS_OUTPUT, weight, bias}]
    del graph.value_info[:]
    graph.value_info.extend(kept)
    graph.output[0].type.tensor_type.shape.dim[1].dim_value = len(head.bias)
    helper.set_model_props(model, dict(metadata))
    written: bytes = model.SerializeToString(deterministic=True)
    return written


def _parsed(content: bytes) -> onnx.ModelProto:
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError(
            "teaching writes a model with the package onnx, which is not installed", extra="teach"
        ) from error
    return onnx.load_from_string(content)


def _last_layer(graph: onnx.GraphProto, where: str) -> onnx.NodeProto:
    layer: onnx.NodeProto | None = next((node for node in graph.node if LOGITS_OUTPUT in node.output), None)
    if layer is None or layer.op_type != "Gemm" or _attributes(layer)["transA"]:
        found = "no layer" if layer is None else f"a layer {layer.op_type}"
        raise ModelFileError(
            f"{where}: its logits come out of {found}, where teaching needs a dense one (Gemm)",
            remedy="teach a model that ends in a dense layer, as those of the kalamos architectures do",
        )
    return layer


def _attributes(layer: onnx.NodeProto) -> dict[str, Any]:
    from onnx import helper

    given = {attribute.name: helper.get_attribute_value(attribute) for attribute in layer.attribute}
    return {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0} | given


def _with_outputs(model: onnx.ModelProto, sources: dict[str, str]) -> bytes:
    """The model with the outputs `name <- tensor` in place of its own."""
    from onnx import ModelProto, TensorProto, helper

    other = ModelProto()
    other.CopyFrom(model)
    graph = other.graph
    del graph.output[:]
    for name, source in sources.items():
        graph.node.append(helper.make_node("Identity", [source], [name]))
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    content: bytes = other.SerializeToString()
    return content


def _prune(graph: onnx.GraphProto, used: set[str]) -> None:
    """Take out the nodes and tensors that nothing in `used` needs."""
    kept = []
    for node in reversed(graph.node):  # a graph is in topological order
        if used & set(node.output):
            kept.append(node)
            used |= set(node.input)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    for tensors in (graph.initializer, graph.input):
        remaining = [tensor for tensor in tensors if tensor.name in used]
        del tensors[:]
        tensors.extend(remaining)


MAX_REGRESSION = 2_000_000
"""Embeddings times classes up to which logistic regression is worth its time, a few seconds of one core. More
classes are told as well by their means alone."""

EARLY_STEPS, MOST_STEPS = 10, 60
"""Of L-BFGS. The few stop near the start, where what a model knew before is still safe: the minimum itself
has a new class take more from the old ones. The many find the minimum."""

MIN_FIT_GAIN = 1e-6
"""In nats: a step that gains less is the last."""


def fit_head(
    start: Head,
    embeddings: NDArray[np.floating],
    labels: NDArray[np.int64],
    weights: NDArray[np.float64],
    *,
    trainable: NDArray[np.bool_],
    temperature: float = 1.0,
    penalty: float = 1e-3,
    bias: bool = True,
    steps: int = EARLY_STEPS,
) -> Head:
    """Minimise the weighted cross-entropy of softmax(logits / temperature), plus a penalty on moving away.

    Args:
        start: a head of C classes over D numbers.
        embeddings: [N, D].
        labels: int64 [N], in [0, C).
        weights: float64 [N], above 0; only their shares count.
        trainable: bool [C], the classes whose rows may change.
        penalty: of the squared change of the weights, in units of the embeddings' mean variance.
        bias: whether the bias may change too, which nothing holds back.
        steps: at most.

    >>> start = Head(np.zeros((2, 1)), np.zeros(2))
    >>> found = fit_head(
    ...     start, np.array([[-1.0], [1.0]]), np.array([0, 1]), np.ones(2), trainable=np.array([False, True])
    ... )
    >>> found.weight[0].tolist(), bool(found.weight[1, 0] > 1)
    ([0.0], True)
    """
    from scipy.optimize import minimize

    wide = embeddings / temperature
    spread = float(wide.var(axis=0, dtype=np.float64).mean()) or 1.0
    if bias:
        wide = np.hstack([wide, np.full((len(wide), 1), 1 / temperature)])
    inputs = wide.astype(np.float32)  # takes half the time of float64, and finds the same minimum
    pull = np.full(inputs.shape[1], penalty * spread)
    pull[embeddings.shape[1] :] = 0.0
    shares = (weights / weights.sum()).astype(np.float32)[:, np.newaxis]
    begun = (start.logits(embeddings) / temperature).astype(np.float32)
    free, rows = np.flatnonzero(trainable), np.arange(len(labels))

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        change = flat.reshape(len(free), -1)
        errors = begun.copy()
        errors[:, free] += inputs @ change.T.astype(np.float32)
        errors -= errors.max(axis=1, keepdims=True)
        right = errors[rows, labels]
        np.exp(errors, out=errors)
        total = errors.sum(axis=1, keepdims=True)
        value = float(np.vdot(shares, np.log(total[:, 0]) - right) + (pull * np.square(change)).sum() / 2)
        errors /= total
        errors[rows, labels] -= 1
        errors *= shares
        slope = errors[:, free].T @ inputs + pull * change
        return value, slope.ravel()

    begin = np.zeros(len(free) * inputs.shape[1])
    options = {"maxiter": steps, "ftol": MIN_FIT_GAIN}
    found = minimize(loss, begin, jac=True, method="L-BFGS-B", options=options).x.reshape(len(free), -1)
    weight, moved = start.weight.copy(), start.bias.copy()
    weight[free] += found[:, : weight.shape[1]]
    if bias:
        moved[free] += found[:, -1]
    return Head(weight, moved)
