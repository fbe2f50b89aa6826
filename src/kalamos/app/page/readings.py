"""What a visit has read of pictures with many boxes, and what a person has put right in it since."""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

import cv2
import numpy as np

from kalamos.alphabets import Alphabet
from kalamos.app.page.session import SavedExample
from kalamos.errors import UsageError
from kalamos.forms.cutting import cut_boxes
from kalamos.pages import Box, Cell, Character, Line, Page, Word
from kalamos.pages.rendering import DOUBT
from kalamos.pages.writers import COLUMNS, csv_line, rows_of
from kalamos.predictions import NOT_A_CHARACTER, Candidate, Prediction
from kalamos.preprocessing.steps import GreyImage

__all__ = ["PagesRead", "Reading", "Shown", "StoredPicture", "View", "guess_of"]

STORED_PX: Final = 2_400
"""The longer side of the pictures that are kept to look at, in px: of an A4 page, some 200 dots an inch."""

STORED_QUALITY: Final = 90
"""Of their JPEG."""

CROP_MARGIN: Final = 0.15
"""Of a box's shorter side: how much around it is kept with it."""

MAX_CROP_PX: Final = 256
"""The longer side of a box that is kept, without what is around it."""

MAX_SENDERS: Final = 32
"""Open pages whose messages are counted."""

_numbers = count(1)

Corners = tuple[tuple[float, float], ...]
"""Four of them, (x, y) in px of the scan, clockwise from where the top left is once it stands upright."""


class StoredPicture(NamedTuple):
    """A page's picture, on the disk for as long as the visit lasts."""

    path: Path
    scale: float
    """Px of it for one px of the scan."""

    @classmethod
    def store(cls, image: GreyImage, folder: Path) -> StoredPicture:
        """Keep a picture, scaled down if it is large."""
        scale = min(1.0, STORED_PX / max(image.shape))
        if scale < 1:
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, STORED_QUALITY])
        path = folder / f"{os.urandom(8).hex()}.jpg"
        path.write_bytes(encoded.tobytes())
        return cls(path, scale)

    def load(self) -> GreyImage:
        """Return the picture, uint8 [H, W].

        Raises:
            UsageError: it is not kept any more.
        """
        try:
            content = np.fromfile(self.path, np.uint8)
        except OSError:
            raise UsageError("the picture is not kept any more", remedy="read it again") from None
        return cv2.imdecode(content, cv2.IMREAD_GRAYSCALE)  # type: ignore[return-value]


class View(NamedTuple):
    """One picture to look at."""

    name: str
    picture: StoredPicture | None
    """None where there is none: it could not be read."""
    problem: str
    """Why nothing, or not all, was read; "" if all was."""


class Shown(NamedTuple):
    """A box of a view, as a person sees it."""

    corners: Corners
    label: str | None
    """"" for a blank, None where there is no answer; a person's if there is one."""
    doubtful: bool
    checked: bool
    """Whether a person said what it is."""
    confidence: float | None
    candidates: tuple[Candidate, ...]
    place: str
    """Where it is, in words."""
    may_be_blank: bool = False
    tick: bool = False
    """Whether it is a box to tick."""


