from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from kalamos.errors import UsageError
from kalamos.predictions import Prediction
from kalamos.writers import open_writer

GOLDEN = """\
55, img/7.png
0, img/smudge.png
0, img/blank.png
65, =1+1.png
1576, صور/ب.png
"""


def test_golden(write: Callable[..., bytes], five: list[Prediction]) -> None:
    assert write("ascii", five).decode() == GOLDEN


def test_no_rows(write: Callable[..., bytes]) -> None:
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
