from __future__ import annotations

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalamos.errors import CorruptImageError, ImageError, ImageNotFoundError, NoInkError
from kalamos.predictions import NOT_A_CHARACTER, NOT_SURE, Prediction
from kalamos.writers import Summary
from kalamos.writers.base import encodable, one_line

ANY_TEXT = st.text(st.characters(exclude_categories=[]))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("img/7.png", "img/7.png"),
        ("صور/ب.png", "صور/ب.png"),
        (r"a\n.png", r"a\n.png"),
        ("\u202egnp.jpg \u2067ب\u2069", r"\u202egnp.jpg \u2067ب\u2069"),
        ("ب\u200f.png", "ب\u200f.png"),
        ("a\nb\rc\td", r"a\nb\rc\td"),
        ("\0\x1b[31m\x7f", r"\x00\x1b[31m\x7f"),
        ("\x85\u2028\u2029", r"\u0085\u2028\u2029"),
        ("\udce9\ud800", r"\xe9\ud800"),
        ("no\u00a0break \u3000", "no\u00a0break \u3000"),
    ],
)
def test_one_line(text: str, shown: str) -> None:
    assert one_line(text) == shown


def test_encodable_touches_surrogates_only() -> None:
    assert encodable("a\nب\u2028\udcff") == "a\nب\u2028" + r"\xff"


def test_the_bytes_of_a_file_name_are_shown() -> None:
    name = b"caf\xe9-\xd8\xa8.png"
    assert encodable(name.decode("utf-8", "surrogateescape")) == name.decode("utf-8", "backslashreplace")


@given(ANY_TEXT)
def test_all_text_fits_a_line_and_utf_8(text: str) -> None:
    assert len(one_line(text).splitlines()) == (1 if text else 0)
    one_line(text).encode()
    encodable(text).encode()


def summed(*predictions: Prediction, elapsed: float | None = None) -> Summary:
    summary = Summary(elapsed=elapsed)
    for prediction in predictions:
        summary.add(prediction)
    return summary


def failed(kind: type[ImageError]) -> Prediction:
    return Prediction(None, None, error=kind("it could not be used"))


def test_all_that_a_run_came_to() -> None:
    summary = summed(
        *[Prediction("ب", 0.96)] * 3,
        Prediction("ت", 0.5),
        Prediction(None, 0.25, abstained=True),
        failed(CorruptImageError),
        *[failed(NoInkError)] * 2,
        elapsed=4,
    )
    assert summary.lines() == [
        "8 images: 4 read, 1 abstained, 3 failed",
        "failures: 2 no ink, 1 damaged",
        "confidence: mean 0.726, lowest 0.250, highest 0.960",
        "            3 above 0.95, 1 below 0.5",
        "labels: ب 3, ت 1",
        "4.00 s, 2 images/s",
    ]
    assert str(summary) == "\n".join(summary.lines())


def test_what_seems_no_character_is_told_apart() -> None:
    summary = summed(
        Prediction(None, 0.9, abstained=True, known=0.01, reason=NOT_A_CHARACTER),
        Prediction(None, 0.9, abstained=True, known=0.02, reason=NOT_A_CHARACTER),
        Prediction(None, 0.2, abstained=True, known=0.99, reason=NOT_SURE),
    )
    assert summary.lines()[:2] == [
        "3 images: 0 read, 3 abstained, 0 failed",
        "abstained: 2 not a character, 1 not sure enough",
    ]
    merged = Summary()
    merged.merge(summary)
    assert merged.as_dict()["reasons"] == {NOT_A_CHARACTER: 2, NOT_SURE: 1}


def test_no_images() -> None:
    assert Summary().lines() == ["0 images: 0 read, 0 abstained, 0 failed"]
    assert summed(elapsed=0.0).lines()[-1] == "0.00 s"
    json.dumps(summed(elapsed=0.0).as_dict(), allow_nan=False)


def test_one_image() -> None:
    assert summed(Prediction("7", 1.0)).lines()[0] == "1 image: 1 read, 0 abstained, 0 failed"


def test_only_failures_have_no_confidence() -> None:
    assert summed(failed(ImageNotFoundError)).lines() == [
        "1 image: 0 read, 0 abstained, 1 failed",
        "failures: 1 not found",
    ]


@pytest.mark.parametrize(
    ("confidence", "sure", "unsure"), [(0.95, 0, 0), (0.951, 1, 0), (0.5, 0, 0), (0.499, 0, 1)]
)
def test_the_bounds_are_exclusive(confidence: float, sure: int, unsure: int) -> None:
    counted = summed(Prediction("7", confidence)).as_dict()["confidence"]
    assert (counted["above_0.95"], counted["below_0.5"]) == (sure, unsure)


def test_as_dict_is_json_and_complete() -> None:
    summary = summed(Prediction("b", 0.5), Prediction("a", 1.0), failed(NoInkError), elapsed=1.5)
    assert json.loads(json.dumps(summary.as_dict())) == {
        "images": 3,
        "read": 2,
        "abstained": 0,
        "reasons": {},
        "failed": 1,
        "failures": {"no ink": 1},
        "labels": {"a": 1, "b": 1},
        "confidence": {"mean": 0.75, "lowest": 0.5, "highest": 1.0, "above_0.95": 1, "below_0.5": 0},
        "seconds": 1.5,
        "images_per_second": 2.0,
    }


def test_sixty_two_labels_fit_a_screen() -> None:
    summary = summed(*[failed(kind) for kind in ImageError.__subclasses__() * 1234])
    for label in string.digits + string.ascii_letters:
        for _ in range(1000):
            summary.add(Prediction(label, 0.9))
    lines = summary.lines()
    assert len(lines) <= 24
    assert max(map(len, lines)) < 80


def test_of_many_labels_the_rarest_are_added_up() -> None:
    summary = Summary()
    for code in range(0x4E00, 0x4E00 + 100):
        for _ in range(2 if code < 0x4E00 + 96 else 1):
            summary.add(Prediction(chr(code), 0.9))
    assert " ".join(" ".join(summary.lines()).split()).endswith("and 4 of 4 rarer labels")
    assert "\u4e63" not in str(summary)


def test_labels_are_shown_on_one_line_each() -> None:
    assert summed(Prediction("\x1b[2K\n", 0.9)).lines()[-1] == r"labels: \x1b[2K\n 1"


def test_what_two_have_counted_is_what_one_would_have() -> None:
    rows = [
        Prediction("7", 0.998),
        Prediction("1", 0.4),
        Prediction(None, 0.25, abstained=True),
        Prediction(None, None, error=NoInkError("blank")),
    ]
    for cut in range(len(rows) + 1):
        whole, merged, part = Summary(), Summary(), Summary()
        for row in rows:
            whole.add(row)
        for row in rows[:cut]:
            merged.add(row)
        for row in rows[cut:]:
            part.add(row)
        merged.merge(part)
        assert str(merged) == str(whole)
