"""`kalamos data render`, over fonts drawn here, by its command object."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kalamos.cli import cli
from kalamos.datasets import load_dataset
from kalamos.errors import DatasetError, OutputError, UsageError


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["data", "render", *map(str, arguments)])


@pytest.fixture
def fonts(tmp_path: Path) -> Path:
    """Two families, "kalam" and "caveat", that have two digits."""
    builder = pytest.importorskip("fontTools.fontBuilder", reason="needs the extra 'fonts'")
    pens = pytest.importorskip("fontTools.pens.ttGlyphPen")
    pytest.importorskip("PIL")
    for family in ("kalam", "caveat"):
        font = builder.FontBuilder(1000)
        font.setupGlyphOrder([".notdef", "one", "dash"])
        font.setupCharacterMap({ord("1"): "one", ord("7"): "dash"})
        glyphs = {}
        for name, (right, top) in {".notdef": (400, 400), "one": (100, 700), "dash": (600, 100)}.items():
            pen = pens.TTGlyphPen(None)
            pen.moveTo((0, 0))
            for corner in ((0, top), (right, top), (right, 0)):
                pen.lineTo(corner)
            pen.closePath()
            glyphs[name] = pen.glyph()
        font.setupGlyf(glyphs)
        font.setupHorizontalMetrics(dict.fromkeys(glyphs, (600, 0)))
        font.setupHorizontalHeader(ascent=800, descent=-200)
        font.setupNameTable({"familyName": family, "styleName": "Regular"})
        font.setupOS2()
        font.setupPost()
        (tmp_path / "fonts" / family).mkdir(parents=True)
        font.save(tmp_path / "fonts" / family / "regular.ttf")
    return tmp_path / "fonts"


def test_a_dataset_is_made(fonts: Path, tmp_path: Path) -> None:
    outcome = run(fonts, "--alphabet", "digits", "-o", tmp_path / "data", "--per-glyph", "2")
    assert outcome.exit_code == 0, outcome.output
    assert "8 images, 2 of 10 classes, 2 fonts" in outcome.stdout
    assert "kalam: has no 0 2 3 4 5 6 8 9" in outcome.stderr
    assert len(load_dataset(tmp_path / "data" / "digits.csv").train) == 8


def test_the_list_and_its_sides_choose(fonts: Path, tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("@fontsource/kalam 5.3.0 train latin\n@fontsource/caveat 5.3.0 judge latin\n")
    common = (fonts, "--alphabet", "digits", "--list", listed)
    for side, family in (("train", "kalam"), ("judge", "caveat")):
        outcome = run(*common, "--side", side, "-o", tmp_path / side)
        assert outcome.exit_code == 0, outcome.output
        names = {path.name.partition("-")[0] for path in (tmp_path / side / "1").iterdir()}
        assert names == {family}
    assert run(*common, "-o", tmp_path / "both").exit_code == 0
    assert "2 fonts" in run(*common, "-o", tmp_path / "again").stdout


def test_what_could_not_be_read_is_told_and_exits_with_one(fonts: Path, tmp_path: Path) -> None:
    (fonts / "kalam" / "bad.otf").write_bytes(b"no font")
    outcome = run(fonts, "--alphabet", "digits", "-o", tmp_path / "data")
    assert outcome.exit_code == 1
    assert "kalam/bad.otf: " in outcome.stderr
    assert "2 fonts" in outcome.stdout
    listed = tmp_path / "list.txt"
    listed.write_text("@fontsource/caveat 5.3.0 judge latin\n@fontsource/handlee 5.3.0 train latin\n")
    outcome = run(fonts, "--alphabet", "digits", "-o", tmp_path / "other", "--list", listed)
    assert outcome.exit_code == 1
    assert "handlee: listed, but not in the folder of fonts" in outcome.stderr


def test_wrong_usage(fonts: Path, tmp_path: Path) -> None:
    assert run(fonts, "--alphabet", "digts", "-o", tmp_path / "data").exit_code == 2
    assert run(fonts, "-o", tmp_path / "data").exit_code == 2
    assert run(fonts, "--alphabet", "digits").exit_code == 2
    assert run(fonts, "--alphabet", "digits", "-o", tmp_path / "data", "--per-glyph", "0").exit_code == 2
    outcome = run(fonts, "--alphabet", "digits", "-o", tmp_path / "data", "--side", "judge")
    assert isinstance(outcome.exception, UsageError)
    assert isinstance(run(fonts, "--alphabet", "digits", "-o", fonts).exception, OutputError)
    assert isinstance(run(tmp_path / "no", "--alphabet", "digits", "-o", fonts).exception, DatasetError)
    assert not (tmp_path / "data").exists()
