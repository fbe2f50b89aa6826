from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from kalamos.errors import NoInkError, UsageError
from kalamos.predictions import Candidate, Prediction
from kalamos.writers import open_writer

ASCII_CODES_GOLDEN = """\
55, img/7.png
0, img/smudge.png
0, img/blank.png
65, =1+1.png
1576, صور/ب.png
"""


def test_ascii_codes_golden(write: Callable[..., bytes], five: list[Prediction]) -> None:
    assert write("ascii", five).decode() == ASCII_CODES_GOLDEN


def test_ascii_codes_no_rows(write: Callable[..., bytes]) -> None:
    assert write("ascii", []) == b""


@pytest.mark.parametrize(
    ("label", "code"),
    [("A", 65), ("z", 90), ("é", 0xC9), ("e\u0301", 0xC9), ("ß", 0xDF), ("ي", 0x64A), ("😀", 0x1F600)],
)
def test_codes(write: Callable[..., bytes], label: str, code: int) -> None:
    assert write("ascii", [Prediction(label, 1.0)], labels=[label]) == f"{code}, -\n".encode()


def test_a_path_stays_on_its_line(write: Callable[..., bytes]) -> None:
    assert write("ascii", [Prediction("7", 1.0, path="a\n0, b\udcff")]) == rb"55, a\n0, b\xff" + b"\n"


def test_labels_without_one_code_are_refused_on_opening() -> None:
    with pytest.raises(UsageError, match=r"these labels are none: 'ch', '', 'sh', …; use another format"):
        open_writer("ascii", io.BytesIO(), labels=["a", "ch", "", "sh", "th"], top_k=1)


TEXT_GOLDEN = """\
img/7.png  7   99.8%  then 1 0.0%
img/smudge.png  ?   45.0%  abstained: a 45.0%, o 40.0%
img/blank.png   failed: nothing is written on it
=1+1.png        a   75.0%  then = 25.0%
صور/ب.png       ب  100.0%
"""


def test_text_golden(write: Callable[..., bytes], five: list[Prediction]) -> None:
    assert write("text", five).decode() == TEXT_GOLDEN


def test_text_no_rows(write: Callable[..., bytes]) -> None:
    assert write("text", []) == b""


def test_without_a_path(write: Callable[..., bytes]) -> None:
    assert write("text", [Prediction("7", 0.5)]) == b"-  7   50.0%\n"


def test_without_runners_up(write: Callable[..., bytes], five: list[Prediction]) -> None:
    assert write("text", five[:2], top_k=0).decode().splitlines() == [
        "img/7.png  7   99.8%",
        "img/smudge.png  ?   45.0%  abstained",
    ]


def test_a_long_path_moves_its_own_line_only(write: Callable[..., bytes]) -> None:
    long = "x" * 41
    rows = [Prediction("7", 0.5, path=path) for path in ("aa", long, "a")]
    assert write("text", rows).decode().splitlines() == [
        "aa  7   50.0%",
        f"{long}  7   50.0%",
        "a   7   50.0%",
    ]


def test_control_characters_are_shown(write: Callable[..., bytes]) -> None:
    rows = [
        Prediction("\n", 1.0, (Candidate("\n", 1.0), Candidate("\x1b", 0.0)), path="a\nb"),
        Prediction(None, None, path="\udcff", error=NoInkError("blank\r")),
    ]
    assert write("text", rows).decode().splitlines() == [
        r"a\nb  \n  100.0%  then \x1b 0.0%",
        r"\xff  failed: blank\r",
    ]
