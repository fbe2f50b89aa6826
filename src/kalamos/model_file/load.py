"""Open a model file: check it, bound its work, start its session.

What one run of a graph costs, found before onnxruntime sees it: every node inferred, in order, or refused.

onnxruntime computes what does not depend on the images while it opens a file, without any bound of its own,
and allocates whatever a graph asks for. Here the work and the memory are added up first. The memory of a run
is bounded for every order in which the nodes may run: a tensor that one node alone takes is gone once that
node has given its own, so of a chain of such tensors at most one is held (and one more while a node runs).

A graph made ready to run: checked, opened by onnxruntime, run within the bounds, its answers checked.

From a path or bytes to a model that is safe to run and agrees with its own spec.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kalamos.errors import (
    ModelAnswerError,
    ModelError,
    ModelFileError,
    ModelNotFoundError,
    SpecVersionError,
    UnsupportedModelError,
)
from kalamos.model_file import shapes  # noqa: F401  (they register the operators)
from kalamos.model_file.graph import BYTES_OF_TYPE, DataType, Graph, Node, ValueType, read_graph, type_name
from kalamos.model_file.operators import (
    EXPORT_AGAIN,
    MAX_OPSET,
    MIN_OPSET,
    OPERATORS,
    Batch,
    Call,
    Count,
    Value,
    count_of,
)
from kalamos.model_file.protobuf import EXPORT_REMEDY, check_tensors, read_metadata
from kalamos.model_file.spec import METADATA_KEY, ModelSpec
from kalamos.utils.sessions import open_onnx

if TYPE_CHECKING:
    import onnxruntime  # type: ignore[import-untyped]

__all__ = ["LoadedModel", "Session", "check_model", "open_graph", "open_model", "read_spec"]

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
    """

    values: dict[str, Value]
    batch_size: int
    work: int
    run_bytes: int


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
        return Workload(values, batch_size, work, run_bytes)


