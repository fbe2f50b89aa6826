"""What of an empty form becomes a field, and what does not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from kalamos.forms.drafting import draft_template
from kalamos.forms.registration import register


def empty_form(grey: int, *, ticks: int = 0) -> NDArray[np.uint8]:
    """Five rows of eight boxes beside large words; boxes to tick below."""
    rng = np.random.default_rng(0)
    page = np.full((1600, 1130), 255, np.uint8)
    for row in range(5):
        top = 200 + 120 * row
        cv2.putText(page, f"name {row}", (60, top + 45), cv2.FONT_HERSHEY_SIMPLEX, 1.1, 30, 2)
        for column in range(8):
            left = 300 + 60 * column
            cv2.rectangle(page, (left, top), (left + 52, top + 60), grey, 2)
    for place in range(ticks):
        cv2.rectangle(page, (300 + 90 * place, 900), (320 + 90 * place, 920), grey, 2)
    seen = cv2.GaussianBlur(page, (0, 0), 0.7) + rng.normal(0, 1, page.shape)
    return np.clip(seen, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("grey", [60, 180, 230])
def test_boxes_become_fields_and_arches_of_letters_do_not(grey: int) -> None:
    form = draft_template("exam", [empty_form(grey)], ["form.png"])
    assert [len(field.boxes) for field in form.fields] == [8] * 5
    boxes = np.array([box for field in form.fields for box in field.boxes], float)
    true = [(300 + 60 * column, 200 + 120 * row, 52, 60) for row in range(5) for column in range(8)]
    assert np.abs(boxes - true).max() < 4


def test_boxes_to_tick_are_smaller_and_fields_too() -> None:
    form = draft_template("exam", [empty_form(60, ticks=3)], ["form.png"])
    assert [len(field.boxes) for field in form.fields] == [8] * 5 + [1] * 3


def test_markers_are_the_pages_own_and_no_fields() -> None:
    page = empty_form(60)
    places = {0: (60, 60), 1: (1000, 60), 2: (1000, 1460), 3: (60, 1460)}
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    for number, (x, y) in places.items():
        page[y : y + 72, x : x + 72] = cv2.aruco.generateImageMarker(dictionary, number, 72)
    form = draft_template("exam", [page], [""])
    assert [len(field.boxes) for field in form.fields] == [8] * 5
    markers = {marker.id: (marker.x, marker.y, marker.size) for marker in form.pages[0].markers}
    assert markers.keys() == places.keys()
    assert all(np.abs(np.subtract(markers[number], (*places[number], 72))).max() < 2.5 for number in places)
    upside_down = register(np.rot90(page, 2).copy(), form)
    assert (upside_down.method, upside_down.quarter_turns) == ("markers", 2)

    leaning = cv2.warpAffine(page, cv2.getRotationMatrix2D((565, 800), 9, 0.8), (1130, 1600), borderValue=255)
    assert draft_template("exam", [np.asarray(leaning, np.uint8)], [""]).pages[0].markers == ()
