from __future__ import annotations

from dataclasses import fields
from typing import Annotated, get_origin, get_type_hints

import pytest

from kalamos.errors import RecipeError
from kalamos.training.camera import Camera


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"smallest": 15}, "smallest = 15 is not a whole number of at least 16"),
        ({"smallest": 64.0}, "smallest = 64.0 is not a whole number"),
        ({"smallest": 400}, "smallest = 400 is above largest = 320; exchange the two"),
        ({"pencil": 1.01}, "pencil = 1.01 is not a probability"),
        ({"pencil": 0.9, "marker": 0.2}, "more than all photographs"),
        ({"ruled": 0.6, "squared": 0.6}, "more than all photographs"),
        ({"elastic": 1.0}, "elastic = 1.0 is not a share in [0, 1)"),
        ({"noise": float("nan")}, "noise = nan is not a finite number"),
        ({"margin": -0.1}, "margin = -0.1 is not a finite number, not negative"),
        ({"jpeg": True}, "jpeg = True is not a probability"),
        ({"light": "bright"}, "light = 'bright' is not a share"),
    ],
)
def test_what_no_camera_does(changed: dict[str, object], told: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Camera(**changed)  # type: ignore[arg-type]
    assert told in str(caught.value)


def test_every_setting_is_checked() -> None:
    hints = get_type_hints(Camera, include_extras=True)
    assert all(get_origin(hints[setting.name]) is Annotated for setting in fields(Camera))
    Camera(pencil=0.5, marker=0.5, ruled=1.0, squared=0.0, smallest=64, largest=64)
