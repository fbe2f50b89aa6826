"""Cutting the character out of a picture and turning it upright, before it is read.

The browser shows a small copy and sends numbers alone; the part itself is cut out of the picture as it was
given, so that nothing of it is lost, whatever the browser can show.
"""

from __future__ import annotations

import base64
import json
import math
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

import cv2
import gradio as gr
import numpy as np

from kalamos.app.page.html import fit_within
from kalamos.errors import UsageError
from kalamos.preprocessing.steps import GreyImage

__all__ = ["Frame", "frame_of", "framed", "framing_pad", "preview"]

MAX_PREVIEW_PX: Final = 480
"""The longer side of the copy that the browser shows, in px."""

MAX_CROP_PX: Final = 1024
"""The longer side that is kept of the part cut out, in px: models see far fewer."""

MAX_FRAME_CHARACTERS: Final = 1000
"""Characters of what the browser sends."""

_FRAMING_HTML = """
<div class="framing">
  <canvas width="320" height="240" tabindex="0" role="img"
    aria-label="The picture: drag a rectangle around the character. Arrow keys move it, with Shift they resize it"></canvas>
  <div class="pad-tools">
    <button type="button" data-do="left">Turn left</button>
    <button type="button" data-do="right">Turn right</button>
    <button type="button" data-do="whole">Whole picture</button>
  </div>
  <label>Turn a little <input type="range" min="-45" max="45" step="1" value="0"> <output>0°</output></label>
</div>
"""  # noqa: E501


@dataclass(frozen=True)
class Frame:
    """A part of a picture.

    Attributes:
        turn: clockwise, in degrees, which comes first.
        box: left, top, right and bottom of the part, as shares in [0, 1] of the turned picture's sides.
    """

    turn: float = 0.0
    box: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)


def framing_pad(**named: Any) -> gr.HTML:
    """A picture on which one drags a rectangle and which one turns.

    It is given a value by `preview`; its `input` is triggered with a value for `frame_of`.
    """
    script = (files("kalamos.app") / "assets" / "framing.js").read_text(encoding="utf-8")
    return gr.HTML("", html_template=_FRAMING_HTML, js_on_load=script, **named)


def preview(grey: GreyImage) -> str:
    """What shows a picture in a `framing_pad`."""
    _, content = cv2.imencode(".jpg", fit_within(grey, MAX_PREVIEW_PX), [cv2.IMWRITE_JPEG_QUALITY, 85])
    uri = f"data:image/jpeg;base64,{base64.b64encode(content.tobytes()).decode('ascii')}"
    return json.dumps({"picture": uri})


def frame_of(value: str | None) -> Frame:
    """What was chosen in a `framing_pad`.

    Raises:
        UsageError: not what a pad sends.

    >>> frame_of('{"turn": 90, "box": [0, 0, 0.5, 1]}')
    Frame(turn=90.0, box=(0.0, 0.0, 0.5, 1.0))
    >>> frame_of('{"turn": 0, "box": null}') == Frame()
    True
    """
    problem = UsageError("what was cut out did not arrive whole", remedy="drag the rectangle again")
    if not isinstance(value, str) or len(value) > MAX_FRAME_CHARACTERS:
        raise problem
    try:
        given = json.loads(value)
        turn, box = float(given["turn"]), given["box"]
        left, top, right, bottom = (0.0, 0.0, 1.0, 1.0) if box is None else map(float, box)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        raise problem from None
    if not (-360 <= turn <= 360 and 0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise problem
    return Frame(turn, (left, top, right, bottom))


def framed(grey: GreyImage, frame: Frame) -> GreyImage:
    """The part of a picture, turned.

    Args:
        grey: uint8 [H, W].
        frame: a turn by quarters moves pixels, any other interpolates; corners that come from outside the
            picture repeat its border.

    Returns:
        uint8, its longer side at most 1,024 px.

    >>> framed(np.array([[1, 2], [3, 4]], np.uint8), Frame(90, (0, 0, 1, 0.5))).tolist()
    [[3, 1]]
    """
    left, top, right, bottom = frame.box
    height, width = _turned_size(grey.shape, frame.turn)
    longest = max((right - left) * width, (bottom - top) * height)
    if longest > MAX_CROP_PX:
        grey = fit_within(grey, max(1, math.floor(max(grey.shape) * MAX_CROP_PX / longest)))
    turned = _turned(grey, frame.turn)
    height, width = turned.shape
    x0, y0 = min(width - 1, math.floor(left * width)), min(height - 1, math.floor(top * height))
    x1, y1 = max(x0 + 1, math.ceil(right * width)), max(y0 + 1, math.ceil(bottom * height))
    return np.ascontiguousarray(turned[y0:y1, x0:x1])


def _turned_size(shape: tuple[int, ...], turn: float) -> tuple[float, float]:
    """Height and width of what holds a turned picture."""
    sine, cosine = abs(math.sin(math.radians(turn))), abs(math.cos(math.radians(turn)))
    return shape[0] * cosine + shape[1] * sine, shape[1] * cosine + shape[0] * sine


def _turned(grey: GreyImage, turn: float) -> GreyImage:
    if turn % 90 == 0:
        return np.rot90(grey, -round(turn / 90) % 4)
    height, width = (max(1, round(side)) for side in _turned_size(grey.shape, turn))
    # OpenCV turns anticlockwise, around a pixel's middle.
    matrix = cv2.getRotationMatrix2D(((grey.shape[1] - 1) / 2, (grey.shape[0] - 1) / 2), -turn, 1)
    matrix[:, 2] += (width - grey.shape[1]) / 2, (height - grey.shape[0]) / 2
    return cv2.warpAffine(  # type: ignore[return-value]
        grey, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
