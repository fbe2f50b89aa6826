"""A drawn form with markers, and filled copies of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.forms import Box, Field, FormPage, FormTemplate, Marker, row_of_boxes

PX = 6
"""Px a unit: 6 are some 150 dpi, where a unit is a millimetre."""

WIDTH, HEIGHT = 120.0, 90.0


def exam(pages: int = 1) -> FormTemplate:
    """A number of four digits, a mark of at most 49, a room that may be blank, a box to tick."""
    fields = [
        Field("student", row_of_boxes(25, 25, 8, 10, count=4, step=10)),
        Field("mark", row_of_boxes(25, 45, 8, 10, count=2, step=10), pattern=r"[0-4]\d"),
        Field("room", row_of_boxes(60, 45, 8, 10, count=2, step=10), may_be_blank=True),
        Field("passed", (Box(25, 65, 6, 6), Box(45, 65, 6, 6)), kind="tick", options=("yes", "no")),
    ]
    if pages == 2:
        fields.append(Field("points", row_of_boxes(25, 25, 8, 10, count=2, step=10), page=2))
    return FormTemplate("exam", tuple(_page(number) for number in range(pages)), tuple(fields))


def _page(number: int) -> FormPage:
    corners = [(5, 5), (WIDTH - 15, 5), (WIDTH - 15, HEIGHT - 15), (5, HEIGHT - 15)]
    return FormPage(
        WIDTH, HEIGHT, markers=tuple(Marker(4 * number + at, x, y, 10) for at, (x, y) in enumerate(corners))
    )


def filled(template: FormTemplate, values: Mapping[str, str], page: int = 1) -> bytes:
    """A scan of one page, PNG; of a tick field, the value is the option that is ticked."""
    image = np.full((round(HEIGHT * PX), round(WIDTH * PX)), 240, np.uint8)
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    for marker in template.pages[page - 1].markers:
        x, y, side = (round(PX * value) for value in (marker.x, marker.y, marker.size))
        image[y : y + side, x : x + side] = cv2.aruco.generateImageMarker(dictionary, marker.id, side)
    for field in template.fields:
        if field.page != page:
            continue
        value = values.get(field.name, "")
        marks = ["x" if option == value else " " for option in field.options] or value
        for box, mark in zip(field.boxes, [*marks, *" " * len(field.boxes)], strict=False):
            _draw(image, box, mark)
    return cv2.imencode(".png", image)[1].tobytes()


def _draw(image: NDArray[np.uint8], box: Box, mark: str) -> None:
    x, y, width, height = (round(PX * value) for value in box)
    cv2.rectangle(image, (x, y), (x + width, y + height), 90, 2)
    if mark.strip():
        (wide, high), _ = cv2.getTextSize(mark, cv2.FONT_HERSHEY_SIMPLEX, 1.3, 4)
        at = (x + (width - wide) // 2, y + (height + high) // 2)
        cv2.putText(image, mark, at, cv2.FONT_HERSHEY_SIMPLEX, 1.3, 30, 4, cv2.LINE_AA)


def templates(folder: Path, *pages: int) -> Path:
    """A folder with the template `exam`, and `exam-2` of two pages if asked for."""
    for count in pages or (1,):
        exam(count).save(folder / ("exam.toml" if count == 1 else f"exam-{count}.toml"))
    return folder


def line_of(text: str, *, gap: int = 62) -> bytes:
    """A page with one line of characters, PNG."""
    image = np.full((220, 80 + gap * len(text)), 240, np.uint8)
    for place, character in enumerate(text):
        cv2.putText(
            image, character, (40 + gap * place, 130), cv2.FONT_HERSHEY_SIMPLEX, 2, 30, 5, cv2.LINE_AA
        )
    return cv2.imencode(".png", image)[1].tobytes()
