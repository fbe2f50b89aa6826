"""The models that the app can read with, each opened when it is first asked for."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from pathlib import Path

from kalamos.errors import ModelNotFoundError, suggest
from kalamos.model_file import ModelSpec, read_spec
from kalamos.recognizer import Recognizer, load
from kalamos.zoo import find_model, names

__all__ = ["ModelRegistry"]


class ModelRegistry:
    """Models by name. Safe to share between threads; a model is opened once, and then kept.

    Args:
        models: shipped models' names and model files; the first is the default. None takes every
            shipped model. A file goes by its name without the suffix.

    Raises:
        ModelNotFoundError: neither a shipped model nor a file.
        ModelError: a file is not a kalamos model.

    >>> registry = ModelRegistry(["digits"])
    >>> registry.default, registry.names()
    ('digits', ('digits',))
    >>> registry.get("digits") is registry.get("digits")
    True
    >>> registry.get("digit")
    Traceback (most recent call last):
    kalamos.errors.ModelNotFoundError: no model is called 'digit'; did you mean 'digits'?
    """

    def __init__(self, models: Iterable[str | os.PathLike[str]] | None = None) -> None:
        self._lock = threading.Lock()
        self._opening: dict[str, threading.Lock] = {}
        self._paths: dict[str, Path] = {}
        self._specs: dict[str, ModelSpec] = {}
        self._readers: dict[str, Recognizer] = {}
        chosen = list(names() if models is None else models)
        if not chosen:
            raise ModelNotFoundError(
                "no model is given", remedy=suggest("", names(), otherwise="name one of")
            )
        for model in chosen:
            self._enter(find_model(model))
        # The digits first: what most people draw.
        self.default = "digits" if models is None else next(iter(self._paths))

    def names(self) -> tuple[str, ...]:
        """All of them, in the order they came in."""
        with self._lock:
            return tuple(self._paths)

    def __contains__(self, name: object) -> bool:
        return name in self._paths

    def spec(self, name: str) -> ModelSpec:
        """What a model says about itself; nothing is opened for it.

        Raises:
            ModelNotFoundError: there is none of this name.
        """
        self._check(name)
        return self._specs[name]

    def get(self, name: str) -> Recognizer:
        """The model, opened if this is the first time.

        Raises:
            ModelNotFoundError: there is none of this name.
            ModelError: its file must not be used.
        """
        reader = self._readers.get(name)
        if reader is not None:
            return reader
        self._check(name)
        # A lock a model: opening a large one must not hold up those that are open.
        with self._opening[name]:
            reader = self._readers.get(name)
            if reader is None:
                reader = self._readers[name] = load(self._paths[name])
        return reader

    def add(self, file: str | os.PathLike[str]) -> str:
        """Put one more model file on the registry, opened and so checked, and return its name.

        Its name is that of the file without the suffix, with a number where that is taken. A file that
        was there already is opened anew, as it may have changed.

        Raises:
            ModelError: no such file, or it must not be used.
        """
        path = find_model(file)
        reader = load(path)
        name = self._enter(path)
        self._specs[name], self._readers[name] = reader.spec, reader
        return name

    def _enter(self, path: Path) -> str:
        spec, path = read_spec(path), path.resolve()
        with self._lock:
            for name, known in self._paths.items():
                if known == path:
                    return name
            name, number = path.stem, 2
            while name in self._paths:
                name, number = f"{path.stem}-{number}", number + 1
            self._specs[name], self._opening[name] = spec, threading.Lock()
            self._paths[name] = path
            return name

    def _check(self, name: str) -> None:
        if name not in self._paths:
            raise ModelNotFoundError(f"no model is called {name!r}", remedy=suggest(name, self.names()))
