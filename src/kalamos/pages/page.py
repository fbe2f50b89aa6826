"""What is read from a page: lines of words of characters, or the cells of a grid."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, get_args

from kalamos.errors import ImageError, UsageError, suggest
from kalamos.predictions import Candidate

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd  # type: ignore[import-untyped, unused-ignore]
    from numpy.typing import NDArray

__all__ = ["Box", "Cell", "Character", "Layout", "LayoutOption", "Line", "Page", "Word", "around"]

Layout = Literal["line", "page", "grid"]
"""How a page was read: as one line, as lines, as the cells of ruled lines."""

LayoutOption = Literal["auto", Layout]
"""How a page is to be read; "auto" reads a grid where it sees one, else lines."""

LAYOUTS: Final[tuple[LayoutOption, ...]] = get_args(LayoutOption)


class Box(NamedTuple):
    """An upright rectangle of the picture, in px: x to the right, y downwards."""

    x: int
    y: int
    width: int
    height: int


def around(boxes: list[Box]) -> Box:
    """Return the smallest box around at least one.

    >>> around([Box(1, 2, 3, 4), Box(2, 0, 10, 3)])
    Box(x=1, y=0, width=11, height=6)
    """
    left, top = min(box.x for box in boxes), min(box.y for box in boxes)
    right, bottom = max(box.x + box.width for box in boxes), max(box.y + box.height for box in boxes)
    return Box(left, top, right - left, bottom - top)


@dataclass(frozen=True, slots=True)
class Character:
    """One character of a page.

    Attributes:
        label: None where the reader abstains: it is unsure, or this is no character; `reason` says which.
        confidence: calibrated probability of the best label, in [0, 1].
        box: around its ink, on the picture as it was given.
        candidates: the most probable labels, most probable first.
        known: probability in [0, 1] of being a character of the alphabet; None if the model does not tell.
        reason: why there is no label.

    Punctuation, which shape and place tell, has a confidence of 1 and no candidates.
    """

    label: str | None
    confidence: float
    box: Box
    candidates: tuple[Candidate, ...] = ()
    known: float | None = None
    reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "label": self.label,
            "confidence": round(self.confidence, 6),
            "known": None if self.known is None else round(self.known, 6),
            "reason": self.reason,
            "box": list(self.box),
            "candidates": [[label, round(share, 6)] for label, share in self.candidates],
        }


@dataclass(frozen=True, slots=True)
class Word:
    """Characters without a gap between them, in reading order."""

    characters: tuple[Character, ...]

    @property
    def text(self) -> str:
        """The labels in a row; where the reader abstains, there is nothing."""
        return "".join(character.label or "" for character in self.characters)

    @property
    def box(self) -> Box:
        """The box around it."""
        return around([character.box for character in self.characters])


@dataclass(frozen=True, slots=True)
class Line:
    """Words beside each other, in reading order."""

    words: tuple[Word, ...]

    @property
    def text(self) -> str:
        """The words, a space between them; words without a label are left out."""
        return " ".join(word.text for word in self.words if word.text)

    @property
    def box(self) -> Box:
        """The box around it."""
        return around([word.box for word in self.words])


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a grid, and what is written in it.

    Attributes:
        row, column: from 1.
        box: around the cell.
        character: None for a blank.
    """

    row: int
    column: int
    box: Box
    character: Character | None


