from __future__ import annotations

from collections.abc import Callable

from kalamos.errors import NoInkError
from kalamos.predictions import Candidate, Prediction

GOLDEN = """\
img/7.png  7   99.8%  then 1 0.0%
img/smudge.png  ?   45.0%  abstained: a 45.0%, o 40.0%
img/blank.png   failed: nothing is written on it
=1+1.png        a   75.0%  then = 25.0%
صور/ب.png       ب  100.0%
"""


def test_golden(write: Callable[..., bytes], five: list[Prediction]) -> None:
    assert write("text", five).decode() == GOLDEN


def test_no_rows(write: Callable[..., bytes]) -> None:
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
