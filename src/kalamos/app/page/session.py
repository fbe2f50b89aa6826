"""What belongs to one person's visit, and to nobody else's."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kalamos.app.models import ModelRegistry
from kalamos.app.page.review import Review
from kalamos.app.page.sheet import Sheet
from kalamos.errors import UsageError
from kalamos.predictions import Prediction
from kalamos.recognizer import Recognizer

if TYPE_CHECKING:
    from kalamos.corrections import Corrections

__all__ = ["LastRead", "SavedExample", "Session"]

MAX_OWN_MODELS = 20
"""Models that one visit may give or teach: each is kept open, in memory."""


@dataclass(frozen=True)
class LastRead:
    """The single image that was read last."""

    image: bytes
    prediction: Prediction
    model: str


class SavedExample(NamedTuple):
    """What was kept in this visit: an example of a label, or, where that is None, of no character."""

    model: str
    label: str | None
    image: Path


@dataclass
class Session:
    """What the page remembers of one visit; `close` is called when the visit has ended.

    A `gr.State(Session())` among an event's inputs is that of the cookie's visit, whichever tab it comes
    from: `kalamos.app.mounting` sees to it, and Gradio's own keeping of states has no part in it.

    >>> session = Session()
    >>> folder = session.folder("sheet")
    >>> folder.is_dir(), session.close(), folder.is_dir()
    (True, None, False)
    """

    model: str | None = None
    """The model that was chosen last."""
    source: bytes | None = None
    """The single image that was given last, whatever became of it: drawn, a picture, or a part of one."""
    picture: bytes | None = None
    """The picture that was given last, whole."""
    last: LastRead | None = None
    sheet: Sheet | None = None
    review: Review[SavedExample] | None = None
    kept: list[SavedExample] = field(default_factory=list)
    own_models: dict[str, Recognizer] = field(default_factory=dict)
    """Models that were uploaded or taught here."""
    taught: Path | None = None
    """The model that was taught last."""
    taught_from: dict[str, str] = field(default_factory=dict)
    """A model that was taught here -> the one it was taught from."""
    corrections: dict[tuple[str, str], Corrections] = field(default_factory=dict)
    """By the first model's name, and where on the page they come from: undo takes the last one there."""
    _root: Path | None = field(default=None, compare=False)
    _check_room: Callable[[], None] | None = field(default=None, compare=False)
    """Raises a `UsageError` where the visit holds as much as it may."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing would be lost with it."""
        return self == Session()

    def folder(self, name: str) -> Path:
        """Return a folder for this visit's images; made when it is first asked for.

        Raises:
            UsageError: the visit holds as much as it may.
        """
        if self._check_room is not None:
            self._check_room()
        if self._root is None:
            self._root = Path(tempfile.mkdtemp(prefix="kalamos-"))
        self._root.mkdir(mode=0o700, exist_ok=True)
        folder = self._root / name
        folder.mkdir(exist_ok=True)
        return folder

    def forget_sheet(self) -> None:
        """Take the images of the last folder away."""
        self.sheet = self.review = None
        if self._root is not None:
            shutil.rmtree(self._root / "sheet", ignore_errors=True)

    def close(self) -> None:
        """Take everything away that this visit left, but for its corrections and taught models."""
        if self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)
        for each in fields(self):
            if each.compare:  # the folder's place stays: what is still at work makes no other one
                setattr(self, each.name, getattr(Session(), each.name))

    def reader(self, registry: ModelRegistry, name: str) -> Recognizer:
        """A model of this visit, or one of the registry's.

        Raises:
            ModelError: there is none of this name, or its file must not be used.
        """
        own = self.own_models.get(name)
        return registry.get(name) if own is None else own

    def model_names(self, registry: ModelRegistry) -> list[str]:
        """All models that can be chosen in this visit."""
        return [*registry.names(), *(name for name in self.own_models if name not in registry)]

    def add_model(self, registry: ModelRegistry, name: str, reader: Recognizer) -> str:
        """Take a model into this visit; returns the name it goes by, which none other has.

        Raises:
            UsageError: there are `MAX_OWN_MODELS` already.
        """
        if len(self.own_models) >= MAX_OWN_MODELS:
            raise UsageError(
                f"this visit has {MAX_OWN_MODELS} models of its own, as many as it may",
                remedy="start the app with -m FILE for each model that is needed for longer",
            )
        taken = self.model_names(registry)
        free, number = name, 2
        while free in taken:
            free, number = f"{name}-{number}", number + 1
        self.own_models[free] = reader
        return free

    def origin(self, model: str) -> str:
        """The model that a model goes back to: itself, where it was not taught here."""
        while model in self.taught_from:
            model = self.taught_from[model]
        return model

    def examples(self, model: str) -> list[SavedExample]:
        """What was kept of the answers of a model, of those it goes back to, and of those taught from it.

        Images that are no characters are among them, with the label None.
        """
        origin = self.origin(model)
        return [kept for kept in self.kept if self.origin(kept.model) == origin]
