"""What belongs to one visit on the page, and to nobody else; models that were taught on this computer."""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from kalamos.app.batching import ModelRegistry
from kalamos.errors import KalamosError, ModelNotFoundError, UsageError, suggest
from kalamos.finetune.examples import check_label
from kalamos.model_file import ModelSpec, read_spec
from kalamos.predictions import Prediction
from kalamos.recognizer import Recognizer, load

if TYPE_CHECKING:
    from kalamos.app.page.drawn_alphabet import DrawnAlphabet
    from kalamos.app.page.readings import Reading
    from kalamos.finetune.corrections import Corrections

SORT_ORDERS: Final = ("Least sure first", "Most sure first", "By name")
ROW_FILTERS: Final = ("All", "Errors", "Not sure enough", "Checked", "Corrected")

CONFIDENCE_BINS: Final = 10


MAX_OWN_MODELS = 20
"""Models that one visit may give or teach: each is kept open, in memory."""


MAX_TAUGHT_MODELS: Final = 200
"""Files of the folder that are listed, the newest."""

_log = logging.getLogger("kalamos.app")


@dataclass(frozen=True, slots=True)
class Row:
    """One image."""

    index: int
    """Its place in the sheet, from 0."""
    prediction: Prediction
    thumbnail: str
    """A data URI; "" if the image cannot be read."""
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
    """Files of an archive without an image extension."""
    checked: dict[int, str | None] = field(default_factory=dict)
    """Row -> the label that a person gave or agreed to; None if it is not a character."""

    def label(self, row: Row) -> str | None:
        """Return the label that counts: a person's, else the model's."""
        return self.checked.get(row.index, row.prediction.label)

    def is_corrected(self, row: Row) -> bool:
        """Tell whether a person disagreed with the model's best guess."""
        top = row.prediction.top
        guess = top[0].label if top else row.prediction.label
        return row.index in self.checked and self.checked[row.index] != guess

    @property
    def corrected(self) -> int:
        """How many rows a person corrected."""
        return sum(map(self.is_corrected, self.rows))

    def view(self, order: str = "Least sure first", shown: str = "All", label: str = "") -> list[Row]:
        """Return the rows to show.

        Args:
            order: one of `SORT_ORDERS`. Errors count as less sure than any answer.
            shown: one of `ROW_FILTERS`.
            label: only rows with this label; "" for any.

        Raises:
            UsageError: an unknown order or filter.
        """
        for asked, known in ((order, SORT_ORDERS), (shown, ROW_FILTERS)):
            if asked not in known:
                raise UsageError(f"unknown choice {asked!r}", remedy=suggest(asked, known))
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
        """Return what a person should look at, the least sure first: all that could be read and has ink."""
        rows = [row for row in self.rows if row.prediction.error is None]
        return sorted(rows, key=_certainty)

    def counts(self) -> Mapping[str, int]:
        """Count the rows of each label, the most frequent first."""
        labels = (self.label(row) for row in self.rows)
        return dict(Counter(label for label in labels if label is not None).most_common())

    def histogram(self) -> list[int]:
        """Count the rows in each tenth of the confidence."""
        bins = [0] * CONFIDENCE_BINS
        for row in self.rows:
            if row.prediction.confidence is not None:
                bins[min(CONFIDENCE_BINS - 1, int(row.prediction.confidence * CONFIDENCE_BINS))] += 1
        return bins


def _certainty(row: Row) -> float:
    return -1.0 if row.prediction.confidence is None else row.prediction.confidence


@dataclass
class Review:
    """A queue of rows to check, the least sure first, with undo.

    >>> from kalamos.predictions import Candidate, Prediction
    >>> sheet = Sheet("digits", ("1", "7"), [
    ...     Row(at, Prediction(label, sure, (Candidate(label, sure),)), "", None)
    ...     for at, (label, sure) in enumerate([("7", 0.9), ("1", 0.5)])
    ... ])
    >>> review = Review(sheet)
    >>> kept = SavedExample("digits", "7", Path("1.png"))
    >>> review.current.index, review.settle("7", kept), review.current.index
    (1, None, 0)
    >>> review.undo() is kept, review.current.index, sheet.checked
    (True, 1, {})
    """

    sheet: Sheet
    queue: list[Row] = field(default_factory=list)
    position: int = 0
    _settled: list[tuple[int, SavedExample]] = field(default_factory=list)
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

    def settle(self, label: str | None, kept: SavedExample) -> None:
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

    def undo(self) -> SavedExample | None:
        """Take the last label back and return to its row; returns what was kept of it, if anything."""
        if not self._settled:
            return None
        self.position, kept = self._settled.pop()
        del self.sheet.checked[self.queue[self.position].index]
        return kept


