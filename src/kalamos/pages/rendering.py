"""What was read, drawn over the picture."""

from __future__ import annotations

import base64
import html
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.errors import UsageError
from kalamos.pages.page import Box, Cell, Character, Page

__all__ = ["html_of", "render"]

RGB = NDArray[np.uint8]

SURE, DOUBTFUL, WITHHELD, STRUCTURE = (30, 130, 60), (225, 140, 0), (200, 40, 40), (120, 140, 190)
"""Colours, RGB: an answer; one below `DOUBT`; no label; lines and blank cells."""

DOUBT: Final = 0.9
"""Confidences below it are drawn as doubtful."""

MIN_LABEL_PX: Final = 11
"""Labels are drawn at least so high."""

MAX_HTML_PX: Final = 1200
"""The longer side of the picture in a notebook."""


def render(page: Page) -> RGB:
    """Draw a page's boxes and labels over its picture: uint8 RGB [H, W, 3].

    Raises:
        UsageError: the page has no picture.
    """
    if page.image is None:
        raise UsageError("this page has no picture to draw on", remedy="read it from a picture")
    # Paler, so that labels stand out.
    pale = cv2.convertScaleAbs(page.image, alpha=0.62, beta=96)
    canvas: RGB = np.stack([pale] * 3, axis=2).astype(np.uint8)
    thick = max(1, round(max(page.image.shape) / 1200))
    for line in page.lines:
        _frame(canvas, _grown(line.box, 3 * thick), STRUCTURE, thick)
    for cell in page.cells:
        if cell.character is None:
            _frame(canvas, _shrunk(cell), STRUCTURE, thick)
    for character in page.characters:
        colour = colour_of(character)
        _frame(canvas, character.box, colour, thick)
        _write(canvas, character, colour, thick, inside=page.layout == "grid")
    return canvas


def colour_of(character: Character) -> tuple[int, int, int]:
    """Return the colour that says how sure an answer is.

    >>> colour_of(Character("7", 0.99, Box(0, 0, 1, 1))) == SURE
    True
    """
    if character.label is None:
        return WITHHELD
    return SURE if character.confidence >= DOUBT else DOUBTFUL


def _frame(canvas: RGB, box: Box, colour: tuple[int, int, int], thick: int) -> None:
    cv2.rectangle(canvas, (box.x, box.y), (box.x + box.width, box.y + box.height), colour, thick)


def _grown(box: Box, by: int) -> Box:
    return Box(box.x - by, box.y - by, box.width + 2 * by, box.height + 2 * by)


def _shrunk(cell: Cell) -> Box:
    by = max(1, round(0.06 * min(cell.box.width, cell.box.height)))
    return _grown(cell.box, -by)


def _write(
    canvas: RGB, character: Character, colour: tuple[int, int, int], thick: int, *, inside: bool
) -> None:
    """Write the label above its box; in the corner of a cell."""
    label = character.label if character.label is not None else "?"
    size = max(MIN_LABEL_PX, round((0.32 if inside else 0.42) * character.box.height))
    tile = glyph(label, size, colour)
    height, width = tile.shape[:2]
    y = character.box.y if inside else max(0, character.box.y - height - thick)
    x = character.box.x if inside else character.box.x + (character.box.width - width) // 2
    x = min(max(0, x), canvas.shape[1] - width)
    place = canvas[y : y + height, max(x, 0) : max(x, 0) + width]
    place[:] = tile[: place.shape[0], : place.shape[1]]


def glyph(text: str, height: int, colour: tuple[int, int, int]) -> RGB:
    """Draw a text in white on a ground of this colour: uint8 RGB, `height` px high."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size=max(6, round(0.8 * height)))
    left, top, right, bottom = font.getbbox(text)
    width = max(height // 2, round(right - left) + max(2, height // 4))
    image = Image.new("RGB", (width, height), colour)
    at = ((width - (right - left)) / 2 - left, (height - (bottom - top)) / 2 - top)
    ImageDraw.Draw(image).text(at, text, fill=(255, 255, 255), font=font)
    return np.asarray(image)


def html_of(page: Page) -> str:
    """Show a page in a notebook: the picture, and the text beside it."""
    text = html.escape(page.text or ("" if page.error is None else str(page.error)))
    shown = f"<pre>{text}</pre>"
    if page.image is None:
        return shown
    drawn = render(page)
    scale = min(1.0, MAX_HTML_PX / max(drawn.shape[:2]))
    small = cv2.resize(drawn, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else drawn
    _, encoded = cv2.imencode(".png", cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
    content = base64.b64encode(encoded.tobytes()).decode()
    return f'<img src="data:image/png;base64,{content}" style="max-width: 100%">{shown}'
