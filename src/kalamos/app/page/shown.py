"""What the browser is given of pages and forms that were read: pictures, boxes, the queue, texts."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kalamos.app.page.form_readings import Doubt, FormsRead
from kalamos.app.page.html import data_uri, fit_within, jpeg_uri, percent, problem_html, render
from kalamos.app.page.readings import PagesRead, Reading, Shown
from kalamos.forms.rendering import cut_field
from kalamos.images.files import display_name
from kalamos.preprocessing.steps import GreyImage

__all__ = [
    "NO_VIEW",
    "queue_update",
    "queue_value",
    "summary_html",
    "text_html",
    "view_update",
    "view_value",
]

MAX_VIEW_PX: Final = 1_600
"""The longer side of a picture as the browser shows it."""

PIECE_PX: Final = 96
"""How high a field's piece of the picture is shown."""

AHEAD, BEHIND = 8, 2
"""Fields of the queue that the browser has beside the one it shows, so that going on does not wait."""

NO_VIEW: Final = json.dumps({"picture": None})
"""Shows no picture."""

_numbers = count(1)
"""Tells a value from the one before, which may say the same."""


def summary_html(reading: Reading) -> str:
    """Return how much was read, and what was left out."""
    first, *others = reading.counts()
    shown = render("summary", parts=[first, *(each for each in others if each[0])], skipped="")
    return shown + (problem_html(reading.note) if reading.note else "")


def text_html(reading: Reading) -> str:
    """Return what is written on the picture that is shown, as corrected."""
    view = reading.views[reading.shown]
    problem = problem_html(view.problem) if view.problem else ""
    if isinstance(reading, FormsRead):
        form = reading.corrected(reading.form_of(reading.shown))
        rows = [
            {
                "name": name,
                "text": field.text,
                "status": field.status,
                "sure": percent(field.probability) if field.status != "missing" else "",
                "checked": reading.is_settled(Doubt(reading.form_of(reading.shown), name)),
            }
            for name, field in form.fields.items()
        ]
        return problem + render("form_fields", caption=form.path, rows=rows)
    return problem + render("page_text", name=view.name, text=reading.text(reading.shown))


def view_value(reading: Reading, view: int) -> str:
    """Return what shows a picture with its boxes, upright by quarter turns, or that there is none."""
    picture = reading.views[view].picture
    if picture is None:
        return NO_VIEW
    stored, boxes = picture.load(), reading.boxes(view)
    shown = fit_within(stored, MAX_VIEW_PX)
    scale = picture.scale * shown.shape[1] / stored.shape[1]
    corners = [np.array(each.corners) * scale for each in boxes]
    shown, corners = _upright(shown, corners)
    return json.dumps(
        {
            "reading": reading.number,
            "view": view,
            "number": next(_numbers),
            "name": display_name(reading.views[view].name),
            "picture": jpeg_uri(shown),
            "width": shown.shape[1],
            "height": shown.shape[0],
            "cells": isinstance(reading, PagesRead) and reading.is_grid(view),
            "boxes": [
                {**_box(each), "corners": where.round(1).tolist()}
                for each, where in zip(boxes, corners, strict=True)
            ],
        }
    )


def _upright(
    image: GreyImage, corners: Sequence[NDArray[np.float64]]
) -> tuple[GreyImage, list[NDArray[np.float64]]]:
    """Turn a picture by quarters until its boxes stand upright, and their corners with it.

    >>> image, [box] = _upright(np.zeros((20, 40), np.uint8), [np.array([[5, 9], [5, 4], [8, 4], [8, 9]])])
    >>> image.shape, box.tolist()
    ((40, 20), [[11.0, 5.0], [16.0, 5.0], [16.0, 8.0], [11.0, 8.0]])
    """
    if not corners:
        return image, []
    across = np.sum([box[1] - box[0] for box in corners], axis=0)
    quarters = round(math.degrees(math.atan2(across[1], across[0])) / 90) % 4  # anticlockwise
    placed = list(corners)
    for _ in range(quarters):
        width = image.shape[1]
        image = np.rot90(image)
        placed = [np.column_stack([box[:, 1], float(width) - box[:, 0]]) for box in placed]
    return np.ascontiguousarray(image), placed


def view_update(reading: Reading, view: int, boxes: Iterable[int], more: Mapping[str, Any]) -> str:
    """Return what is new about some boxes of a picture that is shown, and `more`."""
    shown = reading.boxes(view)
    value = {"reading": reading.number, "view": view, "number": next(_numbers)}
    return json.dumps({**value, "update": {box: _box(shown[box]) for box in boxes}, **more})


def _box(box: Shown) -> dict[str, Any]:
    return {
        "label": box.label,
        "doubtful": box.doubtful,
        "checked": box.checked,
        "sure": "" if box.confidence is None else percent(box.confidence),
        "candidates": [[label, percent(share)] for label, share in box.candidates],
        "place": box.place,
        "tick": box.tick,
        "blank": box.may_be_blank,
    }


def queue_value(reading: Reading | None) -> str:
    """Return what shows the queue of doubtful fields, at the first that nobody has looked at.

    Args:
        reading: what was read; of forms alone there is a queue.
    """
    if not isinstance(reading, FormsRead) or not reading.doubts:
        return json.dumps({"total": 0})
    waiting = (at for at, doubt in enumerate(reading.doubts) if not reading.is_settled(doubt))
    start = next(waiting, len(reading.doubts))
    return _queue(reading, _items_around(reading, start), at=start)


def queue_update(
    reading: FormsRead, places: Iterable[int], around: int | None, more: Mapping[str, Any]
) -> str:
    """Return what is new about some fields of the queue, and `more`.

    Args:
        reading: what was read.
        places: in the queue.
        around: a place whose surroundings are given as well, with their pieces of the picture.
        more: told besides.
    """
    items = {at: _item(reading, reading.doubts[at]) for at in places}
    if around is not None:
        items |= _items_around(reading, around)
    return _queue(reading, items, **more)


def _queue(reading: FormsRead, items: Mapping[int, dict[str, Any]], **more: Any) -> str:
    value = {"reading": reading.number, "number": next(_numbers), "total": len(reading.doubts)}
    return json.dumps({**value, "waiting": reading.waiting(), "items": items, **more})


def _items_around(reading: FormsRead, at: int) -> dict[int, dict[str, Any]]:
    numbers = range(max(0, at - BEHIND), min(len(reading.doubts), at + AHEAD + 1))
    return {
        number: {**_item(reading, reading.doubts[number]), "picture": _piece(reading, reading.doubts[number])}
        for number in numbers
    }


def _item(reading: FormsRead, doubt: Doubt) -> dict[str, Any]:
    read, of = reading.reading(doubt), reading.field(doubt)
    others = [[text, percent(share)] for text, share in read.runners_up]
    return {
        "form": display_name(reading.corrected(doubt.form).path),
        "field": doubt.field,
        "text": reading.field_text(doubt),
        "others": [[option, ""] for option in of.options] or others,
        "settled": reading.is_settled(doubt),
    }


def _piece(reading: FormsRead, doubt: Doubt) -> str:
    form = reading.with_pictures(doubt.form, reading.reading(doubt).scan)
    piece = cut_field(form, doubt.field, height=PIECE_PX)
    return "" if piece is None else data_uri(piece)
