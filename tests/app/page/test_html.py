from __future__ import annotations

import base64
import unicodedata

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalamos.alphabets import ARABIC_28, LATIN_47, LATIN_62
from kalamos.app.page.html import (
    NAMES,
    TILE_GAP_PX,
    alphabet_summary,
    answer_html,
    channel_grid,
    correct_of,
    data_uri,
    fit_within,
    glyph_html,
    letter_name,
    percent,
    problem_html,
    verdict,
)
from kalamos.errors import CorruptImageError, NoInkError
from kalamos.predictions import Candidate, Prediction


def _decoded(uri: str) -> np.ndarray:
    data = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


@pytest.mark.parametrize("channels", [(), (3,), (4,)])
def test_a_data_uri_holds_the_very_pixels(channels: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, *channels), np.uint8)
    found = _decoded(data_uri(image))
    if channels:
        found = cv2.cvtColor(found, cv2.COLOR_BGR2RGB if channels == (3,) else cv2.COLOR_BGRA2RGBA)
    assert np.array_equal(found, image)


def test_shrinking_keeps_the_shape_and_never_enlarges() -> None:
    assert fit_within(np.zeros((400, 100), np.uint8), 40).shape == (40, 10)
    assert fit_within(np.zeros((5000, 2), np.uint8), 40).shape == (40, 1)
    small = np.zeros((8, 9), np.uint8)
    assert fit_within(small, 40) is small


def test_a_grid_has_twelve_channels_in_four_columns() -> None:
    maps = np.random.default_rng(1).normal(size=(40, 64, 64)).astype(np.float32)
    grid = channel_grid(maps)
    assert grid.shape == (3 * 64 + 2 * TILE_GAP_PX, 4 * 64 + 3 * TILE_GAP_PX, 4)
    assert (grid[64 : 64 + TILE_GAP_PX, :, 3] == 0).all()
    assert (grid[:64, :64, 3] == 255).all()


def test_each_channel_is_stretched_by_itself() -> None:
    ramp = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    grid = channel_grid(np.stack([ramp, 1000 * ramp - 7]))
    assert np.array_equal(grid[:, :64], grid[:, 64 + TILE_GAP_PX : 128 + TILE_GAP_PX])
    assert len(np.unique(grid[:, :64].reshape(-1, 4), axis=0)) > 50


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (4, 1), (5, 2)])
def test_a_grid_of_few_channels(count: int, rows: int) -> None:
    grid = channel_grid(np.ones((count, 64, 64), np.float32))
    assert grid.shape[0] == rows * 64 + (rows - 1) * TILE_GAP_PX
    assert np.isfinite(grid).all()


READ = Prediction("ب", 0.93, (Candidate("ب", 0.93), Candidate("ت", 0.07)))


def test_every_outcome_is_said_in_words() -> None:
    assert verdict(Prediction(None, None, error=NoInkError("blank"))) == "No ink: nothing is written here."
    unsure = Prediction(None, 0.41, (Candidate("7", 0.41),), abstained=True)
    assert verdict(unsure) == "Not sure enough to say. The best guess is 7, 41 % sure."
    damaged = Prediction(None, None, error=CorruptImageError("a.png: cut off", remedy="copy it again"))
    assert verdict(damaged) == "Cannot be read: a.png: cut off; copy it again."
    assert verdict(READ) == "Read as ب, 93 % sure."


def test_an_arabic_letter_is_large_right_to_left_and_named() -> None:
    shown = answer_html(READ, None)
    assert '<div class="glyph" dir="rtl">ب</div>' in shown
    assert "ba" in shown
    assert "باء" in shown
    assert 'dir="ltr">7<' in glyph_html("7")


def test_the_thumbnail_is_shown_where_there_is_one() -> None:
    assert "<img" not in answer_html(READ, None)
    assert 'alt="What the model saw, 28×28 pixels"' in answer_html(READ, np.zeros((28, 28), np.uint8))


def test_what_comes_from_outside_is_escaped() -> None:
    evil = "<img src=x onerror=alert(1)>"
    candidate = Candidate(evil, 0.9)
    for shown in (
        answer_html(Prediction(evil, 0.9, (candidate,)), None),
        answer_html(Prediction(None, 0.9, (candidate,), abstained=True), None),
        answer_html(Prediction(None, None, error=CorruptImageError(evil)), None),
        problem_html(evil),
    ):
        assert "<img" not in shown
        assert "&lt;img" in shown


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (0, "0 %"),
        (0.0001, "under 0.1 %"),
        (0.001, "0.1 %"),
        (0.004, "0.4 %"),
        (0.00996, "1 %"),
        (0.014, "1 %"),
        (0.5, "50 %"),
        (0.994, "99.4 %"),
        (1, "over 99.9 %"),
    ],
)
def test_shares_are_never_rounded_to_certainty(share: float, shown: str) -> None:
    assert percent(share) == shown


def _shown(share: float) -> float:
    return {"over 99.9 %": 99.95, "under 0.1 %": 0.05}.get(percent(share)) or float(percent(share)[:-2])


@given(st.lists(st.floats(0, 1), max_size=6))
def test_candidates_in_the_order_of_their_shares_show_no_larger_one_below_a_smaller(
    shares: list[float],
) -> None:
    shown = [_shown(share) for share in sorted(shares, reverse=True)]
    assert shown == sorted(shown, reverse=True)


def test_few_examples_have_no_percentage() -> None:
    assert correct_of(1, 1) == "1 of 1"
    assert correct_of(19, 19) == "19 of 19"
    assert correct_of(20, 20) == "20 of 20 (100 %)"
    assert correct_of(1999, 2000) == "1,999 of 2,000 (100 %)"


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ("0123456789", "0-9"),
        ("01", "2 digits"),
        ("013", "3 digits"),
        ("abc", "a-c"),
        (LATIN_47.labels, "47 letters and digits"),
        (ARABIC_28.labels, "28 letters"),
        (["a", "7", "?"], "3 characters"),
        (["e\u0301", "लो"], "2 letters"),
        (["+", "-"], "2 signs"),
        (["<b>", "x"], "2 letters and signs"),
    ],
)
def test_what_a_model_reads_in_a_few_words(labels: list[str], said: str) -> None:
    assert alphabet_summary(labels) == said


def test_every_arabic_letter_has_its_own_two_names() -> None:
    names = [letter_name(label) for label in (*ARABIC_28.labels, "ء", "ئ", "ة", "لا")]
    assert None not in names
    assert len({name.latin for name in names if name}) == 32
    assert len({name.native for name in names if name}) == 32


@pytest.mark.parametrize("letter", [letter for letter in NAMES if len(letter) == 1])
def test_names_begin_with_their_letter_or_tell_its_seat(letter: str) -> None:
    # Arabic letters' names begin with the letter itself; alif's with its hamza.
    native = NAMES[letter].native
    assert native[0] == letter or letter in "اأإآءئؤةى"


def test_latin_letters_and_digits_say_their_own_names() -> None:
    assert [label for label in LATIN_62.labels if letter_name(label)] == []
    assert letter_name("") is None
    assert letter_name("!") is None


def test_other_forms_and_other_arabic_letters() -> None:
    assert letter_name("\ufe8f") == letter_name("ب")
    assert letter_name(unicodedata.normalize("NFD", "أ")) == letter_name("أ")
    peh = letter_name("پ")
    assert peh is not None
    assert peh.latin == "peh"
