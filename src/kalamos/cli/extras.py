"""Check for optional dependencies, with a message that says how to install them."""

from __future__ import annotations

from importlib.util import find_spec

from kalamos.errors import MissingExtraError

__all__ = ["require_training"]


def require_training() -> None:
    """Raise `MissingExtraError` unless `kalamos[train]` is installed."""
    missing = [
        name for name in ("torch", "safetensors", "onnx", "onnxscript", "scipy") if not find_spec(name)
    ]
    if missing:
        raise MissingExtraError(f"this needs {', '.join(missing)}, not installed here", extra="train")