@dataclass(frozen=True, slots=True)
class Session:
    """An open graph. Safe to share between threads.

    Attributes:
        raw: onnxruntime's own, whose answers nobody has checked.
        input_name: of the one input, float32 [N, 1, S, S].
        batch_size: the most images that one run of it may have; `run` takes any number.
        where: what to call the model in messages.
    """

    raw: onnxruntime.InferenceSession
    input_name: str
    batch_size: int
    where: str

    def run(self, outputs: Sequence[str], images: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """What the graph answers to normalised images.

        Args:
            outputs: which of its outputs.
            images: float32 [N, 1, S, S], N at least 1.

        Returns:
            One float32 array an output, joined along its first axis where the images take several runs.

        Raises:
            ModelAnswerError: onnxruntime fails, or an answer is not of finite float32 numbers.
        """
        runs = [
            self._run(outputs, images[start : start + self.batch_size])
            for start in range(0, len(images), self.batch_size)
        ]
        return runs[0] if len(runs) == 1 else [np.concatenate(parts) for parts in zip(*runs, strict=True)]

    def _run(self, outputs: Sequence[str], images: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        try:
            answers: list[NDArray[np.float32]] = self.raw.run(outputs, {self.input_name: images})
        except Exception as error:  # onnxruntime's errors have no base class of their own
            raise ModelAnswerError(
                f"{self.where}: the model fails on {len(images)} images ({_first_line(error)})",
                remedy=EXPORT_REMEDY,
            ) from error
        for name, answer in zip(outputs, answers, strict=True):
            if not isinstance(answer, np.ndarray) or answer.dtype != np.float32:
                raise ModelAnswerError(f"{self.where}: its output {name!r} is not of float32 numbers")
            if not np.isfinite(answer).all():
                raise ModelAnswerError(
                    f"{self.where}: the model answers NaN or infinity ({name!r})",
                    remedy="export it again from a sound checkpoint, or use another model",
                )
        return answers


def open_session(data: bytes, graph: Graph, workload: Workload, where: str, *, threads: int = 1) -> Session:
    """Open a graph that was read and inferred, with onnxruntime, for the CPU.

    Raises:
        ModelFileError: onnxruntime does not take it.
    """
    try:
        session = open_onnx(data, threads=threads)
    except Exception as error:  # as above
        raise ModelFileError(
            f"onnxruntime cannot run this model ({_first_line(error)})", remedy=EXPORT_REMEDY
        ) from error
    return Session(session, graph.inputs[0].name, workload.batch_size, where)


def _first_line(error: Exception) -> str:
    """What an error says, in at most 200 characters."""
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return reason if len(reason) <= 200 else f"{reason[:197]}..."


MAX_MODEL_BYTES: Final = 160 * 2**20
"""Of a file: opening one takes up to four times as much memory."""

LOGITS_OUTPUT: Final = "logits"

KNOWN_OUTPUT: Final = "known"

_OTHER_FORMATS: Final = (
    (0, b"\x89PNG\r\n", "a PNG image"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"PK\x03\x04", "a zip archive, as PyTorch writes its checkpoints"),
    (4, b"\0\0\0\0{", "a safetensors file"),
    (0, b"version https://git-lfs", "a Git LFS pointer (`git lfs pull` fetches the file itself)"),
)
"""Offset, bytes there, and what they give away: what is most often mistaken for a model."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model file that passed every check."""

    spec: ModelSpec
    graph: Session
    """Maps float32 [N, 1, S, S] to "logits" float32 [N, C], to "known" float32 [N] where the spec says how to
    read it, and to the spec's feature maps [N, c, h, w]."""
    where: str
    """The path as it was given (POSIX separators), for messages."""
    size_bytes: int
    sha256: str
    """Of the file, hexadecimal."""

    @property
    def session(self) -> onnxruntime.InferenceSession:
        """The session of onnxruntime, for measuring alone: nobody bounds its runs or checks its answers."""
        return self.graph.raw

    @property
    def input_name(self) -> str:
        """Of the graph's one input."""
        return self.graph.input_name

    def logits(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Normalised images float32 [N, 1, S, S], any N -> logits float32 [N, C], all finite.

        Raises:
            ModelAnswerError: it fails on them, or answers NaN, infinity or another shape.
        """
        if not len(images):
            return np.zeros((0, len(self.spec.alphabet)), np.float32)
        [answer] = self.graph.run([LOGITS_OUTPUT], images)
        self._check_shape(LOGITS_OUTPUT, answer, (len(images), len(self.spec.alphabet)))
        return answer

    def answers(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float64] | None]:
        """Do as `logits`; with the probability float64 [N] that each image is a character at all, if known.

        Raises:
            ModelAnswerError: as `logits`.
        """
        known = self.spec.known
        if known is None:
            return self.logits(images), None
        if not len(images):
            return self.logits(images), np.zeros(0)
        logits, outputs = self.graph.run([LOGITS_OUTPUT, KNOWN_OUTPUT], images)
        self._check_shape(LOGITS_OUTPUT, logits, (len(images), len(self.spec.alphabet)))
        self._check_shape(KNOWN_OUTPUT, outputs, (len(images),))
        return logits, known.probabilities(outputs)

    def feature_maps(self, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Normalised images float32 [N, 1, S, S], at least one -> stage name -> float32 [N, c, h, w].

        Raises:
            ModelAnswerError: as `logits`.
        """
        stages = list(self.spec.feature_maps)
        if not stages:
            return {}
        answers = dict(zip(stages, self.graph.run(stages, images), strict=True))
        for name, answer in answers.items():
            self._check_shape(name, answer, (len(images), *answer.shape[1:][:3]))
        return answers

    def _check_shape(self, name: str, answer: NDArray[np.float32], shape: tuple[int, ...]) -> None:
        if answer.shape != shape:
            raise ModelAnswerError(
                f"{self.where}: its output {name!r} has the shape {list(answer.shape)} for {shape[0]} images",
                remedy="export the model again",
            )


def open_model(source: str | os.PathLike[str] | bytes, *, threads: int = 1) -> LoadedModel:
    """Check a model file and make it ready to run on the CPU.

    Args:
        source: the path of an `.onnx` file that `kalamos export` wrote, or its content.
        threads: how many one run of the model may use.

    Raises:
        ModelNotFoundError: no such file, not a regular file, or not readable.
        SpecVersionError: an ONNX model without a kalamos spec, or with one of another version.
        UnsupportedModelError: operators that kalamos does not run, or more work or memory for one image than
            `kalamos.model_file.load` allows.
        ModelFileError: not an ONNX model; damaged; over 160 MiB; tensors in other files; weights
            that are NaN or infinite; a graph that does not fit the spec.

    >>> open_model(b"not a model")
    Traceback (most recent call last):
    kalamos.errors.ModelFileError: <bytes>: not an ONNX model, or a damaged one: wire type 6; \
write one with `kalamos export`
    """
    where, data = _read(source)
    with _located(where):
        spec, graph, workload = _checked(data)
        session = open_session(data, graph, workload, where, threads=threads)
    return LoadedModel(spec, session, where, len(data), hashlib.sha256(data).hexdigest())


def check_model(source: str | os.PathLike[str] | bytes) -> ModelSpec:
    """Check a model file as `open_model` does, all but running it: without onnxruntime.

    Raises the errors of `open_model`.

    >>> check_model(b"")
    Traceback (most recent call last):
    kalamos.errors.ModelFileError: <bytes>: an empty file, not an ONNX model; write one with `kalamos export`
    """
    where, data = _read(source)
    with _located(where):
        return _checked(data)[0]


def open_graph(data: bytes, spec: ModelSpec, where: str) -> Session:
    """Check and open a graph for a spec's images, whatever its outputs are: a part of a model, say.

    Raises the errors of `open_model`.
    """
    with _located(where):
        graph, workload = _inferred(data, spec)
        return open_session(data, graph, workload, where)


def _checked(data: bytes) -> tuple[ModelSpec, Graph, Workload]:
    spec = _spec_of(data)
    graph, workload = _inferred(data, spec)
    _check_outputs(graph.outputs, workload.values, spec)
    return spec, graph, workload


def _inferred(data: bytes, spec: ModelSpec) -> tuple[Graph, Workload]:
    check_tensors(data)
    graph = read_graph(data)
    if len(graph.inputs) != 1:
        raise ModelFileError(f"the graph has {len(graph.inputs)} inputs, where one is expected")
    _check_input(graph.inputs[0], spec)
    return graph, infer(graph, spec.input_size)


def read_spec(path: str | os.PathLike[str]) -> ModelSpec:
    """Only what the file says about itself: fast, without onnxruntime, weights and graph unchecked.

    Raises the errors of `open_model`, as far as they concern the spec.

    >>> read_spec("no-such-model.onnx")
    Traceback (most recent call last):
    kalamos.errors.ModelNotFoundError: no-such-model.onnx: No such file or directory
    """
    where, data = _read(path)
    with _located(where):
        return _spec_of(data)


def _read(source: str | os.PathLike[str] | bytes) -> tuple[str, bytes]:
    """What to call the source in messages, and its content."""
    if isinstance(source, bytes):
        _check_size("<bytes>", len(source))
        return "<bytes>", source
    path = Path(source)
    where = path.as_posix()
    try:
        # Asked before opening, which would wait for ever on a pipe.
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ModelNotFoundError(f"{where}: not a regular file", remedy="give an .onnx file")
        _check_size(where, status.st_size)
        with path.open("rb") as stream:
            # No further, should it be growing.
            return where, stream.read(status.st_size)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise ModelNotFoundError(f"{where}: {reason}") from error


def _check_size(where: str, size: int) -> None:
    if size > MAX_MODEL_BYTES:
        raise ModelFileError(f"{where}: over {MAX_MODEL_BYTES >> 20} MiB, too large for a character model")


@contextmanager
def _located(where: str) -> Iterator[None]:
    """Put the file's name before what is wrong with it."""
    try:
        yield
    except ModelError as error:
        raise type(error)(f"{where}: {error.problem}", remedy=error.remedy) from error
    except UnicodeDecodeError as error:
        # onnxruntime loads a graph with such names, and fails only when one is asked for.
        raise ModelFileError(f"{where}: damaged, a name in the graph is not UTF-8") from error


def _spec_of(data: bytes) -> ModelSpec:
    if not data:
        raise ModelFileError("an empty file, not an ONNX model", remedy=EXPORT_REMEDY)
    for offset, magic, what in _OTHER_FORMATS:
        if data.startswith(magic, offset):
            raise ModelFileError(f"{what}, not an ONNX model", remedy=EXPORT_REMEDY)
    text = read_metadata(data).get(METADATA_KEY)
    if text is None:
        raise SpecVersionError("an ONNX model that has no kalamos spec", remedy=EXPORT_REMEDY)
    return ModelSpec.from_json(text)


def _check_input(declared: ValueType, spec: ModelSpec) -> None:
    """Float32, any number of images, then the spec's size."""
    wanted = (1, spec.input_size, spec.input_size)
    shape = declared.shape or ()
    # A batch dimension that can vary has a name or nothing; a number would fix the batch size.
    if declared.data_type != DataType.FLOAT or shape[:1] != (None,) or shape[1:] != wanted:
        shown = [*(("N" if side is None else str(side)) for side in shape)]
        raise _misfit("input", declared.name, declared.data_type, shown, wanted)


def _check_outputs(outputs: Sequence[ValueType], values: Mapping[str, Value], spec: ModelSpec) -> None:
    if not outputs or outputs[0].name != LOGITS_OUTPUT:
        raise ModelFileError(f"the graph's first output is not called {LOGITS_OUTPUT!r}")
    for output in outputs:
        if output.name not in values:
            raise ModelFileError(f"damaged: nothing gives the graph's output {output.name[:60]!r}")
    _check_value("output", LOGITS_OUTPUT, values[LOGITS_OUTPUT], (len(spec.alphabet),))
    names = {output.name for output in outputs[1:]}
    if spec.known is not None:
        if KNOWN_OUTPUT not in names:
            raise ModelFileError(f"the spec reads an output {KNOWN_OUTPUT!r} that the graph has not")
        _check_value("output", KNOWN_OUTPUT, values[KNOWN_OUTPUT], ())
    for name in spec.feature_maps:
        if name not in names:
            raise ModelFileError(f"the spec names a feature map {name!r} that the graph has no output for")
        _check_value("feature map", name, values[name], (None, None, None))


def _check_value(kind: str, name: str, value: Value, expected: tuple[int | None, ...]) -> None:
    """Float32, one row an image, then the expected dimensions (None: any)."""
    first, rest = value.shape[:1], value.shape[1:]
    fits = first == (Batch(1),) and len(rest) == len(expected)
    fits = fits and all(
        isinstance(side, int) and wanted in {None, side} for side, wanted in zip(rest, expected, strict=True)
    )
    if value.data_type != DataType.FLOAT or not fits:
        raise _misfit(kind, name, value.data_type, [*map(str, value.shape)], expected)


def _misfit(
    kind: str, name: str, data_type: int, shape: Sequence[str], expected: Sequence[int | None]
) -> ModelFileError:
    sides = ", ".join("any" if side is None else str(side) for side in expected)
    return ModelFileError(
        f"the graph's {kind} {name[:60]!r} is {type_name(data_type)} [{', '.join(shape)}], "
        f"where the spec asks for tensor(float) [N, {sides}]",
        remedy="export the model again",
    )
