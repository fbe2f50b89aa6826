"""Open ONNX graphs with onnxruntime, always in the same way."""

from __future__ import annotations

import threading
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import onnxruntime  # type: ignore[import-untyped]

__all__ = ["open_once", "open_onnx"]

_OPENING: Final = threading.Lock()


def open_onnx(content: bytes, *, threads: int = 1) -> onnxruntime.InferenceSession:
    """Open a graph for the CPU; whatever onnxruntime raises goes through.

    Args:
        content: the bytes of an ONNX file that may be trusted, or was checked.
        threads: of one run of it.
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
    # The fallback would print to standard output, the model's own configuration undo the above.
    return onnxruntime.InferenceSession(
        content,
        options,
        providers=["CPUExecutionProvider"],
        enable_fallback=0,
        read_config_from_model=0,
    )


def open_once(path: Path) -> onnxruntime.InferenceSession:
    """Open a file of this package for the CPU, at the first call; return the same session ever after."""
    with _OPENING:  # once, whichever thread comes first
        return _opened(path)


@cache
def _opened(path: Path) -> onnxruntime.InferenceSession:
    return open_onnx(path.read_bytes())
