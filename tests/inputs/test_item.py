from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from kalamos.errors import CorruptImageError, ImageNotFoundError, InvalidArrayError, UnsupportedImageError
from kalamos.inputs.item import (
    LARGE_BYTES,
    LARGE_PIXELS,
    NamedImage,
    is_large,
    load_item,
    load_items,
    name_of,
    nbytes,
)


def test_a_member_is_decoded_and_named_in_its_errors(png: bytes) -> None:
    assert load_item(NamedImage("x.zip/a.png", png)).shape == (28, 28)
    with pytest.raises(CorruptImageError, match=r"^x\.zip/a\.png: the PNG is truncated"):
        load_item(NamedImage("x.zip/a.png", png[:-30]))
    with pytest.raises(UnsupportedImageError, match=r"'x\.zip/\\x1b\.png': this is not an image"):
        load_item(NamedImage("x.zip/\x1b.png", b"no image, but text"))
    error = CorruptImageError("x.zip: cut off")
    with pytest.raises(CorruptImageError) as caught:
        load_item(NamedImage("x.zip", error))
    assert caught.value is error


def test_many_come_in_order_with_errors_in_their_places(here: Path, png: bytes) -> None:
    Path("a.png").write_bytes(png)
    picture = load_item("a.png")
    _, tiff = cv2.imencode(".tif", picture)
    Path("b.tif").write_bytes(tiff.tobytes())
    broken = CorruptImageError("x.zip: cut off")
    sources = [
        "b.tif",
        "a.png",
        "none.png",
        picture,
        NamedImage("x", broken),
        png,
        Path("b.tif"),
        tiff.tobytes(),
    ]
    outcomes = list(load_items([*sources, tiff.tobytes()[:-30], "a\0b", object()]))
    for place in (0, 1, 3, 5, 6, 7):
        assert np.array_equal(outcomes[place], picture)
    kinds = {2: ImageNotFoundError, 4: CorruptImageError, 8: CorruptImageError, 9: ImageNotFoundError}
    for place, kind in (kinds | {10: InvalidArrayError}).items():
        assert type(outcomes[place]) is kind
    assert outcomes[4] is broken
    assert len(outcomes) == 11


def test_names(here: Path) -> None:
    assert [name_of(source) for source in ("a.png", Path("b/c.png"), NamedImage("x.zip/a", b""))] == [
        "a.png",
        "b/c.png",
        "x.zip/a",
    ]
    assert name_of(b"...") is None
    assert name_of(np.zeros((2, 2))) is None


def test_what_is_held_and_what_is_heavy(here: Path) -> None:
    Path("big.png").write_bytes(bytes(LARGE_BYTES + 1))
    heavy = ["big.png", Path("big.png"), NamedImage("x", bytes(LARGE_BYTES + 1)), bytes(LARGE_BYTES + 1)]
    heavy.append(np.zeros(LARGE_PIXELS + 1, np.uint8))
    light = [
        "none.png",
        "a\0b",
        NamedImage("x", bytes(LARGE_BYTES)),
        np.zeros(9, np.uint8),
        NamedImage("x", CorruptImageError("")),
    ]
    assert all(map(is_large, heavy))
    assert not any(map(is_large, light))
    assert [nbytes(source) for source in heavy] == [0, 0, *[LARGE_BYTES + 1] * 2, LARGE_PIXELS + 1]
    assert [nbytes(source) for source in light] == [0, 0, LARGE_BYTES, 9, 0]
