"""From a path or bytes to a model that is safe to run and agrees with its own spec."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from kalamos.errors import (
    ModelAnswerError,
    ModelError,
    ModelFileError,
    ModelNotFoundError,
    SpecVersionError,
)
from kalamos.model_file.dimensions import Batch
from kalamos.model_file.graph import DataType, Graph, ValueType, read_graph, type_name
from kalamos.model_file.operators import Value
from kalamos.model_file.session import Session, open_session
from kalamos.model_file.spec import METADATA_KEY, ModelSpec
from kalamos.model_file.wire import EXPORT_REMEDY, check_tensors, read_metadata
from kalamos.model_file.workload import Workload, infer

if TYPE_CHECKING:
    import onnxruntime  # type: ignore[import-untyped]

__all__ = ["LoadedModel", "check_model", "open_graph", "open_model", "read_spec"]

MAX_MODEL_BYTES: Final = 160 * 2**20
"""Of a file: opening one takes up to four times as much memory."""

LOGITS_OUTPUT: Final = "logits"

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
    """Maps float32 [N, 1, S, S] to "logits" float32 [N, C] and the spec's feature maps [N, c, h, w]."""
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
            `kalamos.model_file.workload` allows.
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
