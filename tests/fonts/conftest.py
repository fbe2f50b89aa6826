"""Small fonts, drawn here: strokes as boxes, so that every glyph is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

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
