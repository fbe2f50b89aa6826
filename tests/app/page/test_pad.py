from __future__ import annotations

import base64

import pytest

from kalamos.app.page.pad import MAX_DRAWING_CHARACTERS, drawing_bytes
from kalamos.errors import CorruptImageError


def test_nothing_drawn_is_nothing() -> None:
    assert drawing_bytes("") is None
    assert drawing_bytes(None) is None


def test_the_bytes_of_a_drawing() -> None:
    assert drawing_bytes("data:image/png;base64," + base64.b64encode(b"abc").decode()) == b"abc"


@pytest.mark.parametrize(
    "value",
    [
        "http://127.0.0.1/secret.png",
        "data:text/html;base64,AAAA",
        "data:image/png;base64,A",
        "data:image/png;base64,é",
        "data:image/png;base64," + "A" * MAX_DRAWING_CHARACTERS,
        17,
    ],
)
def test_what_no_pad_makes_is_refused(value: str) -> None:
    with pytest.raises(CorruptImageError):
        drawing_bytes(value)
