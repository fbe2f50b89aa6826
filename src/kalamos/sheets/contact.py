"""A contact sheet: all that was cut, by classes, the doubtful ones framed, for a person to look over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.errors import ImageError
from kalamos.forms.drawing import font_for
from kalamos.images import load_grey
from kalamos.inputs.files import natural_order
from kalamos.pages.rendering import DOUBTFUL as DOUBTFUL_COLOUR
from kalamos.sheets.letters import LetterFolder
from kalamos.utils.atomic_write import write_bytes

__all__ = ["write_contact_sheets"]

TILE_PX, LABEL_PX, LABEL_FONT_PX, COLUMNS = 52, 110, 26, 24

MAX_ROWS: Final = 60
"""Of one picture; more go onto the next."""

MAX_PICTURES: Final = 40

MAX_LABEL_CHARACTERS: Final = 12

FRAME_PX: Final = 2

RGB = NDArray[np.uint8]


class _Cut(NamedTuple):
    path: Path
    doubtful: bool


def write_contact_sheets(folder: LetterFolder, path: Path) -> list[Path]:
    """Draw all images of a folder, doubtful ones behind the others and framed, by classes in natural order.

    Args:
        folder: of cut characters.
        path: of the first picture, a PNG; the next ones are called NAME-2.png and so on.

    Returns:
        The pictures that were written.

    Raises:
        OutputError: one cannot be written.
    """
    classes: dict[str, list[_Cut]] = {}
    for row in folder.rows:
        classes.setdefault(row["label"], []).append(_Cut(folder.path / row["path"], False))
    for row in folder.doubtful:
        classes.setdefault(row["label"], []).append(_Cut(folder.doubtful_path / row["path"], True))
    rows = [
        (label if start == 0 else "", cuts[start : start + COLUMNS])
        for label, cuts in sorted(classes.items(), key=lambda one: natural_order(one[0]))
        for start in range(0, len(cuts), COLUMNS)
    ]
    written = []
    columns = max((len(cuts) for _, cuts in rows), default=0)
    for number, part in enumerate(_parts(rows), 1):
        place = path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
        picture = np.concatenate([_row(label, cuts, columns) for label, cuts in part])
        write_bytes(place, cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes())
        written.append(place)
    return written


def _parts(rows: Sequence[tuple[str, list[_Cut]]]) -> Iterator[Sequence[tuple[str, list[_Cut]]]]:
    return (
        rows[start : start + MAX_ROWS]
        for start in range(0, min(len(rows), MAX_ROWS * MAX_PICTURES), MAX_ROWS)
    )


def _row(label: str, cuts: Sequence[_Cut], columns: int) -> RGB:
    canvas = np.full((TILE_PX, LABEL_PX + columns * TILE_PX, 3), 255, np.uint8)
    if label:
        canvas[:, :LABEL_PX] = _label_tile(label)
    for number, cut in enumerate(cuts):
        left = LABEL_PX + number * TILE_PX
        canvas[:, left : left + TILE_PX] = _tile(cut)
    canvas[-1] = 225
    return canvas


def _tile(cut: _Cut) -> RGB:
    tile = np.full((TILE_PX, TILE_PX, 3), 255, np.uint8)
    inner = TILE_PX - 2 * FRAME_PX - 2
    try:
        image = load_grey(cut.path)
    except ImageError:
        return tile
    scale = inner / max(image.shape)
    size = [max(1, round(length * scale)) for length in image.shape[::-1]]
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    top, left = (TILE_PX - small.shape[0]) // 2, (TILE_PX - small.shape[1]) // 2
    tile[top : top + small.shape[0], left : left + small.shape[1]] = small[..., None]
    if cut.doubtful:
        last = TILE_PX - 1 - FRAME_PX // 2
        cv2.rectangle(tile, (FRAME_PX // 2,) * 2, (last, last), DOUBTFUL_COLOUR, FRAME_PX)
    return tile


def _label_tile(label: str) -> RGB:
    """Write a label in a font that has it, or the codes of its characters."""
    from PIL import Image, ImageDraw, ImageFont

    text = label[:MAX_LABEL_CHARACTERS]
    try:
        path = font_for(frozenset(map(ord, text)))
    except ImportError:  # without kalamos[forms] nothing tells which font has which characters
        path = None
    if path is None and not text.isascii():
        text = " ".join(f"U+{ord(each):04X}" for each in text[:2])

    def font_of(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
        return ImageFont.load_default(size) if path is None else ImageFont.truetype(str(path), size)

    font = font_of(LABEL_FONT_PX)
    left, top, right, bottom = font.getbbox(text)
    if right - left > LABEL_PX - 8:
        font = font_of(max(8, LABEL_FONT_PX * (LABEL_PX - 8) / (right - left)))
        left, top, right, bottom = font.getbbox(text)
    tile = Image.new("RGB", (LABEL_PX, TILE_PX), (255, 255, 255))
    at = (LABEL_PX - 8 - (right - left) - left, (TILE_PX - (bottom - top)) / 2 - top)
    ImageDraw.Draw(tile).text(at, text, fill=(60, 60, 60), font=font)
    return np.asarray(tile)
