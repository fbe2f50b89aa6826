"""Small datasets on disk: a mapping of names to bytes, as a folder or as a zip archive.

Small fonts, drawn here: strokes as boxes, so that every glyph is known.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

Files = Mapping[str, bytes]


def _png(value: int = 200, height: int = 6, width: int = 5) -> bytes:
    """An encoded grey image whose pixels all have one value, by which it is known again."""
    return cv2.imencode(".png", np.full((height, width), value, np.uint8))[1].tobytes()


def _folder(path: Path, files: Files) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        target = path / name
        if name.endswith("/"):
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    return path


def _zip(path: Path, files: Files) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.fixture(scope="session")
def png() -> Callable[..., bytes]:
    return _png


@pytest.fixture
def as_folder(tmp_path: Path) -> Callable[[Files], Path]:
    """Writes files below a new folder `letters`; a name that ends with a slash is an empty folder."""
    return lambda files: _folder(tmp_path / "letters", files)


@pytest.fixture
def as_zip(tmp_path: Path) -> Callable[[Files], Path]:
    """Writes files into `letters.zip`."""
    return lambda files: _zip(tmp_path / "letters.zip", files)


@pytest.fixture(params=["folder", "zip"])
def as_either(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Files], Path]:
    """Both, one after the other."""
    if request.param == "zip":
        return lambda files: _zip(tmp_path / "letters.zip", files)
    return lambda files: _folder(tmp_path / "letters", files)


Box = tuple[int, int, int, int]
MakeFont = Callable[..., Path]


@pytest.fixture
def make_font() -> MakeFont:
    """Write a font to a path: character -> its boxes (left, bottom, right, top) in an em of 1,000 units."""
    builder = pytest.importorskip("fontTools.fontBuilder", reason="needs the extra 'fonts'")
    pens = pytest.importorskip("fontTools.pens.ttGlyphPen")
    pytest.importorskip("PIL")

    def make(path: Path, glyphs: dict[str, list[Box]], *, flavor: str | None = None) -> Path:
        names = {character: f"u{ord(character):04x}" for character in glyphs}
        font = builder.FontBuilder(1000)
        font.setupGlyphOrder([".notdef", *names.values()])
        font.setupCharacterMap({ord(character): name for character, name in names.items()})
        drawn = {".notdef": _glyph(pens.TTGlyphPen(None), [(50, 0, 450, 700)])}
        drawn |= {
            names[character]: _glyph(pens.TTGlyphPen(None), boxes) for character, boxes in glyphs.items()
        }
        font.setupGlyf(drawn)
        font.setupHorizontalMetrics(dict.fromkeys(drawn, (600, 0)))
        font.setupHorizontalHeader(ascent=800, descent=-200)
        font.setupNameTable({"familyName": path.stem, "styleName": "Regular"})
        font.setupOS2()
        font.setupPost()
        font.font.flavor = flavor
        path.parent.mkdir(parents=True, exist_ok=True)
        font.save(path)
        return path

    return make


def _glyph(pen: object, boxes: list[Box]) -> object:
    for left, bottom, right, top in boxes:
        pen.moveTo((left, bottom))  # type: ignore[attr-defined]
        pen.lineTo((left, top))  # type: ignore[attr-defined]
        pen.lineTo((right, top))  # type: ignore[attr-defined]
        pen.lineTo((right, bottom))  # type: ignore[attr-defined]
        pen.closePath()  # type: ignore[attr-defined]
    return pen.glyph()  # type: ignore[attr-defined]