def checked_label(text: str | None) -> str:
    """Return a label as a person typed it, composed (NFC), without the spaces around it; "" for none.

    Raises:
        AlphabetError: too long, of spaces alone, or with control characters.

    >>> checked_label(" ب ")
    'ب'
    """
    return check_label(text) if text else ""


@dataclass(frozen=True)
class LastRead:
    """The single image that was read last."""

    image: bytes
    prediction: Prediction
    model: str


class SavedExample(NamedTuple):
    """An example that was kept in this visit: of a label, or of what is not a character (None)."""

    model: str
    label: str | None
    image: Path


@dataclass
class Session:
    """What the page remembers of one visit; `close` is called when the visit has ended.

    A `gr.State(Session())` among an event's inputs is that of the cookie's visit, whichever tab it comes
    from: `kalamos.app.page_access` sees to it, and Gradio's own keeping of states has no part in it.

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
    review: Review | None = None
    pages: Reading | None = None
    """The pages or forms that were read last."""
    kept: list[SavedExample] = field(default_factory=list)
    own_models: dict[str, Recognizer] = field(default_factory=dict)
    """Models that were uploaded or taught here."""
    taught: Path | None = None
    """The model that was taught last."""
    alphabet: DrawnAlphabet | None = None
    """The alphabet of one's own that is drawn."""
    own_reader: str | None = None
    """The model that was taught from it last."""
    taught_from: dict[str, str] = field(default_factory=dict)
    """A model that was taught here -> the one it was taught from."""
    corrections: dict[tuple[str, str], Corrections] = field(default_factory=dict)
    """By the first model's name, and where on the page they come from: undo takes the last one there."""
    _root: Path | None = field(default=None, compare=False)
    _check_room: Callable[[], None] | None = field(default=None, compare=False)
    """Raises a `UsageError` if the visit holds as much as it may."""

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

    def forget_pages(self) -> None:
        """Take the pictures of the last pages or forms away."""
        self.pages = None
        if self._root is not None:
            shutil.rmtree(self._root / "pages", ignore_errors=True)

    def close(self) -> None:
        """Take everything away that this visit left, but for its corrections and taught models."""
        if self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)
        for each in fields(self):
            if each.compare:  # the folder's place stays: what is still at work makes no other one
                setattr(self, each.name, getattr(Session(), each.name))

    def reader(self, registry: ModelRegistry, name: str) -> Recognizer:
        """Return a model of this visit, or one of the registry's.

        Raises:
            ModelError: no model has this name, or its file must not be used.
        """
        own = self.own_models.get(name)
        return registry.get(name) if own is None else own

    def model_names(self, registry: ModelRegistry) -> list[str]:
        """Return all models that can be chosen in this visit."""
        return [*registry.names(), *(name for name in self.own_models if name not in registry)]

    def add_model(self, registry: ModelRegistry, name: str, reader: Recognizer) -> str:
        """Add a model to this visit; returns its name, made unique by a number.

        Raises:
            UsageError: the visit has `MAX_OWN_MODELS` already.
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
        """Return the model that a model was first taught from: itself if it was not taught here."""
        while model in self.taught_from:
            model = self.taught_from[model]
        return model

    def examples(self, model: str) -> list[SavedExample]:
        """Return what was kept of the answers of a model and of all models with the same origin.

        Images that are not characters are among them, with the label None.
        """
        origin = self.origin(model)
        return [kept for kept in self.kept if self.origin(kept.model) == origin]


class _Listed(NamedTuple):
    """A file as it was when it was looked at."""

    path: Path
    version: tuple[int, int]
    """Time of its last change in ns, and its size in bytes."""
    spec: ModelSpec | None
    """None if it is not a model file."""


class TaughtModelRegistry(ModelRegistry):
    """A registry's models, and after them those in a folder of taught ones, which may change at any time.

    For a page that only this computer reaches: what one visit taught, every visit sees. A file that is not a
    model is skipped, and logged once.

    Args:
        registry: its models come first, and keep their names.
        folder: need not exist yet.
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
        """Return what a model in the folder was taught from, if its file says so and that model is here."""
        try:
            training = None if name in self._registry else self.spec(name).training
        except ModelNotFoundError:
            return None
        taught = None if training is None else training.recipe.get("taught")
        base = taught.get("model") if isinstance(taught, dict) else None
        return base if isinstance(base, str) and base != name and base in self else None

    def _taught(self) -> dict[str, _Listed]:
        """Return the models in the folder by name, as they are now; only files that changed are read."""
        try:
            found = [(path, path.stat()) for path in self._folder.glob("*.onnx") if path.is_file()]
        except OSError:  # not there, or a file went meanwhile: the next look will show
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
        _log.warning("skipped among the taught models: %s", error)
        return _Listed(path, version, None)
