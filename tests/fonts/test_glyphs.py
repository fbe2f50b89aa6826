"""Which drawings a label has, and a drawing's pixels."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kalamos.alphabets import ARABIC_28, DIGITS, LATIN_26, LATIN_47, LATIN_62, Alphabet
from kalamos.errors import DatasetError, MissingExtraError
from kalamos.fonts.glyphs import EM_PX, FontFile, GlyphForm, glyph_forms, require_fonts


@pytest.mark.parametrize(
    ("alphabet", "label", "characters"),
    [
        (LATIN_47, "C", "Cc"),
        (LATIN_47, "A", "A"),
        (LATIN_47, "a", "a"),
        (LATIN_62, "C", "C"),
        (LATIN_26, "Q", "Qq"),
        (DIGITS, "7", "7"),
    ],
)
def test_merged_labels_are_drawn_in_both_cases(alphabet: Alphabet, label: str, characters: str) -> None:
    assert "".join(drawing.text for drawing in glyph_forms(alphabet, label)) == characters


def test_arabic_letters_are_drawn_in_the_forms_that_they_have() -> None:
    forms = {label: [each.form for each in glyph_forms(ARABIC_28, label)] for label in ARABIC_28.labels}
    unjoined = {label for label, found in forms.items() if found == ["isolated", "final"]}
    assert unjoined == set("ادذرزو")
    assert all(
        found == ["isolated", "initial", "medial", "final"]
        for label, found in forms.items()
        if label not in unjoined
    )


def test_keys_differ_where_file_names_ignore_case() -> None:
    keys = [drawing.key for label in LATIN_62.labels for drawing in glyph_forms(LATIN_62, label)]
    assert len({key.casefold() for key in keys}) == 62


def test_a_glyph_is_cut_to_its_ink(tmp_path: Path, make_font) -> None:
    font = FontFile(make_font(tmp_path / "f.ttf", {"1": [(200, 0, 300, 750)], "-": [(100, 300, 600, 400)]}))
    glyph = font.draw(GlyphForm("1", "1"))
    assert glyph is not None
    assert glyph.shape == pytest.approx((0.75 * EM_PX, 0.1 * EM_PX), abs=2)
    assert glyph.dtype == np.uint8
    assert glyph.min() > 127
    flat = font.draw(GlyphForm("-", "-"))
    assert flat is not None
    assert flat.shape == pytest.approx((0.1 * EM_PX, 0.5 * EM_PX), abs=2)


@pytest.mark.parametrize("flavor", [None, "woff", "woff2"])
def test_every_packing_draws_the_same(tmp_path: Path, make_font, flavor: str | None) -> None:
    boxes = {"7": [(100, 0, 200, 700), (0, 600, 200, 700)]}
    plain = FontFile(make_font(tmp_path / "plain.ttf", boxes)).draw(GlyphForm("7", "7"))
    packed = FontFile(make_font(tmp_path / "packed.bin", boxes, flavor=flavor)).draw(GlyphForm("7", "7"))
    assert plain is not None
    assert packed is not None
    np.testing.assert_array_equal(plain, packed)


def test_a_character_that_is_absent_or_blank_is_not_drawn(tmp_path: Path, make_font) -> None:
    font = FontFile(make_font(tmp_path / "f.ttf", {"1": [(0, 0, 100, 700)], "2": []}))
    assert font.has("2")
    assert font.draw(GlyphForm("2", "2")) is None
    assert not font.has("3")
    assert font.draw(GlyphForm("3", "3")) is None


@pytest.mark.parametrize("content", [b"", b"not a font", b"\0\1\0\0" + b"\xff" * 40, b"wOF2" + b"\0" * 60])
def test_what_is_no_font_is_told(tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("fontTools")
    (tmp_path / "bad.ttf").write_bytes(content)
    with pytest.raises(DatasetError, match=r"bad\.ttf: not a font that can be read"):
        FontFile(tmp_path / "bad.ttf")


def test_a_font_cut_short_is_told(tmp_path: Path, make_font) -> None:
    path = make_font(tmp_path / "f.ttf", {"1": [(0, 0, 100, 700)]})
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DatasetError, match="not a font"):
        FontFile(path)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kalamos.fonts.glyphs.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"PIL, fontTools, brotli.*kalamos\[fonts\]"):
        require_fonts()


def test_importing_loads_no_font_library() -> None:
    code = "import sys, kalamos.fonts; print({'PIL', 'fontTools', 'brotli'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60)
    assert done.stdout.decode().strip() == "set()"
