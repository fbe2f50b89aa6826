"""The models that kalamos ships, each one file beside its card."""

from __future__ import annotations

import os
from pathlib import Path

from kalamos.errors import ModelNotFoundError, suggest

__all__ = ["card_path", "find_model", "model_path", "names"]

FOLDER = Path(__file__).parent


def names() -> tuple[str, ...]:
    """The shipped models.

    >>> "digits" in names()
    True
    """
    return tuple(sorted(path.stem for path in FOLDER.glob("*.onnx")))


def model_path(name: str) -> Path:
    """Where a shipped model's file lies."""
    return FOLDER / f"{name}.onnx"


def card_path(name: str) -> Path:
    """Where a shipped model's card lies: what it was trained on, how well it reads, its licence."""
    return FOLDER / f"{name}.md"


def find_model(name_or_file: str | os.PathLike[str]) -> Path:
    """The file of a shipped model, or the given file; a shipped model's name goes first.

    Raises:
        ModelNotFoundError: neither.
    """
    name = os.fspath(name_or_file)
    if name in names():
        return model_path(name)
    path = Path(name)
    if not os.path.lexists(path):  # `Path.exists` raises where a name is too long
        looks_like_a_file = path.suffix or path.name != name
        what = f"{name}: no such model file" if looks_like_a_file else f"no model is called {name!r}"
        remedy = suggest(path.stem, names(), otherwise="give a model file, or one of")
        raise ModelNotFoundError(what, remedy=remedy)
    return path