@dataclass(frozen=True)
class Page:
    """One page, read.

    Attributes:
        lines: in reading order; none where the layout is a grid.
        cells: of a grid, row by row.
        layout: how it was read.
        path: the picture's name; None for arrays and bytes.
        number: of the page in its document, from 1.
        width, height: of the picture, in px; 0 where there is none.
        turned: how far the picture is turned clockwise until it stands upright, in degrees.
        error: why nothing could be read.
        model: the name of the model that read it, and the first digits of its file's SHA-256.
        image: the picture, uint8 [H, W].

    >>> digit = Character("7", 0.998, Box(4, 2, 10, 18), (Candidate("7", 0.998),))
    >>> page = Page(lines=(Line((Word((digit, digit)),)),), width=40, height=30)
    >>> page.text
    '77'
    >>> [character.box.width for character in page.characters]
    [10, 10]
    """

    lines: tuple[Line, ...] = ()
    cells: tuple[Cell, ...] = ()
    layout: Layout = "page"
    path: str | None = None
    number: int = 1
    width: int = 0
    height: int = 0
    turned: float = 0.0
    error: ImageError | None = None
    model: str = ""
    image: NDArray[np.uint8] | None = field(default=None, compare=False, repr=False)

    @property
    def words(self) -> list[Word]:
        """The words of all lines."""
        return [word for line in self.lines for word in line.words]

    @property
    def characters(self) -> list[Character]:
        """All characters: of the lines, or of the cells that are not blank."""
        if self.layout == "grid":
            return [cell.character for cell in self.cells if cell.character is not None]
        return [character for word in self.words for character in word.characters]

    @property
    def text(self) -> str:
        """The lines; a grid's rows, with a tab between cells."""
        if self.layout != "grid":
            return "\n".join(line.text for line in self.lines if line.text)
        return "\n".join("\t".join(row) for row in self.grid)

    @property
    def grid(self) -> list[list[str]]:
        """The labels of a grid, row by row; "" for a blank cell and where the reader abstains."""
        rows: dict[int, dict[int, str]] = {}
        for cell in self.cells:
            label = cell.character.label if cell.character else None
            rows.setdefault(cell.row, {})[cell.column] = label or ""
        columns = max((cell.column for cell in self.cells), default=0)
        return [[rows[row].get(column, "") for column in range(1, columns + 1)] for row in sorted(rows)]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types: everything but the picture."""
        return {
            "path": self.path,
            "page": self.number,
            "width": self.width,
            "height": self.height,
            "layout": self.layout,
            "turned": round(self.turned, 2),
            "model": self.model,
            "error": None if self.error is None else str(self.error),
            "text": self.text,
            "lines": [
                {
                    "text": line.text,
                    "box": list(line.box),
                    "words": [
                        {
                            "text": word.text,
                            "box": list(word.box),
                            "characters": [character.to_dict() for character in word.characters],
                        }
                        for word in line.words
                    ],
                }
                for line in self.lines
            ],
            "cells": [
                {
                    "row": cell.row,
                    "column": cell.column,
                    "box": list(cell.box),
                    "character": None if cell.character is None else cell.character.to_dict(),
                }
                for cell in self.cells
            ],
        }

    def rows(self) -> Iterator[Mapping[str, str | int | float | None]]:
        """Yield a row for each character, or for each cell; one with the error for a page that has none.

        The columns are those of `kalamos.pages.writers.COLUMNS`.
        """
        rows = import_module("kalamos.pages.writers").rows_of(self)
        yield from rows

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write a CSV file: a row for each character or cell.

        Raises:
            OutputError: it cannot be written.
        """
        self._save(path, "csv")

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write a JSON Lines file of one line: see `to_dict`.

        Raises:
            OutputError: it cannot be written.
        """
        self._save(path, "jsonl")

    def to_hocr(self, path: str | os.PathLike[str]) -> None:
        """Write hOCR: HTML with the place of each line, word and character.

        Raises:
            OutputError: it cannot be written.
        """
        self._save(path, "hocr")

    def _save(self, path: str | os.PathLike[str], format: str) -> None:  # noqa: A002
        import_module("kalamos.pages.writers").save([self], Path(path), format)

    def to_pandas(self) -> pd.DataFrame:
        """Return a pandas table: a row for each character or cell.

        Raises:
            UsageError: pandas is not installed.
        """
        try:
            pandas = import_module("pandas")
        except ModuleNotFoundError as error:
            raise UsageError("to_pandas needs pandas", remedy="pip install pandas") from error
        table: pd.DataFrame = pandas.DataFrame(list(self.rows()))
        return table

    def render(self) -> NDArray[np.uint8]:
        """Draw what was read over the picture: uint8 RGB [H, W, 3].

        Raises:
            UsageError: the page has no picture.
        """
        drawn: NDArray[np.uint8] = import_module("kalamos.pages.rendering").render(self)
        return drawn

    def show(self) -> None:
        """Open the picture of `render` in the system's viewer."""
        from PIL import Image

        Image.fromarray(self.render()).show()

    def _repr_html_(self) -> str:
        html: str = import_module("kalamos.pages.rendering").html_of(self)
        return html


def check_layout(layout: str) -> None:
    """Check the name of a layout.

    Raises:
        UsageError: there is no such layout.
    """
    if layout not in LAYOUTS:
        raise UsageError(f"layout = {layout!r} is unknown", remedy=suggest(layout, LAYOUTS))


def upright(degrees: float) -> float:
    """Bring an angle to (-180, 180].

    >>> upright(270.0), upright(-180.0), upright(0.0)
    (-90.0, 180.0, 0.0)
    """
    return 180.0 - (180.0 - degrees) % 360.0 if math.isfinite(degrees) else 0.0
