"""A pad to draw on.

Gradio's own Sketchpad draws with WebGL: with a software renderer on two busy cores it took 19 seconds until
one could draw, and what it uploads of a stroke that another follows stays in the server's memory. A character
needs one pen, so this is a plain canvas.
"""

from __future__ import annotations

import base64
import binascii
from importlib.resources import files
from typing import Any

import gradio as gr

from kalamos.errors import CorruptImageError

__all__ = ["MAX_DRAWING_CHARACTERS", "drawing_bytes", "drawing_pad"]

MAX_DRAWING_CHARACTERS = 2_000_000
"""Of a drawing as the browser sends it. One of 320 x 320 px has some ten thousand."""

_PNG_DATA_URL = "data:image/png;base64,"

_PAD_HTML = """
<div class="pad">
  <canvas width="320" height="320" tabindex="0" role="img"
    aria-label="Drawing area: draw one character with the mouse, a finger or a pen"></canvas>
  <div class="pad-tools">
    <button type="button" data-do="undo">Undo stroke</button>
    <button type="button" data-do="clear">Clear</button>
  </div>
</div>
"""


def drawing_pad(**named: Any) -> gr.HTML:
    """A square of white paper and a black pen. Its value is a PNG as a data URI, "" while it is empty.

    `input` is triggered while one draws, at most every 250 ms, and at the end of each stroke.
    """
    script = (files("kalamos.app") / "assets" / "pad.js").read_text(encoding="utf-8")
    return gr.HTML("", html_template=_PAD_HTML, js_on_load=script, **named)


def drawing_bytes(value: str | None) -> bytes | None:
    r"""The PNG in the value of a pad; None where nothing is drawn.

    Raises:
        CorruptImageError: not what a pad makes.

    >>> drawing_bytes("") is None, drawing_bytes("data:image/png;base64,AAAA")
    (True, b'\x00\x00\x00')
    """
    if not value:
        return None
    if (
        not isinstance(value, str)
        or len(value) > MAX_DRAWING_CHARACTERS
        or not value.startswith(_PNG_DATA_URL)
    ):
        raise CorruptImageError("the drawing did not arrive whole", remedy="draw it again")
    try:
        return base64.b64decode(value[len(_PNG_DATA_URL) :], validate=True)
    except (binascii.Error, ValueError) as error:
        raise CorruptImageError("the drawing did not arrive whole", remedy="draw it again") from error
