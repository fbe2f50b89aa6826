"""Examples drawn from fonts: those that lie on this machine, or none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kalamos.errors import AlphabetError, DatasetError, UsageError
from kalamos.finetune import fine_tune
from kalamos.finetune.from_fonts import (
    FONTS,
    MAX_FACES,
    characters_of_script,
    draw_examples,
    find_fonts,
    split_characters,
)

pytest.importorskip("fontTools", reason="needs the extra 'fonts'")


@pytest.fixture(scope="module")
def fonts() -> tuple[Path, ...]:
    import matplotlib as mpl

    found = find_fonts([Path(mpl.get_data_path()) / "fonts" / "ttf"])
    return tuple(path for path in found if path.stem in {"DejaVuSans", "DejaVuSerif", "cmr10"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("αβ γ\nα", ("α", "β", "γ")),
        ("कि की", ("कि", "की")),
        ("e\u0301", ("é",)),  # composed
        ("ᜊᜒᜊ", ("ᜊᜒ", "ᜊ")),
    ],
)
def test_characters_keep_their_marks(text: str, expected: tuple[str, ...]) -> None:
    assert split_characters(text) == expected


@pytest.mark.parametrize("text", ["", "  \n", "\u0301a", "a \u0301"])
def test_no_character_and_lone_marks_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        split_characters(text)


def test_control_characters_are_refused() -> None:
    with pytest.raises(AlphabetError):
        split_characters("a\x07")


def test_a_script_is_its_letters_and_digits() -> None:
    greek = characters_of_script("greek")
    assert {"α", "Ω"} <= set(greek)
    assert not {"ά", "A"} & set(greek)
    assert characters_of_script("Grek") == greek
    assert {"क", "९"} <= set(characters_of_script("Devanagari"))
    with pytest.raises(UsageError, match="did you mean"):
        characters_of_script("Devnagari")


def test_each_face_draws_each_character(fonts: tuple[Path, ...]) -> None:
    drawn = draw_examples(["α", "β"], fonts)
    assert set(drawn.labels) == {"α", "β"}
    assert drawn.grouped_by == FONTS
    assert 2 <= len(set(drawn.groups or ())) <= MAX_FACES
    assert all(image.dtype == np.uint8 and image.max() > 200 for image in drawn.images)


def test_a_character_that_no_font_has_is_named(fonts: tuple[Path, ...]) -> None:
    drawn = draw_examples(["α", "𓀀"], fonts)
    assert [(each.where, each.what) for each in drawn.problems] == [("𓀀", "no font has this character")]
    with pytest.raises(DatasetError, match="no font has any of 𓀀"):
        draw_examples(["𓀀"], fonts)


def test_fonts_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="there is no such font"):
        find_fonts([tmp_path / "x.ttf"])
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    with pytest.raises(DatasetError, match="no font has any"):
        draw_examples(["α"], find_fonts([tmp_path]))


def test_shapes_of_one_face_read_another(fonts: tuple[Path, ...]) -> None:
    pytest.importorskip("onnx", reason="needs the extra 'teach'")
    sans, serif = (
        next(path for path in fonts if path.stem == name) for name in ("DejaVuSans", "DejaVuSerif")
    )
    letters = "αβγδθλπσφω"
    tuned = fine_tune("glyphs", draw_examples(letters, [sans]))
    assert tuned.expected is not None
    assert (tuned.expected.n, tuned.expected.grouped_by) == (0, FONTS)
    other = draw_examples(letters, [serif])
    answers = tuned.recognizer().predict_batch(list(other.images))
    assert np.mean([each.label == label for each, label in zip(answers, other.labels, strict=True)]) >= 0.9
