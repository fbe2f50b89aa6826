"""Models that were taught on this computer, found again when the app is started anew."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Final, NamedTuple

from kalamos.app.models import ModelRegistry
from kalamos.errors import KalamosError, ModelNotFoundError
from kalamos.model_file import ModelSpec, read_spec
from kalamos.recognizer import Recognizer, load

__all__ = ["MAX_TAUGHT_MODELS", "TaughtModelRegistry"]

MAX_TAUGHT_MODELS: Final = 200
"""Files of the folder that are listed, the newest."""

_log = logging.getLogger("kalamos.app")


class _Listed(NamedTuple):
    """A file as it was when it was looked at."""

    path: Path
    version: tuple[int, int]
    """Time of its last change in ns, and its size in bytes."""
    spec: ModelSpec | None
    """None where it is no model file."""


class TaughtModelRegistry(ModelRegistry):
    """A shelf's models, and after them those in a folder of taught ones, which may change at any time.

    For a page that only this computer reaches: what one visit taught, every visit sees. A file that is no
    model is passed over, and logged once.

    Args:
        registry: its models come first, and keep their names.
        folder: need not be there yet.
    """

    def __init__(self, registry: ModelRegistry, folder: Path) -> None:
        self._registry = registry
        self._folder = folder
        self._listing = threading.Lock()
        self._known: dict[str, _Listed] = {}
        self._opened: dict[str, tuple[_Listed, Recognizer]] = {}
        self.default = registry.default

    def names(self) -> tuple[str, ...]:
        return (*self._registry.names(), *self._taught())

    def __contains__(self, name: object) -> bool:
        return name in self._registry or name in self._taught()

    def spec(self, name: str) -> ModelSpec:
        found = None if name in self._registry else self._taught().get(name)
        return self._registry.spec(name) if found is None or found.spec is None else found.spec

    def get(self, name: str) -> Recognizer:
        found = None if name in self._registry else self._taught().get(name)
        if found is None:
            return self._registry.get(name)
        with self._listing:
            opened = self._opened.get(name)
        if opened is None or opened[0] != found:
            opened = found, load(found.path)
            with self._listing:
                self._opened[name] = opened
        return opened[1]

    def taught_from(self, name: str) -> str | None:
        """The model that one in the folder was taught from, where its file says so and that one is here."""
        try:
            training = None if name in self._registry else self.spec(name).training
        except ModelNotFoundError:
            return None
        taught = None if training is None else training.recipe.get("taught")
        base = taught.get("model") if isinstance(taught, dict) else None
        return base if isinstance(base, str) and base != name and base in self else None

    def _taught(self) -> dict[str, _Listed]:
        """The models in the folder by name, as they are now; only what changed is looked into."""
        try:
            found = [(path, path.stat()) for path in self._folder.glob("*.onnx") if path.is_file()]
        except OSError:  # not there, or one went meanwhile: the next look will tell
            return {}
        found = sorted(found, key=lambda each: each[1].st_mtime_ns)[-MAX_TAUGHT_MODELS:]
        with self._listing:
            known, self._known = self._known, {}
            for path, stat in found:
                version, before = (stat.st_mtime_ns, stat.st_size), known.get(path.stem)
                listed = before if before and before.version == version else _listed(path, version)
                self._known[path.stem] = listed
            for gone in self._opened.keys() - self._known.keys():
                del self._opened[gone]
            return {
                name: each
                for name, each in sorted(self._known.items())
                if each.spec is not None and name not in self._registry
            }


def _listed(path: Path, version: tuple[int, int]) -> _Listed:
    try:
        return _Listed(path, version, read_spec(path))
    except KalamosError as error:
        _log.warning("passed over among the taught models: %s", error)
        return _Listed(path, version, None)
