"""What belongs to a visit on the page: its rows and its review queue.

A folder that was read: its rows, in the order and the choice that a person looks at them.

Looking through a sheet, the least sure first.

What belongs to one person's visit, and to nobody else's.

Models that were taught on this computer, found again when the app is started anew.

Checked characters, saved at once in a folder that `kalamos train` and `kalamos teach` take as it is.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

from kalamos.app.batching import ModelRegistry
from kalamos.app.page.context import Context
from kalamos.errors import KalamosError, ModelNotFoundError, UsageError, suggest
from kalamos.finetune.examples import check_label
from kalamos.model_file import ModelSpec, read_spec
from kalamos.predictions import Prediction
from kalamos.recognizer import Recognizer, load

if TYPE_CHECKING:
    from kalamos.finetune.corrections import Corrections

__all__ = [
    "MAX_TAUGHT_MODELS",
    "ROW_FILTERS",
    "SORT_ORDERS",
    "LastRead",
    "Review",
    "Row",
    "SavedExample",
    "Session",
    "Sheet",
    "TaughtModelRegistry",
    "checked_label",
    "corrections_folder",
    "note_origin",
    "save_correction",
    "shown_path",
    "slug",
    "taught_folder",
    "undo_correction",
]

SORT_ORDERS: Final = ("Least sure first", "Most sure first", "By name")
ROW_FILTERS: Final = ("All", "Errors", "Not sure enough", "Checked", "Corrected")

CONFIDENCE_BINS: Final = 10


@dataclass(frozen=True, slots=True)
class Row:
    """One image."""

    index: int
    """Its place in the sheet, from 0."""
    prediction: Prediction
    thumbnail: str
    """A data URI; "" where the image cannot be read."""
    stored: Path | None
    """Where its bytes lie as long as the session lasts."""


@dataclass
class Sheet:
    """The rows in name order, and what people said about them since.

    >>> sheet = Sheet("digits", ("1", "7"), [Row(0, Prediction("7", 0.6, path="a.png"), "", None)])
    >>> sheet.checked[0] = "1"
    >>> sheet.label(sheet.rows[0]), sheet.is_corrected(sheet.rows[0]), sheet.counts()
    ('1', True, {'1': 1})
    """

    model: str
    labels: tuple[str, ...]
    """All that the model can answer."""
    rows: list[Row]
    skipped: int = 0
    """Files of an archive that are no images by name."""
    checked: dict[int, str | None] = field(default_factory=dict)
    """Row -> the label that a person gave or agreed to; None where it is not a character."""

    def label(self, row: Row) -> str | None:
        """The label that counts: a person's, else the model's."""
        return self.checked.get(row.index, row.prediction.label)

    def is_corrected(self, row: Row) -> bool:
        """Whether a person said something else than the model's best guess."""
        top = row.prediction.top
        guess = top[0].label if top else row.prediction.label
        return row.index in self.checked and self.checked[row.index] != guess

    @property
    def corrected(self) -> int:
        """How many rows a person corrected."""
        return sum(map(self.is_corrected, self.rows))

    def view(self, order: str = "Least sure first", shown: str = "All", label: str = "") -> list[Row]:
        """The rows to show.

        Args:
            order: one of `SORT_ORDERS`. Errors count as less sure than any answer.
            shown: one of `ROW_FILTERS`.
            label: only rows with this label; "" for any.

        Raises:
            UsageError: an order or a choice that there is not.
        """
        for asked, known in ((order, SORT_ORDERS), (shown, ROW_FILTERS)):
            if asked not in known:
                raise UsageError(f"there is no {asked!r} here", remedy=suggest(asked, known))
        rows = [
            row
            for row in self.rows
            if (shown != "Errors" or row.prediction.error is not None)
            and (shown != "Not sure enough" or row.prediction.abstained)
            and (shown != "Checked" or row.index in self.checked)
            and (shown != "Corrected" or self.is_corrected(row))
            and (not label or self.label(row) == label)
        ]
        if order == "By name":
            return rows
        return sorted(rows, key=_certainty, reverse=order == "Most sure first")

    def doubtful(self) -> list[Row]:
        """What a person should look at, the least sure first: all that could be read and has ink."""
        rows = [row for row in self.rows if row.prediction.error is None]
        return sorted(rows, key=_certainty)

    def counts(self) -> Mapping[str, int]:
        """Label -> rows, the most frequent first."""
        labels = (self.label(row) for row in self.rows)
        return dict(Counter(label for label in labels if label is not None).most_common())

    def histogram(self) -> list[int]:
        """Rows in each tenth of the confidence."""
        bins = [0] * CONFIDENCE_BINS
        for row in self.rows:
            if row.prediction.confidence is not None:
                bins[min(CONFIDENCE_BINS - 1, int(row.prediction.confidence * CONFIDENCE_BINS))] += 1
        return bins


