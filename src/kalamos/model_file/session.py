"""A graph made ready to run: checked, opened by onnxruntime, run within the bounds, its answers checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kalamos.errors import ModelAnswerError, ModelFileError
from kalamos.model_file.graph import Graph
from kalamos.model_file.wire import EXPORT_REMEDY
from kalamos.model_file.workload import Workload

if TYPE_CHECKING:
    import onnxruntime  # type: ignore[import-untyped]

__all__ = ["Session", "open_session"]


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
        session = onnxruntime.InferenceSession(
            data,
            options,
            providers=["CPUExecutionProvider"],
            enable_fallback=0,
            read_config_from_model=0,
        )
    except Exception as error:  # as above
        raise ModelFileError(
            f"onnxruntime cannot run this model ({_first_line(error)})", remedy=EXPORT_REMEDY
        ) from error
    return Session(session, graph.inputs[0].name, workload.batch_size, where)


def _first_line(error: Exception) -> str:
    """What an error says, in at most 200 characters."""
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return reason if len(reason) <= 200 else f"{reason[:197]}..."
