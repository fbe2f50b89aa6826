"""A dataset out of fonts, as it is loaded again.

Varied drawings: how much, and never too much.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from kalamos.alphabets import ARABIC_28, ARABIC_DIGITS, DIGITS, LATIN_47, LATIN_62, Alphabet
from kalamos.datasets import load_dataset
from kalamos.datasets.fonts import FontFile
from kalamos.datasets.render import (
    GLYPH_IMAGE_SIDE_PX,
    INK_SIDE_FRACTION,
    FontFamily,
    find_families,
    render_dataset,
    vary_glyph,
)
from kalamos.errors import DatasetError, MissingExtraError, OutputError

TALL, FLAT, CORNER = [(200, 0, 300, 700)], [(0, 300, 600, 400)], [(0, 0, 100, 700), (0, 0, 500, 100)]


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def fonts(tmp_path: Path, make_font) -> Path:
    make_font(tmp_path / "fonts" / "pen" / "pen.ttf", {"1": TALL, "7": CORNER})
    make_font(tmp_path / "fonts" / "reed.woff2", {"1": TALL, "7": CORNER, "4": FLAT}, flavor="woff2")
    return tmp_path / "fonts"


def test_the_folder_is_a_dataset(tmp_path: Path, fonts: Path) -> None:
    rendered = render_dataset(find_families(fonts), DIGITS, tmp_path / "data", per_glyph=3)
    assert (rendered.images, rendered.classes, rendered.families) == (15, 3, 2)
    assert [str(problem) for problem in rendered.left_out] == [
        "pen: has no 0 2 3 4 5 6 8 9",
        "reed: has no 0 2 3 5 6 8 9",
    ]
    dataset = load_dataset(tmp_path / "data")
    assert dataset.alphabet.labels == ("1", "4", "7")
    assert np.bincount(dataset.train.labels).tolist() == [6, 3, 6]
    assert isinstance(dataset.train.images, np.ndarray)
    assert dataset.train.images.shape == (15, 64, 64)
    assert [problem.where for problem in dataset.problems] == ["digits.csv"]


def test_its_manifest_tells_the_fonts_apart(tmp_path: Path, fonts: Path) -> None:
    render_dataset(find_families(fonts), DIGITS, tmp_path / "data", per_glyph=3)
    dataset = load_dataset(tmp_path / "data" / "digits.csv")
    assert dataset.problems == ()
    assert dataset.train.groups is not None
    assert dataset.train.names is not None
    for name, group in zip(dataset.train.names, dataset.train.groups.tolist(), strict=True):
        assert name.rpartition("/")[2].startswith(("pen-", "reed-")[group])


def test_one_seed_gives_one_dataset_and_another_another(tmp_path: Path, fonts: Path) -> None:
    families = find_families(fonts)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        render_dataset(families, DIGITS, tmp_path / name, seed=seed)
    a, b, c = (contents(tmp_path / name) for name in "abc")
    assert a == b
    assert a.keys() == c.keys()
    assert all(a[name] != c[name] for name in a if name.endswith(".png"))


def test_an_image_does_not_depend_on_what_else_is_drawn(tmp_path: Path, fonts: Path) -> None:
    families = find_families(fonts)
    render_dataset(families, DIGITS, tmp_path / "all")
    render_dataset(families[1:], LATIN_62, tmp_path / "one", per_glyph=2)
    both = contents(tmp_path / "all")
    one = contents(tmp_path / "one")
    assert one.keys() < both.keys() | {"latin-62.csv"}
    assert all(both[name] == digest for name, digest in one.items() if name.endswith(".png"))


def test_both_cases_of_a_merged_letter_are_one_class(tmp_path: Path, make_font) -> None:
    make_font(tmp_path / "fonts" / "pen.ttf", {"C": TALL, "c": FLAT, "L": CORNER})
    render_dataset(find_families(tmp_path / "fonts"), LATIN_47, tmp_path / "data", per_glyph=1)
    assert sorted(contents(tmp_path / "data")) == [
        "C/pen-u0043-0.png",
        "C/pen-u0063-0.png",
        "L/pen-u004c-0.png",
        "latin-47.csv",
    ]
    dataset = load_dataset(tmp_path / "data" / "latin-47.csv")
    assert dataset.alphabet.merged == {"C", "L"}


FRAME = [(0, 0, 600, 100), (0, 600, 600, 700), (0, 100, 100, 600), (500, 100, 600, 600)]


def test_persian_digits_are_drawn_under_the_arabic_labels(tmp_path: Path, make_font) -> None:
    make_font(tmp_path / "fonts" / "pen.ttf", {"٤": TALL, "۴": FLAT, "۵": FRAME, "٠": FLAT, "۰": FRAME})
    rendered = render_dataset(
        find_families(tmp_path / "fonts"), ARABIC_DIGITS, tmp_path / "data", per_glyph=1
    )
    images = {name for name in contents(tmp_path / "data") if name.endswith(".png")}
    assert images == {
        "٠/pen-u0660-0.png", "٤/pen-u0664-0.png", "٤/pen-u06f4-0.png", "٥/pen-u06f5-0.png",
    }  # fmt: skip
    left = [str(problem) for problem in rendered.left_out]
    assert "pen: draws as a ring, which is ٥ once it is as large: ۰" in left
    assert "pen: has no ١ ۱ ٢ ۲ ٣ ۳ ٥ ٦ ۶ ٧ ۷ ٨ ۸ ٩ ۹" in left


def test_a_zero_with_a_small_hole_is_still_a_dot(tmp_path: Path, make_font) -> None:
    holed = [(0, 0, 600, 250), (0, 350, 600, 600), (0, 250, 250, 350), (350, 250, 600, 350)]
    make_font(tmp_path / "fonts" / "pen.ttf", {"٠": holed, "١": TALL})
    rendered = render_dataset(
        find_families(tmp_path / "fonts"), ARABIC_DIGITS, tmp_path / "data", per_glyph=1
    )
    assert (rendered.images, rendered.classes) == (2, 2)


def test_small_letters_drawn_as_capitals_are_left_out(tmp_path: Path, make_font) -> None:
    glyphs = {"A": TALL, "a": TALL, "B": FLAT, "b": CORNER, "C": FLAT, "c": FLAT}
    make_font(tmp_path / "fonts" / "shout.ttf", glyphs)
    rendered = render_dataset(find_families(tmp_path / "fonts"), LATIN_47, tmp_path / "data", per_glyph=1)
    labels = {Path(name).parent.name for name in contents(tmp_path / "data") if name.endswith(".png")}
    assert labels == {"A", "B", "b", "C"}
    assert rendered.images == 5
    assert "shout: draws as their capitals: a" in [str(problem) for problem in rendered.left_out]


def test_small_letters_are_kept_where_no_capital_is_in_the_alphabet(tmp_path: Path, make_font) -> None:
    make_font(tmp_path / "fonts" / "shout.ttf", {"A": TALL, "a": TALL, "b": FLAT})
    small = Alphabet("small", ("a", "b"))
    assert render_dataset(find_families(tmp_path / "fonts"), small, tmp_path / "data").classes == 2


def test_the_files_of_a_family_take_turns(tmp_path: Path, make_font) -> None:
    first = make_font(tmp_path / "fonts" / "pen" / "300.ttf", {"1": TALL, "7": CORNER})
    second = make_font(tmp_path / "fonts" / "pen" / "700.ttf", {"1": FLAT})
    render_dataset([FontFamily("pen", (first, second))], DIGITS, tmp_path / "data", per_glyph=4)
    images = load_dataset(tmp_path / "data").train.images[:4]
    heights = [int(np.ptp(np.flatnonzero((image > 127).any(axis=1)))) for image in images]
    assert [height > 30 for height in heights] == [True, False, True, False]


def test_a_damaged_font_stops_nothing(tmp_path: Path, fonts: Path) -> None:
    (fonts / "pen" / "bad.ttf").write_bytes(b"no font")
    rendered = render_dataset(find_families(fonts), DIGITS, tmp_path / "data", per_glyph=1)
    assert rendered.families == 2
    assert [problem.where for problem in rendered.unreadable] == ["pen/bad.ttf"]
    assert "not a font that can be read" in rendered.unreadable[0].what


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_a_family_may_have_any_name(tmp_path: Path, fonts: Path) -> None:
    names = [b"\xe9t\xe9", "خط ١".encode(), b'a,"b"']
    for name in names:
        (fonts / "pen").rename(fonts / os.fsdecode(name))
        render_dataset(find_families(fonts), DIGITS, tmp_path / "data", per_glyph=1)
        dataset = load_dataset(tmp_path / "data" / "digits.csv")
        assert (len(dataset.train), dataset.problems) == (5, ())
        (tmp_path / "data").rename(tmp_path / f"data-{names.index(name)}")
        (fonts / os.fsdecode(name)).rename(fonts / "pen")


@pytest.mark.parametrize("there", ["folder", "file", "dangling"])
def test_what_is_there_already_stays(tmp_path: Path, fonts: Path, there: str) -> None:
    target = tmp_path / "data"
    if there == "folder":
        target.mkdir()
    elif there == "file":
        target.write_text("mine")
    else:
        target.symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputError, match="already exists"):
        render_dataset(find_families(fonts), DIGITS, target)
    assert target.is_symlink() or target.is_file() or not list(target.iterdir())


def test_what_fails_leaves_nothing(tmp_path: Path, fonts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: FontFile, drawing: object) -> None:
        raise KeyboardInterrupt

    before = sorted(tmp_path.iterdir())
    with pytest.raises(
        DatasetError, match=r"0 labels of 'arabic-28' could be drawn.*pen: has no character of"
    ):
        render_dataset(find_families(fonts), ARABIC_28, tmp_path / "data")
    with pytest.raises(OutputError, match="cannot be written"):
        render_dataset(find_families(fonts), DIGITS, fonts / "reed.woff2" / "data")
    with pytest.raises(OutputError, match="cannot be written"):
        render_dataset(find_families(fonts), DIGITS, tmp_path / "nul\0")
    monkeypatch.setattr(FontFile, "draw", broken)
    with pytest.raises(KeyboardInterrupt):
        render_dataset(find_families(fonts), DIGITS, tmp_path / "data")
    assert sorted(tmp_path.iterdir()) == before


def test_without_the_extra_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kalamos.datasets.fonts.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError):
        render_dataset([], DIGITS, tmp_path / "data")
    assert not list(tmp_path.iterdir())


def many(glyph: NDArray[np.uint8], count: int = 40) -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    return np.stack([vary_glyph(glyph, rng) for _ in range(count)])


def bar(height: int = 96, width: int = 12) -> NDArray[np.uint8]:
    return np.full((height, width), 255, np.uint8)


def test_one_state_of_chance_gives_one_image() -> None:
    first, again, other = (vary_glyph(bar(), np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_no_two_are_alike_and_all_are_whole() -> None:
    images = many(bar())
    assert images.shape == (40, GLYPH_IMAGE_SIDE_PX, GLYPH_IMAGE_SIDE_PX)
    assert len(np.unique(images, axis=0)) == 40
    edge = np.concatenate([images[:, [0, -1]], images[:, :, [0, -1]].transpose(0, 2, 1)], axis=1)
    assert not edge.any()


def test_the_ink_fills_its_share() -> None:
    heights = [int(np.ptp(np.flatnonzero(image.any(axis=1)))) + 1 for image in many(bar())]
    assert min(heights) >= INK_SIDE_FRACTION[0] * GLYPH_IMAGE_SIDE_PX - 2
    assert max(heights) <= INK_SIDE_FRACTION[1] * GLYPH_IMAGE_SIDE_PX + 1
    assert max(heights) - min(heights) > 8


def test_strokes_become_thinner_and_thicker_but_never_vanish() -> None:
    widths = (
        many(bar()).sum(axis=(1, 2)) / 255 / [np.ptp(np.flatnonzero(i.any(axis=1))) + 1 for i in many(bar())]
    )
    assert widths.max() / widths.min() > 1.4
    hairlines = many(bar(100, 1)).sum(axis=(1, 2))
    assert hairlines.min() > 0


def test_an_upright_bar_leans_both_ways_and_stays_a_bar() -> None:
    lean = []
    for image in many(bar()):
        rows, columns = np.nonzero(image > 127)
        lean.append(np.polyfit(rows, columns, 1)[0])
    assert min(lean) < -0.1
    assert max(lean) > 0.1
    assert np.abs(lean).max() < 0.6


def test_parts_apart_stay_apart() -> None:
    glyph = np.zeros((100, 20), np.uint8)
    glyph[:20] = glyph[40:] = 255
    for image in many(glyph):
        rows = image.max(axis=1) > 100
        ink = rows[np.flatnonzero(rows)[0] : np.flatnonzero(rows)[-1] + 1]
        assert not ink.all()


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_any_shape_can_be_varied(height: int, width: int, seed: int) -> None:
    image = vary_glyph(bar(height, width), np.random.default_rng(seed))
    assert image.shape == (GLYPH_IMAGE_SIDE_PX, GLYPH_IMAGE_SIDE_PX)
    assert image.any()


@pytest.mark.parametrize("value", [128, 255])
def test_a_faint_glyph_is_no_exception(value: int) -> None:
    assert vary_glyph(np.full((1, 1), value, np.uint8), np.random.default_rng(0)).any()
