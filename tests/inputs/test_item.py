from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kalamos.errors import CorruptImageError, ImageNotFoundError, UnsupportedImageError
from kalamos.inputs.item import (
    HEAVY_BYTES,
    HEAVY_PIXELS,
    Member,
    bytes_held,
    fetched,
    is_heavy,
    load_item,
    name_of,
)


def test_a_member_is_decoded_and_named_in_its_errors(png: bytes) -> None:
    assert load_item(Member("x.zip/a.png", png)).shape == (28, 28)
    with pytest.raises(CorruptImageError, match=r"^x\.zip/a\.png: the PNG is truncated"):
        load_item(Member("x.zip/a.png", png[:-30]))
    with pytest.raises(UnsupportedImageError, match=r"'x\.zip/\\x1b\.png': this is not an image"):
        load_item(Member("x.zip/\x1b.png", b"no image, but text"))
    error = CorruptImageError("x.zip: cut off")
    with pytest.raises(CorruptImageError) as caught:
        load_item(Member("x.zip", error))
    assert caught.value is error


def test_a_path_is_fetched_with_its_bytes_or_its_error(here: Path, png: bytes) -> None:
    Path("a.png").write_bytes(png)
    assert fetched("a.png") == Member("a.png", png)
    for path in ("none.png", ".", "a\0b"):
        member = fetched(path)
        assert isinstance(member, Member)
        assert member.name == path
        with pytest.raises(ImageNotFoundError) as before:
            load_item(path)
        assert str(member.content) == str(before.value)
    array = np.zeros((2, 2))
    assert fetched(array) is array
    for source in (Path("a.png"), png, Member("x", b"")):
        assert fetched(source) is source


def test_names(here: Path) -> None:
    assert [name_of(source) for source in ("a.png", Path("b/c.png"), Member("x.zip/a", b""))] == [
        "a.png",
        "b/c.png",
        "x.zip/a",
    ]
    assert name_of(b"...") is None
    assert name_of(np.zeros((2, 2))) is None


def test_what_is_held_and_what_is_heavy(here: Path) -> None:
    Path("big.png").write_bytes(bytes(HEAVY_BYTES + 1))
    heavy = ["big.png", Path("big.png"), Member("x", bytes(HEAVY_BYTES + 1)), bytes(HEAVY_BYTES + 1)]
    heavy.append(np.zeros(HEAVY_PIXELS + 1, np.uint8))
    light = [
        "none.png",
        "a\0b",
        Member("x", bytes(HEAVY_BYTES)),
        np.zeros(9, np.uint8),
        Member("x", CorruptImageError("")),
    ]
    assert all(map(is_heavy, heavy))
    assert not any(map(is_heavy, light))
    assert [bytes_held(source) for source in heavy] == [0, 0, *[HEAVY_BYTES + 1] * 2, HEAVY_PIXELS + 1]
    assert [bytes_held(source) for source in light] == [0, 0, HEAVY_BYTES, 9, 0]
