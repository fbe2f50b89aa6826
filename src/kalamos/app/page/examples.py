"""Pictures to try the page with, which ship with it: drawn by `samples/make_samples.py`."""

from __future__ import annotations

import base64
import html
from collections.abc import Collection
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

__all__ = ["EXAMPLES", "Example", "examples_html"]


class Example(NamedTuple):
    """One picture of one character."""

    label: str
    file: str
    """In `assets/examples`."""
    text: str
    """What it shows, in a few words."""


EXAMPLES: Final = (
    Example("7", "7-pen.png", "A 7 in pen"),
    Example("3", "3-chalk.jpg", "A 3 in chalk"),
    Example("2", "2-photo.jpg", "A 2, photographed"),
    Example("A", "a-marker.png", "An A in marker"),
    Example("R", "r-pencil.jpg", "An R in pencil"),
    Example("ب", "ba-pen.png", "The letter ba in pen"),
    Example("ع", "ain-photo.jpg", "The letter ain, photographed"),
)


def examples_html(labels: Collection[str], text: str = "Or try one of these:") -> str:
    """Buttons with the examples of characters that a model has; "" where it has none of them.

    A click gives the picture to the field for pictures, as if it had been dropped there.
    """
    known = [example for example in EXAMPLES if example.label in labels]
    if not known:
        return ""
    buttons = "".join(
        f'<button type="button" data-example="{each.file}" title="{html.escape(each.text)}">'
        f'<img src="{_data_uri(each.file)}" alt="{html.escape(each.text)}"></button>'
        for each in known
    )
    return f'<div class="examples"><p class="hint">{html.escape(text)}</p>{buttons}</div>'


@cache
def _data_uri(file: str) -> str:
    content = (files("kalamos.app") / "assets" / "examples" / file).read_bytes()
    kind = "png" if file.endswith(".png") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
