"""What one run of a graph costs, found before onnxruntime sees it: every node inferred, in order, or refused.

onnxruntime computes what does not depend on the images while it opens a file, without any bound of its own,
and allocates whatever a graph asks for. Here the work and the memory are added up first. The memory of a run
is bounded for every order in which the nodes may run: a tensor that one node alone takes is gone once that
node has given its own, so of a chain of such tensors at most one is held (and one more while a node runs).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

from kalamos.errors import ModelFileError, UnsupportedModelError
from kalamos.model_file import layers, shaping  # noqa: F401  (they register the operators)
from kalamos.model_file.dimensions import Batch, Count, count_of
from kalamos.model_file.graph import BYTES_OF_TYPE, DataType, Graph, Node
from kalamos.model_file.operators import EXPORT_AGAIN, MAX_OPSET, MIN_OPSET, OPERATORS, Call, Value

__all__ = ["MAX_BATCH", "Workload", "infer"]

MAX_BATCH: Final = 64
"""Images in one run: large enough to spread the call's cost, small enough for the cache."""

MAX_WORK: Final = 12 * 10**9
"""Multiply-adds of one run, and so of one image. A ResNet-50 takes 4.1 * 10**9 at 224 pixels."""

MAX_RUN_BYTES: Final = 160 * 2**20
"""Bytes that the tensors between the nodes take in one run, and so for one image."""

MAX_CONSTANT_BYTES: Final = 160 * 2**20
"""Bytes of what is computed while a file is opened, from its weights alone."""


class Workload(NamedTuple):
    """What is known of a graph before it runs.

    Attributes:
        values: name -> type and shape, of all tensors.
        batch_size: how many images a run may have, of 1 to `MAX_BATCH`.
        work: multiply-adds of one image.
        run_bytes: of one image's tensors between the nodes.
        constant_bytes: of what is computed when the file is opened.
    """

    values: dict[str, Value]
    batch_size: int
    work: int
    run_bytes: int
    constant_bytes: int


def infer(graph: Graph, input_size: int) -> Workload:
    """What a run of the graph on images of `input_size` pixels a side costs.

    Raises:
        UnsupportedModelError: an operator that is not allowed; a node whose output cannot be told; more work
            or memory for one image than is allowed.
        ModelFileError: the graph is damaged: a name given twice, or used before it is given.
    """
    if not MIN_OPSET <= graph.opset <= MAX_OPSET:
        raise UnsupportedModelError(
            f"the graph uses version {graph.opset} of ONNX's operators, "
            f"where {MIN_OPSET} to {MAX_OPSET} are run",
            remedy="export it again with another opset",
        )
    values = {
        tensor.name: Value(tensor.data_type, tensor.shape, tensor.numbers, constant=True)
        for tensor in graph.initializers
    }
    if len(values) != len(graph.initializers):
        raise ModelFileError("damaged: two initializers of the graph have one name")
    for given in graph.inputs:
        _enter(values, given.name, Value(DataType.FLOAT, (Batch(1), 1, input_size, input_size)), "the input")
    costs = _Costs(graph)
    for node in graph.nodes:
        call = Call(node, [_known(values, node, name) for name in node.inputs], graph.opset)
        results = _results(call)
        for name, value in zip(node.outputs, results, strict=True):
            if name:
                _enter(values, name, value, str(node))
        costs.add(call, results)
    return costs.workload(values)


def _known(values: dict[str, Value], node: Node, name: str) -> Value | None:
    if not name:
        return None
    if name not in values:
        raise ModelFileError(f"damaged: {node} takes {name[:60]!r}, which nothing before it gives")
    return values[name]


def _enter(values: dict[str, Value], name: str, value: Value, where: str) -> None:
    if not name or name in values:
        raise ModelFileError(f"damaged: {where} gives {name[:60]!r}, which is there already")
    values[name] = value


