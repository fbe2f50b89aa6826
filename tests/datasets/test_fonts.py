"""Families in a folder, and the list of those that were reviewed.

Which drawings a label has, and a drawing's pixels.
"""

from __future__ import annotations

import subprocess
import sys
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalamos.alphabets import ARABIC_28, ARABIC_DIGITS, DIGITS, LATIN_26, LATIN_47, LATIN_62, Alphabet
from kalamos.datasets.dataset import SkippedFile
from kalamos.datasets.fonts import (
    EM_PX,
    FontFamily,
    FontFile,
    GlyphForm,
    ListedFont,
    find_families,
    glyph_forms,
    read_list,
    require_fonts,
    select_families,
    side_of,
)
from kalamos.errors import DatasetError, MissingExtraError

RECIPES = Path(__file__).parents[2] / "recipes"
REVIEWED = RECIPES / "handwriting-fonts.txt"


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_the_reviewed_list_holds_and_keeps_about_a_fifth_for_judging() -> None:
    listed = read_list(REVIEWED)
    latin = [one for one in listed if one.script == "latin"]
    judges = [one for one in latin if one.side == "judge"]
    assert {one.script for one in listed} == {"latin", "arabic"}
    assert 0.15 < len(judges) / len(latin) < 0.3
    assert len({one.family for one in listed}) == len(listed)


def test_the_list_of_arabic_fonts_has_both_sides() -> None:
    listed = read_list(RECIPES / "arabic-fonts.txt")
    assert {(one.side, one.script) for one in listed} == {("train", "arabic"), ("judge", "arabic")}


def test_the_side_is_a_checksum_and_never_changes() -> None:
    names = [f"@scope/font-{number}" for number in range(500)]
    assert [side_of(name) == "judge" for name in names] == [
        zlib.crc32(name.encode()) % 5 == 0 for name in names
    ]
    assert 60 < sum(side_of(name) == "judge" for name in names) < 140


def test_comments_and_blank_lines_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = write(tmp_path / "l.txt", "\ufeff# a comment\n\n  @fontsource/kalam  5.3.0\ttrain latin # pen\r\n")
    assert read_list(path) == (ListedFont("@fontsource/kalam", "5.3.0", "train", "latin"),)


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("@fontsource/kalam 5.3.0 train", "3 words"),
        ("@fontsource/kalam ^5.3.0 train latin", "not an exact version"),
        ("@fontsource/kalam 5.3.0 both latin", "the side is 'both'"),
        ("@fontsource/kalam 5.3.0 judge latin", "is for 'judge'"),
        ("../kalam 5.3.0 train latin", "not a package name"),
        ("@fontsource/.. 5.3.0 train latin", "not a package name"),
        ("--force 5.3.0 train latin", "not a package name"),
        ("", "lists no font"),
        ("@fontsource/kalam 5.3.0 train latin\n" * 2, "listed twice"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, wrong: str) -> None:
    with pytest.raises(DatasetError, match=wrong):
        read_list(write(tmp_path / "list.txt", line))


def test_a_list_that_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="UTF-8"):
        read_list(write(tmp_path / "list.txt", b"\xff\xfe\x00"))
    with pytest.raises(DatasetError, match="no such file"):
        read_list(tmp_path / "absent.txt")
    with pytest.raises(DatasetError, match="folder"):
        read_list(tmp_path)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with suppress(DatasetError):
        assert read_list(path)


def test_a_folder_is_a_family_and_so_is_a_file_beside_them(tmp_path: Path) -> None:
    for name in (
        "pen/10.ttf",
        "pen/9.ttf",
        "pen/more/x.OTF",
        "lone.woff2",
        "empty/readme.txt",
        ".hidden.ttf",
    ):
        write(tmp_path / name, b"")
    assert find_families(tmp_path) == (
        FontFamily("lone", (tmp_path / "lone.woff2",)),
        FontFamily("pen", tuple(tmp_path / "pen" / name for name in ("9.ttf", "10.ttf", "more/x.OTF"))),
    )


def test_one_font_in_two_packings_counts_once(tmp_path: Path) -> None:
    for name in ("pen/a.woff", "pen/a.woff2", "pen/b.woff"):
        write(tmp_path / name, b"")
    assert [path.name for path in find_families(tmp_path)[0].files] == ["a.woff2", "b.woff"]


@pytest.mark.parametrize("place", ["absent", "file.ttf", "", "nul\0"])
def test_no_folder_of_fonts(tmp_path: Path, place: str) -> None:
    write(tmp_path / "file.txt", b"")
    with pytest.raises(DatasetError, match=r"no font|cannot be opened"):
        find_families(tmp_path / place)


def test_choosing_a_side_tells_what_is_absent() -> None:
    there = (FontFamily("kalam", ()), FontFamily("caveat", ()), FontFamily("other", ()))
    listed = (
        ListedFont("@fontsource/kalam", "5.3.0", "train", "latin"),
        ListedFont("@fontsource/handlee", "5.3.0", "train", "latin"),
        ListedFont("@fontsource/caveat", "5.3.0", "judge", "latin"),
    )
    assert select_families(there, listed, "judge") == ((there[1],), ())
    absent = SkippedFile("handlee", "listed, but not in the folder of fonts")
    assert select_families(there, listed, "train") == ((there[0],), (absent,))
    assert select_families(there, listed, None) == (there[:2], (absent,))


@pytest.mark.parametrize(
    ("alphabet", "label", "characters"),
    [
        (LATIN_47, "C", "Cc"),
        (LATIN_47, "A", "A"),
        (LATIN_47, "a", "a"),
        (LATIN_62, "C", "C"),
        (LATIN_26, "Q", "Qq"),
        (DIGITS, "7", "7"),
        (ARABIC_DIGITS, "٤", "٤۴"),
    ],
)
def test_a_label_is_drawn_as_all_its_characters(alphabet: Alphabet, label: str, characters: str) -> None:
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
    digits = [each.key for label in ARABIC_DIGITS.labels for each in glyph_forms(ARABIC_DIGITS, label)]
    assert len(set(digits)) == 20
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
    monkeypatch.setattr("kalamos.datasets.fonts.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"PIL, fontTools, brotli.*kalamos\[fonts\]"):
        require_fonts()


def test_importing_loads_no_font_library() -> None:
    code = "import sys, kalamos.datasets.render; print({'PIL', 'fontTools', 'brotli'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60)
    assert done.stdout.decode().strip() == "set()"
