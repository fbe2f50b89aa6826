"""A form's scan with what was read drawn over it, and the pieces of it that a person is to look at."""

from __future__ import annotations

import html
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.errors import UsageError
from kalamos.forms.filled import FieldReading, FilledForm
from kalamos.pages.rendering import DOUBTFUL, STRUCTURE, SURE, WITHHELD, colour_of, glyph

__all__ = ["cut_field", "html_of", "render"]

RGB = NDArray[np.uint8]

STATUS_COLOURS: Final = {"ok": SURE, "check": DOUBTFUL, "blank": STRUCTURE, "missing": WITHHELD}
"""Of a field's outline."""

THUMBNAIL_MARGIN: Final = 0.25
"""Of a box's height: what a field's piece shows around it."""


def render(form: FilledForm, scan: int = 0) -> RGB:
    """Draw a form's fields over one of its scans: uint8 RGB [H, W, 3].

    Boxes have the colour of their answer, fields that of their status; each label stands above its box.

    Raises:
        UsageError: the form has no such picture.
    """
    image = form.scans[scan].image if 0 <= scan < len(form.scans) else None
    if image is None:
        raise UsageError("this form has no such picture", remedy="read it from a picture")
    pale = cv2.convertScaleAbs(image, alpha=0.62, beta=96)
    canvas: RGB = np.stack([pale] * 3, axis=2).astype(np.uint8)
    thick = max(1, round(max(image.shape) / 1400))
    for reading in form.fields.values():
        if reading.scan == scan:
            _draw_field(canvas, reading, thick)
    return canvas


def _draw_field(canvas: RGB, reading: FieldReading, thick: int) -> None:
    colour = STATUS_COLOURS[reading.status]
    corners = [np.array(box) for box in reading.corners]
    for box, character in zip(corners, reading.boxes, strict=True):
        outline = colour if character is None else colour_of(character)
        cv2.polylines(canvas, [np.rint(box).astype(np.int32)], isClosed=True, color=outline, thickness=thick)
        if character is not None:
            _write(canvas, box, character.label or "?", outline)
    if corners:
        points = np.concatenate(corners)
        low, high = points.min(axis=0) - 3 * thick, points.max(axis=0) + 3 * thick
        start, end = tuple(int(v) for v in low), tuple(int(v) for v in high)
        cv2.rectangle(canvas, start, end, colour, thick)


def _write(canvas: RGB, box: NDArray[np.float64], label: str, colour: tuple[int, int, int]) -> None:
    height = float(box[:, 1].max() - box[:, 1].min())
    tile = glyph(label, max(9, round(0.38 * height)), colour)
    y = max(0, int(box[:, 1].min()) - tile.shape[0])
    x = max(0, int(box[:, 0].mean() - tile.shape[1] / 2))
    place = canvas[y : y + tile.shape[0], x : x + tile.shape[1]]
    place[:] = tile[: place.shape[0], : place.shape[1]]


def cut_field(form: FilledForm, name: str, *, height: int = 48) -> NDArray[np.uint8] | None:
    """Cut a field out of its scan, upright: grey, uint8 [height, W]; None where there is no picture of it."""
    reading = form.fields[name]
    image = None if reading.scan is None else form.scans[reading.scan].image
    if image is None or not reading.corners:
        return None
    boxes = np.array(reading.corners, np.float64)
    across = (boxes[:, 1] - boxes[:, 0] + boxes[:, 2] - boxes[:, 3]).sum(axis=0)
    across /= max(float(np.linalg.norm(across)), 1e-9)
    axes = np.array([across, [-across[1], across[0]]])  # the field's own: to the right, and down
    points = boxes.reshape(-1, 2) @ axes.T
    tall = float(np.ptp(boxes @ axes[1], axis=1).max())
    low, high = points.min(axis=0), points.max(axis=0)
    margin = THUMBNAIL_MARGIN * tall
    scale = height / max(float(high[1] - low[1]) + 2 * margin, 1.0)
    width = max(1, round(scale * (float(high[0] - low[0]) + 2 * margin)))
    frame = np.array([low - margin, [low[0] - margin, high[1] + margin], [high[0] + margin, low[1] - margin]])
    around = np.vstack([frame, frame[1:].sum(axis=0) - frame[:1]]) @ axes  # its corners on the scan
    limit = np.array(image.shape[::-1])
    start = np.clip(np.floor(around.min(axis=0)) - 2, 0, limit - 1).astype(int)
    end = np.clip(np.ceil(around.max(axis=0)) + 2, start + 1, limit).astype(int)
    piece = image[start[1] : end[1], start[0] : end[0]]
    matrix = np.column_stack([scale * axes, scale * (margin - low + axes @ start)])
    # Averaged first where it is made smaller: the warp itself looks at single pixels.
    if scale < 1:
        piece = cv2.resize(piece, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        matrix[:, :2] = axes
    return cv2.warpAffine(  # type: ignore[return-value]
        piece, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def html_of(form: FilledForm) -> str:
    """Show a form in a notebook: a row for each field."""
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td><b>{html.escape(reading.text or '')}</b></td>"
        f"<td>{reading.status}</td><td>{reading.probability:.3f}</td></tr>"
        for name, reading in form.fields.items()
    )
    problem = f"<p>{html.escape(form.problem)}</p>" if form.problem else ""
    return f"<p>{html.escape(form.path)}: {form.status}</p>{problem}<table>{rows}</table>"