def _results(call: Call) -> Sequence[Value]:
    node = call.node
    operator = OPERATORS.get(node.operator) if not node.domain else None
    if operator is None:
        shown = f"{node.domain}.{node.operator}" if node.domain else node.operator
        raise UnsupportedModelError(
            f"node {node.place}: the operator {shown[:80]!r} is not one that kalamos runs",
            remedy=EXPORT_AGAIN,
        )
    if call.opset < operator.since:
        call.refuse(f"it is of version {operator.since} of ONNX's operators, the graph of {call.opset}")
    unknown = node.attributes.keys() - operator.attributes
    if unknown:
        call.refuse(f"it has an attribute {min(unknown)[:60]!r}, which it does not take")
    fewest, most = operator.inputs
    if not fewest <= len(node.inputs) <= most:
        call.refuse(f"it has {len(node.inputs)} inputs, where {fewest} to {most} are expected")
    results = operator.infer(call)
    if len(results) != len(node.outputs):
        call.refuse(f"it has {len(node.outputs)} outputs, where {len(results)} are expected")
    return results


class _Costs:
    """The work and the memory of the nodes so far."""

    def __init__(self, graph: Graph) -> None:
        self._takers = Counter(name for node in graph.nodes for name in node.inputs)
        self._takers.update(value.name for value in graph.outputs)
        self._kept = {value.name for value in graph.outputs}
        self._work: list[Count] = []
        self._constant_bytes = 0
        self._chains: list[list[Count]] = []
        self._chain_of: dict[str, int] = {}
        self._momentary: list[list[Count]] = []

    def add(self, call: Call, results: Sequence[Value]) -> None:
        self._work += call.work
        node = call.node
        sizes = [count_of(value.shape) * Count(BYTES_OF_TYPE[value.data_type]) for value in results]
        if all(value.constant for value in results):
            self._constant_bytes += sum(size.times for size in (*sizes, *call.scratch))
            if self._constant_bytes > MAX_CONSTANT_BYTES:
                call.refuse(
                    f"what is computed from the weights alone takes more than {MAX_CONSTANT_BYTES >> 20} MiB"
                )
            return
        self._momentary.append([*sizes, *call.scratch])
        ending = (name for name in node.inputs if name in self._chain_of and self._takers[name] == 1)
        chain = next((self._chain_of[name] for name in ending if name not in self._kept), None)
        for name, size in zip(node.outputs, sizes, strict=True):
            if chain is None:
                chain = len(self._chains)
                self._chains.append([])
            self._chains[chain].append(size)
            self._chain_of[name] = chain
            chain = None

    def work(self, images: int) -> int:
        return sum(count.at(images) for count in self._work)

    def run_bytes(self, images: int) -> int:
        held = sum(max(size.at(images) for size in chain) for chain in self._chains)
        momentary = max((sum(size.at(images) for size in sizes) for sizes in self._momentary), default=0)
        return held + momentary

    def workload(self, values: dict[str, Value]) -> Workload:
        work, run_bytes = self.work(1), self.run_bytes(1)
        if work > MAX_WORK:
            raise UnsupportedModelError(
                f"one image takes {work / 1e9:,.1f} thousand million multiply-adds, where"
                f" {MAX_WORK // 10**9} are allowed",
                remedy="use a smaller network, or smaller images",
            )
        if run_bytes > MAX_RUN_BYTES:
            raise UnsupportedModelError(
                f"one image takes {run_bytes >> 20:,} MiB between the nodes, "
                f"where {MAX_RUN_BYTES >> 20} are allowed",
                remedy="use a smaller network, or smaller images",
            )
        batch_size = MAX_BATCH
        while batch_size > 1 and (
            self.work(batch_size) > MAX_WORK or self.run_bytes(batch_size) > MAX_RUN_BYTES
        ):
            batch_size //= 2
        return Workload(values, batch_size, work, run_bytes, self._constant_bytes)