def _certainty(row: Row) -> float:
    return -1.0 if row.prediction.confidence is None else row.prediction.confidence


T = TypeVar("T")


@dataclass
class Review(Generic[T]):
    """A queue of rows, and the way back.

    >>> from kalamos.predictions import Candidate, Prediction
    >>> sheet = Sheet("digits", ("1", "7"), [
    ...     Row(at, Prediction(label, sure, (Candidate(label, sure),)), "", None)
    ...     for at, (label, sure) in enumerate([("7", 0.9), ("1", 0.5)])
    ... ])
    >>> review = Review(sheet)
    >>> review.current.index, review.settle("7", "kept 1"), review.current.index
    (1, None, 0)
    >>> review.undo(), review.current.index, sheet.checked
    ('kept 1', 1, {})
    """

    sheet: Sheet
    queue: list[Row] = field(default_factory=list)
    position: int = 0
    _settled: list[tuple[int, T]] = field(default_factory=list)
    """Positions that were given a label, in the order in which they were, and what was kept of each."""

    def __post_init__(self) -> None:
        self.queue = self.sheet.doubtful()

    @property
    def current(self) -> Row | None:
        """What is to be looked at; None at the end."""
        return self.queue[self.position] if self.position < len(self.queue) else None

    @property
    def settled(self) -> int:
        """How many have been given a label."""
        return len(self._settled)

    def settle(self, label: str | None, kept: T) -> None:
        """Give the current row a label, None for "not a character", and go on; `undo` gives `kept` back.

        Raises:
            UsageError: at the end.
        """
        if self.current is None:
            raise UsageError("there is nothing left to check")
        self.sheet.checked[self.current.index] = label
        self._settled.append((self.position, kept))
        self.position += 1

    def skip(self) -> None:
        """Go on without a label."""
        self.position = min(self.position + 1, len(self.queue))

    def undo(self) -> T | None:
        """Take the last label back and return to its row; returns what was kept of it, None for none."""
        if not self._settled:
            return None
        self.position, kept = self._settled.pop()
        del self.sheet.checked[self.queue[self.position].index]
        return kept


def checked_label(text: str | None) -> str:
    """A label as a person typed it, composed (NFC) and without the spaces around it; "" for none.

    Raises:
        AlphabetError: too long, of spaces alone, or with control characters.

    >>> checked_label(" ب ")
    'ب'
    """
    return check_label(text) if text else ""


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
    from: `kalamos.app.page_mount` sees to it, and Gradio's own keeping of states has no part in it.

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


def corrections_folder(context: Context, visit: Session, model: str) -> Path:
    """Where the corrections of a model's answers lie; those of a model taught from it join them."""
    return context.corrections_dir / slug(visit.origin(model))


def taught_folder(corrections_dir: str | os.PathLike[str]) -> Path:
    """Where taught models lie: beside the corrections, each of which has a folder of its model's name."""
    return Path(corrections_dir) / "taught models"


def shown_path(context: Context, path: Path) -> str:
    """A path as the page shows it: whole to who sits at this computer, to others its last part alone."""
    return str(path.absolute()) if context.local else path.name


def note_origin(context: Context, visit: Session, model: str) -> None:
    """Let a visit know what a model was taught from, where that was in another visit."""
    base = context.registry.taught_from(model) if isinstance(context.registry, TaughtModelRegistry) else None
    if base is not None:
        visit.taught_from.setdefault(model, base)


def save_correction(
    context: Context,
    visit: Session,
    place: str,
    model: str,
    image: bytes,
    label: str | None,
    guess: Prediction,
) -> None:
    """Save one at once, with the model's guess and the time.

    Args:
        place: the part of the page, which `undo_correction` takes the last one of.
        image: the bytes as they came.
        label: None for what is not a character.

    Raises:
        KalamosError: the label cannot be kept, or the disk does not take it.
    """
    note_origin(context, visit, model)
    copy = visit.folder("kept") / os.urandom(8).hex()
    _corrections(context, visit, place, model).add(image, label, guess, datetime.now(UTC))
    copy.write_bytes(image)
    visit.kept.append(SavedExample(model, label, copy))


def undo_correction(context: Context, visit: Session, place: str, kept: SavedExample) -> None:
    """Take the last one of a part of the page away again."""
    _corrections(context, visit, place, kept.model).undo()
    visit.kept.remove(kept)
    kept.image.unlink(missing_ok=True)


def _corrections(context: Context, visit: Session, place: str, model: str) -> Corrections:
    from kalamos.finetune.corrections import Corrections

    key = visit.origin(model), place
    if key not in visit.corrections:
        visit.corrections[key] = Corrections(corrections_folder(context, visit, model))
    return visit.corrections[key]


def slug(model: str) -> str:
    """A model's name as a file's, on every system; uploaded files are called anything."""
    return re.sub(r"[^\w-]+", "-", model).strip("-")[:60] or "model"
