"""From a path or bytes to a model that is safe to run and agrees with its own spec."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kalamos.errors import ModelError, ModelFileError, ModelNotFoundError, SpecVersionError
from kalamos.model_file.spec import METADATA_KEY, ModelSpec
from kalamos.model_file.wire import EXPORT_REMEDY, check_tensors, read_metadata

if TYPE_CHECKING:
    import onnxruntime  # type: ignore[import-untyped]

__all__ = ["LoadedModel", "open_model", "read_spec"]

MAX_BYTES: Final = 512 * 2**20

LOGITS: Final = "logits"

_STRANGERS: Final = (
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
    session: onnxruntime.InferenceSession
    """Maps float32 [N, 1, S, S] to "logits" float32 [N, C] and the spec's feature maps [N, c, h, w]."""
    input_name: str
    where: str
    """The path as it was given (POSIX separators), for messages."""
    size_bytes: int
    sha256: str
    """Of the file, hexadecimal."""


def open_model(source: str | os.PathLike[str] | bytes, *, threads: int = 1) -> LoadedModel:
    """Check a model file and make it ready to run on the CPU.

    Args:
        source: the path of an `.onnx` file that `kalamos export` wrote, or its content.
        threads: how many one run of the model may use.

    Raises:
        ModelNotFoundError: no such file, not a regular file, or not readable.
        SpecVersionError: an ONNX model without a kalamos spec, or with one of another version.
        ModelFileError: not an ONNX model; damaged; over 512 MiB; tensors in other files; weights
            that are NaN or infinite; a graph that does not fit the spec.

    >>> open_model(b"not a model")
    Traceback (most recent call last):
    kalamos.errors.ModelFileError: <bytes>: not an ONNX model, or a damaged one: wire type 6; \
write one with `kalamos export`
    """
    where, data = _read(source)
    with _located(where):
        spec = _spec_of(data)
        check_tensors(data)
        session = _session(data, threads)
        input_name = _check_input(session, spec)
        _check_outputs(session, spec)
    return LoadedModel(spec, session, input_name, where, len(data), hashlib.sha256(data).hexdigest())


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
    if size > MAX_BYTES:
        raise ModelFileError(f"{where}: over {MAX_BYTES >> 20} MiB, too large for a character model")


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
    for offset, magic, what in _STRANGERS:
        if data.startswith(magic, offset):
            raise ModelFileError(f"{what}, not an ONNX model", remedy=EXPORT_REMEDY)
    text = read_metadata(data).get(METADATA_KEY)
    if text is None:
        raise SpecVersionError("an ONNX model that has no kalamos spec", remedy=EXPORT_REMEDY)
    return ModelSpec.from_json(text)


def _session(data: bytes, threads: int) -> onnxruntime.InferenceSession:
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # on Windows; elsewhere kalamos.privacy did, before the import
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4
    # Spinning threads would win microseconds and take a core from whoever decodes the images.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Else a flatbuffer that looks like a protocol buffer would be opened, past all checks of the latter.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    try:
        # The fallback would print to standard output, the model's own configuration undo the above.
        return onnxruntime.InferenceSession(
            data,
            options,
            providers=["CPUExecutionProvider"],
            enable_fallback=0,
            read_config_from_model=0,
        )
    except Exception as error:  # onnxruntime's errors have no base class of their own
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        shown = reason if len(reason) <= 200 else f"{reason[:197]}..."
        raise ModelFileError(f"onnxruntime cannot run this model ({shown})", remedy=EXPORT_REMEDY) from error


def _check_input(session: onnxruntime.InferenceSession, spec: ModelSpec) -> str:
    """The name of the one input, which must fit the spec."""
    inputs = session.get_inputs()
    if len(inputs) != 1:
        raise ModelFileError(f"the graph has {len(inputs)} inputs, where one is expected")
    [images] = inputs
    _check_value("input", images, [1, spec.input_size, spec.input_size])
    name: str = images.name
    return name


def _check_outputs(session: onnxruntime.InferenceSession, spec: ModelSpec) -> None:
    outputs = session.get_outputs()
    if not outputs or outputs[0].name != LOGITS:
        raise ModelFileError(f"the graph's first output is not called {LOGITS!r}")
    _check_value("output", outputs[0], [len(spec.alphabet)])
    by_name = {output.name: output for output in outputs[1:]}
    for name in spec.feature_maps:
        if name not in by_name:
            raise ModelFileError(f"the spec names a feature map {name!r} that the graph has no output for")
        _check_value("feature map", by_name[name], [None, None, None])


def _check_value(kind: str, value: onnxruntime.NodeArg, expected: list[int | None]) -> None:
    """Float32, any number of images, then the expected dimensions (None: any)."""
    fits = len(value.shape) == 1 + len(expected) and all(
        wanted is None or dimension == wanted
        for dimension, wanted in zip(value.shape[1:], expected, strict=True)
    )
    # A batch dimension that can vary has a name or nothing; a number would fix the batch size.
    if value.type != "tensor(float)" or not fits or isinstance(value.shape[0], int):
        sides = ", ".join("any" if side is None else str(side) for side in expected)
        raise ModelFileError(
            f"the graph's {kind} {value.name!r} is {value.type} {value.shape}, "
            f"where the spec asks for tensor(float) [N, {sides}]",
            remedy="export the model again",
        )
