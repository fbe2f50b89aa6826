from __future__ import annotations

import base64
import json

import cv2
import numpy as np
import pytest

from kalamos.app.page.crop import MAX_CROP_PX, MAX_FRAME_CHARACTERS, Frame, frame_of, framed, preview
from kalamos.errors import UsageError


def _corner() -> np.ndarray:
    page = np.full((60, 100), 255, np.uint8)
    page[5:15, 10:30] = 0
    return page


@pytest.mark.parametrize(
    ("turn", "shape", "box"),
    [
        (0, (60, 100), (0.1, 1 / 12, 0.3, 0.25)),
        (90, (100, 60), (0.75, 0.1, 11 / 12, 0.3)),
        (-90, (100, 60), (1 / 12, 0.7, 0.25, 0.9)),
        (180, (60, 100), (0.7, 0.75, 0.9, 11 / 12)),
        (270, (100, 60), (1 / 12, 0.7, 0.25, 0.9)),
    ],
)
def test_turns_by_quarters_move_pixels_and_boxes_go_by_the_turned_picture(
    turn: float, shape: tuple[int, int], box: tuple[float, float, float, float]
) -> None:
    assert framed(_corner(), Frame(turn)).shape == shape
    assert sorted(framed(_corner(), Frame(turn))[framed(_corner(), Frame(turn)) < 255]) == [0] * 200
    part = framed(_corner(), Frame(turn, box))
    assert abs(part.size - 200) <= 40  # a pixel more along each side at most
    assert (part == 0).sum() == 200


def test_a_small_turn_turns_back_and_has_the_papers_colour_in_its_corners() -> None:
    turned = framed(_corner(), Frame(30))
    assert turned.shape == (102, 117)
    assert turned[0, 0] == turned[-1, -1] == 255
    # Clockwise, as a browser's canvas turns: what was at the upper left goes to the right.
    ys, xs = np.nonzero(turned < 128)
    assert abs(xs.mean() - (58.5 + np.cos(np.pi / 6) * -30 - np.sin(np.pi / 6) * -20)) < 1
    assert abs(ys.mean() - (51 + np.sin(np.pi / 6) * -30 + np.cos(np.pi / 6) * -20)) < 1
    back = framed(turned, Frame(-30))
    middle = back[
        back.shape[0] // 2 - 30 : back.shape[0] // 2 + 30, back.shape[1] // 2 - 50 : back.shape[1] // 2 + 50
    ]
    assert np.abs(middle.astype(int) - _corner()).mean() < 12


def test_what_is_kept_is_bounded_and_never_empty() -> None:
    large = np.zeros((3000, 4000), np.uint8)
    assert max(framed(large, Frame(10)).shape) <= MAX_CROP_PX + 2
    assert framed(large, Frame(0, (0.5, 0.5, 0.6, 0.6))).shape == (300, 400)  # not scaled down
    for side in ((1, 1), (1, 500), (2, 2)):
        for turn in (0, 45, 90, -33):
            assert min(framed(np.zeros(side, np.uint8), Frame(turn, (0.999, 0.999, 1, 1))).shape) >= 1


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "[]",
        "{",
        "{}",
        '{"turn": 0}',
        '{"turn": "x", "box": null}',
        '{"turn": NaN, "box": null}',
        '{"turn": 1e9, "box": null}',
        '{"turn": 0, "box": [0, 0, 1]}',
        '{"turn": 0, "box": [0, 0, 1, 2]}',
        '{"turn": 0, "box": [0.5, 0, 0.5, 1]}',
        '{"turn": 0, "box": [0, 0, NaN, 1]}',
        '{"turn": 0, "box": {"a": 1}}',
        '{"turn": 0, "box": [' + "[" * 900,
        " " * (MAX_FRAME_CHARACTERS + 1),
        7,
    ],
)
def test_what_no_pad_sends_is_refused(value: object) -> None:
    with pytest.raises(UsageError):
        frame_of(value)  # type: ignore[arg-type]


def test_a_preview_is_small_and_shows_the_picture() -> None:
    given = json.loads(preview(np.full((3000, 1500), 90, np.uint8)))["picture"]
    head, content = given.split(",")
    assert head == "data:image/jpeg;base64"
    shown = cv2.imdecode(np.frombuffer(base64.b64decode(content), np.uint8), cv2.IMREAD_GRAYSCALE)
    assert shown is not None
    assert shown.shape == (480, 240)