class Reading(ABC):
    """What was read: pictures with boxes, which a person may correct."""

    def __init__(self, name: str) -> None:
        self.name = name
        """What its table is called."""
        self.number = next(_numbers)
        """Tells it from others of the visit."""
        self.shown = 0
        """The picture that is shown."""
        self.note = ""
        """What was left out, and why."""
        self.kept: dict[tuple[int, int], SavedExample] = {}
        """View and box -> the example that was kept when a person put it right."""
        self.asked: tuple[int, int] | None = None
        """The box whose label a person is asked about before it is kept."""
        self._done: dict[str, int] = {}
        """Of each open page, the number of the last message that was done; the newest last."""

    def is_new(self, sender: str, number: int) -> bool:
        """Return whether a message comes for the first time; messages of one sender come in order."""
        done = self._done.pop(sender, 0)
        self._done[sender] = max(done, number)
        while len(self._done) > MAX_SENDERS:
            del self._done[next(iter(self._done))]
        return number > done

    @property
    @abstractmethod
    def views(self) -> Sequence[View]:
        """All pictures."""

    @abstractmethod
    def boxes(self, view: int) -> list[Shown]:
        """Return a picture's boxes, in reading order."""

    @abstractmethod
    def model(self, view: int, box: int) -> str:
        """Return the name of the model that read a box."""

    @abstractmethod
    def alphabet(self, view: int, box: int) -> Alphabet | None:
        """Return what that model can answer; None for a box that holds no character."""

    @abstractmethod
    def guess(self, view: int, box: int) -> Prediction:
        """Return what the model said of a box."""

    @abstractmethod
    def correct(self, view: int, box: int, label: str | None) -> None:
        """Note what a person says is in a box; None for no character."""

    @abstractmethod
    def blank_means_nothing(self, view: int, box: int) -> bool:
        """Return whether a box may be empty, so that no character in it is no example of anything."""

    @abstractmethod
    def reset(self, view: int, box: int) -> None:
        """Forget what a person said of a box."""

    @abstractmethod
    def counts(self) -> list[tuple[int, str]]:
        """Return numbers to sum it up by, with words."""

    @abstractmethod
    def text(self, view: int) -> str:
        """Return what is written on a picture, as corrected."""

    @abstractmethod
    def export(self, format_name: str, folder: Path) -> bytes:
        """Return the table, as corrected; what it needs meanwhile is written into a folder.

        Raises:
            UsageError: there is no such format.
        """

    def crop(self, view: int, box: int) -> bytes | None:
        """Return a box's piece of the picture, upright, as a PNG; None where there is no picture."""
        picture = self.views[view].picture
        if picture is None:
            return None
        corners = np.array(self.boxes(view)[box].corners) * picture.scale
        sides = np.linalg.norm(corners - np.roll(corners, -1, axis=0), axis=1)
        side = min(MAX_CROP_PX, max(1, round(float(sides.max()))))
        [crop] = cut_boxes(picture.load(), corners[np.newaxis], side=side, margin=CROP_MARGIN)
        _, encoded = cv2.imencode(".png", crop)
        return encoded.tobytes()


def upright_corners(box: Box, turned: float) -> Corners:
    """Return a box's corners, the first being at the top left once the picture is turned.

    Args:
        box: on the picture as it was given.
        turned: degrees clockwise until the picture stands upright.

    >>> upright_corners(Box(10, 20, 4, 6), 0)
    ((10.0, 20.0), (14.0, 20.0), (14.0, 26.0), (10.0, 26.0))
    >>> upright_corners(Box(10, 20, 4, 6), 90)
    ((10.0, 26.0), (10.0, 20.0), (14.0, 20.0), (14.0, 26.0))
    """
    sine, cosine = math.sin(math.radians(turned)), math.cos(math.radians(turned))
    # Of the turned picture's axes, on the picture as it was given.
    across, down = np.array([cosine, -sine]), np.array([sine, cosine])
    wide = abs(box.width * cosine) + abs(box.height * sine)
    high = abs(box.width * sine) + abs(box.height * cosine)
    middle = np.array([box.x + box.width / 2, box.y + box.height / 2])
    places = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
    points = [middle + x * wide / 2 * across + y * high / 2 * down for x, y in places]
    return tuple((round(float(x), 2), round(float(y), 2)) for x, y in points)


@dataclass(frozen=True)
class _Place:
    """A character of a page, or a cell, and what is there."""

    box: Box
    character: Character | None
    where: str


