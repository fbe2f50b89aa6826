"""`kalamos predict --show DIR`: each image, every preprocessing step, and what the model saw.

One PNG per image, numbered in the order of the rows, which keeps files of one name in different folders
apart; and `index.html`, `index-2.html`, ... of `IMAGES_PER_PAGE` images each, with whole paths and labels of
any script, which OpenCV cannot draw.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePath
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.errors import ImageError, OutputError, UsageError
from kalamos.evaluation.reporting import fit_image, render_page, save_file
from kalamos.inputs import Item
from kalamos.predictions import Prediction
from kalamos.recognizer import Recognizer
from kalamos.utils.atomic_write import write_bytes

__all__ = ["Gallery", "picture"]

Grey = NDArray[np.uint8]

IMAGES_PER_PAGE = 100

PANEL_PX, GAP_PX, LINE_PX = 140, 8, 18
"""The side of a panel, the space between panels, the height of a line of text."""

BACKGROUND_GREY, TEXT_GREY = 255, 40


class Gallery:
    """Pictures of predictions, saved one by one: memory does not grow with their number.

    Args:
        folder: made if absent. It must be empty, so that no picture of an earlier run is overwritten or
            mistaken for one of this run.
        reader: makes the predictions.

    Raises:
        UsageError: the folder is not empty, or is not a folder.
        OutputError: it cannot be written to.
    """

    def __init__(self, folder: str, reader: Recognizer) -> None:
        self._folder = Path(folder)
        self._reader = reader
        self._count = 0
        self._entries: list[dict[str, Any]] = []
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            occupied = next(self._folder.iterdir(), None) is not None
        except (FileExistsError, NotADirectoryError) as error:
            raise UsageError(f"{folder}: not a directory", remedy="name another after --show") from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise OutputError(f"{folder}: cannot be written to: {reason}") from error
        if occupied:
            raise UsageError(f"{folder}: not empty", remedy="empty it, or name a new folder after --show")

    def __enter__(self) -> Gallery:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Also after an interrupt: what was read until then can be looked at.
        if not isinstance(error, OutputError):
            self._write_page(more=False)

    def add(self, result: Prediction, item: Item) -> None:
        """Save the picture of one prediction; its item is read once more."""
        if len(self._entries) == IMAGES_PER_PAGE:
            self._write_page(more=True)
        self._count += 1
        path = result.path or ""
        # Short enough for any file system, in any script.
        stem = re.sub(r"[^\w.-]", "_", PurePath(path).stem)[:40]
        name = f"{self._count:06d}-{stem}.png"
        stages: list[tuple[str, Grey]] = []
        try:
            stages.extend(self._reader.trace(item))
        except ImageError as error:
            problem: str | None = str(error)
        else:
            problem = None
        _, content = cv2.imencode(".png", picture(stages, _ascii(result)))
        write_bytes(self._folder / name, content.data)
        self._entries.append(_entry(name, path, result, problem))

    def _write_page(self, *, more: bool) -> None:
        number = max(1, -(-self._count // IMAGES_PER_PAGE))
        first = self._count - len(self._entries) + 1
        page = render_page(
            "gallery.html",
            title=f"What the model saw: {first} to {self._count}" if self._entries else "No image was read",
            entries=self._entries,
            before=_page_name(number - 1) if number > 1 else None,
            after=_page_name(number + 1) if more else None,
        )
        save_file(self._folder / _page_name(number), page)
        self._entries.clear()


def picture(stages: list[tuple[str, Grey]], caption: str) -> Grey:
    """Draw the stages side by side, each scaled to one size under its name, above the caption.

    Args:
        stages: names and images uint8 [h, w]; may be empty.
        caption: ASCII.

    Returns:
        uint8 [H, W].

    >>> image = np.zeros((28, 28), np.uint8)
    >>> picture([("input", image), ("centre", image)], "7").shape
    (192, 304)
    """
    columns = max(2, len(stages))
    height, width = 2 * LINE_PX + PANEL_PX + 2 * GAP_PX, columns * (PANEL_PX + GAP_PX) + GAP_PX
    sheet = np.full((height, width), BACKGROUND_GREY, np.uint8)
    for column, (name, image) in enumerate(stages):
        left = GAP_PX + column * (PANEL_PX + GAP_PX)
        _write(sheet, name, left, LINE_PX)
        panel = fit_image(image, PANEL_PX)
        top = LINE_PX + GAP_PX
        sheet[top : top + panel.shape[0], left : left + panel.shape[1]] = panel
    _write(sheet, caption, GAP_PX, height - GAP_PX)
    return sheet


def _write(sheet: Grey, text: str, left: int, baseline: int) -> None:
    cv2.putText(sheet, text, (left, baseline), cv2.FONT_HERSHEY_SIMPLEX, 0.45, TEXT_GREY, 1, cv2.LINE_AA)


def _ascii(result: Prediction) -> str:
    """Describe the prediction in characters that OpenCV can draw."""
    if result.error is not None:
        return result.error.summary
    label = "no label" if result.label is None else result.label
    if not (label.isascii() and label.isprintable()):
        label = " ".join(f"U+{ord(character):04X}" for character in label)
    return f"{label}   {result.confidence:.1%}"


def _entry(name: str, path: str, result: Prediction, problem: str | None) -> dict[str, Any]:
    return {
        "file": name,
        "path": path,
        "error": None if result.error is None else problem or str(result.error),
        "label": result.label,
        "confidence": result.confidence,
        "best": result.top[0].label if result.abstained and result.top else None,
    }


def _page_name(number: int) -> str:
    return "index.html" if number == 1 else f"index-{number}.html"