class PagesRead(Reading):
    """Pages of characters.

    Args:
        model: what the page calls the model that read them.
        alphabet: what it can answer.

    >>> from kalamos.alphabets import DIGITS
    >>> page = Page((Line((Word((Character("7", 0.6, Box(1, 2, 3, 4)),)),)),), path="a.png")
    >>> read = PagesRead("digits", DIGITS)
    >>> read.add(page, None)
    >>> read.correct(0, 0, "1")
    >>> read.text(0), read.boxes(0)[0].checked
    ('1', True)
    """

    def __init__(self, model: str, alphabet: Alphabet) -> None:
        super().__init__("pages")
        self._model, self._alphabet = model, alphabet
        self._pages: list[Page] = []
        self._views: list[View] = []
        self._labels: dict[tuple[int, int], str | None] = {}
        """What a person said."""

    def add(self, page: Page, picture: StoredPicture | None) -> None:
        """Add a page; its own picture is not kept."""
        self._pages.append(replace(page, image=None))
        problem = "" if page.error is None else str(page.error)
        self._views.append(View(page.path or "", picture, problem))

    @property
    def views(self) -> Sequence[View]:
        return self._views

    def boxes(self, view: int) -> list[Shown]:
        page = self._pages[view]
        return [self._shown(view, at, place, page.turned) for at, place in enumerate(_places(page))]

    def _shown(self, view: int, at: int, place: _Place, turned: float) -> Shown:
        character, checked = place.character, (view, at) in self._labels
        label = "" if character is None else character.label
        return Shown(
            upright_corners(place.box, turned),
            self._labels[view, at] if checked else label,
            label is None or (character is not None and character.confidence < DOUBT),
            checked,
            None if character is None else character.confidence,
            () if character is None else character.candidates,
            place.where,
            self.blank_means_nothing(view, at),
        )

    def model(self, view: int, box: int) -> str:  # noqa: ARG002
        return self._model

    def alphabet(self, view: int, box: int) -> Alphabet:  # noqa: ARG002
        return self._alphabet

    def guess(self, view: int, box: int) -> Prediction:
        return guess_of(_places(self._pages[view])[box].character)

    def correct(self, view: int, box: int, label: str | None) -> None:
        empty = label is None and self.blank_means_nothing(view, box)
        self._labels[view, box] = "" if empty else label

    def blank_means_nothing(self, view: int, box: int) -> bool:  # noqa: ARG002
        return self.is_grid(view)

    def is_grid(self, view: int) -> bool:
        """Return whether a page is a grid of cells."""
        return self._pages[view].layout == "grid"

    def reset(self, view: int, box: int) -> None:
        self._labels.pop((view, box), None)

    def counts(self) -> list[tuple[int, str]]:
        characters = [character for page in self._pages for character in page.characters]
        return [
            (len(self._pages), "page" if len(self._pages) == 1 else "pages"),
            (len(characters), "characters"),
            (sum(character.label is None for character in characters), "without a label"),
            (sum(page.error is not None for page in self._pages), "with errors"),
            (len(self._labels), "corrected by you"),
        ]

    def text(self, view: int) -> str:
        return self.corrected(view).text

    def corrected(self, view: int) -> Page:
        """Return a page with the labels that a person gave."""
        labels = {box: label for (of, box), label in self._labels.items() if of == view}
        page = self._pages[view]
        if not labels:
            return page
        if page.layout == "grid" and page.cells:
            cells = [_cell(cell, labels[at]) if at in labels else cell for at, cell in enumerate(page.cells)]
            return replace(page, cells=tuple(cells))
        at = iter(range(len(page.characters)))
        return replace(
            page,
            lines=tuple(
                Line(
                    tuple(
                        Word(tuple(_relabelled(each, labels, next(at)) for each in word.characters))
                        for word in line.words
                    )
                )
                for line in page.lines
            ),
        )

    def export(self, format_name: str, folder: Path) -> bytes:  # noqa: ARG002
        """Return what `kalamos read -f csv` writes, with the labels that a person gave.

        Once something was corrected, there is one more column, the last: `checked`, yes or no.
        """
        if format_name != "csv":
            raise UsageError(f"pages are not written as {format_name!r} here", remedy="choose csv")
        columns = [*COLUMNS, "checked"] if self._labels else list(COLUMNS)
        lines = [csv_line(columns)]
        for view in range(len(self._pages)):
            for at, row in enumerate(rows_of(self.corrected(view))):
                checked = ["yes" if (view, at) in self._labels else "no"] if self._labels else []
                lines.append(csv_line([*row.values(), *checked]))
        return b"".join(lines)


def _places(page: Page) -> list[_Place]:
    """Return what can be corrected on a page, in the order of its table's rows."""
    if page.layout == "grid" and page.cells:
        return [
            _Place(cell.box, cell.character, f"row {cell.row}, column {cell.column}") for cell in page.cells
        ]
    return [
        _Place(character.box, character, f"line {number}, character {at}")
        for number, line in enumerate(page.lines, 1)
        for at, character in enumerate((each for word in line.words for each in word.characters), 1)
    ]


def guess_of(character: Character | None) -> Prediction:
    """Return what a model said of a character, as the corrections' log has it."""
    if character is None:
        return Prediction(None, None)
    return Prediction(character.label, character.confidence, character.candidates)


def _cell(cell: Cell, label: str | None) -> Cell:
    if label == "":
        return replace(cell, character=None)
    before = cell.character or Character(None, 0.0, cell.box)
    return replace(cell, character=_with_label(before, label))


def _relabelled(character: Character, labels: Mapping[int, str | None], at: int) -> Character:
    return _with_label(character, labels[at]) if at in labels else character


def _with_label(character: Character, label: str | None) -> Character:
    reason = NOT_A_CHARACTER if label is None else None
    return replace(character, label=label, reason=reason)
