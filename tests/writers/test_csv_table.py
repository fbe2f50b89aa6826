from __future__ import annotations

import csv
import io
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalamos.errors import NoInkError
from kalamos.predictions import Candidate, Prediction
from kalamos.writers import open_writer

HEADER = "path,label,confidence,abstained,error,top1,top1_confidence,top2,top2_confidence\n"
GOLDEN = f"""\
{HEADER}img/7.png,7,0.998123,false,,7,0.998123,1,0.000001
img/smudge.png,,0.450000,true,,a,0.450000,o,0.400000
img/blank.png,,,false,nothing is written on it,,,,
'=1+1.png,a,0.750000,false,,a,0.750000,'=,0.250000
صور/ب.png,ب,1.000000,false,,ب,1.000000,,
"""
TEXT = st.text() | st.text(st.sampled_from(["\r", "\n", '"', ",", "'", "=", " ", "a"]))


def test_golden(write: Callable[..., bytes], five: list[Prediction]) -> None:
    assert write("csv", five).decode() == GOLDEN


def test_no_rows(write: Callable[..., bytes]) -> None:
    assert write("csv", []).decode() == HEADER


def test_without_candidates(write: Callable[..., bytes], five: list[Prediction]) -> None:
    assert (
        write("csv", five[:1], top_k=0)
        == b"path,label,confidence,abstained,error\nimg/7.png,7,0.998123,false,\n"
    )


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_is_a_formula(write: Callable[..., bytes], start: str) -> None:
    text = start + "1"
    row = Prediction(text, 0.5, (Candidate(text, 0.5),), path=text, error=NoInkError(text))
    _, cells = csv.reader(io.StringIO(write("csv", [row], top_k=1).decode(), newline=""))
    assert cells == [f"'{text}", f"'{text}", "0.500000", "false", f"'{text}", f"'{text}", "0.500000"]


@pytest.mark.parametrize(
    ("path", "cell"),
    [
        ("a,b", '"a,b"'),
        ('a"b', '"a""b"'),
        ("a\nb", '"a\nb"'),
        ("a\rb", '"a\rb"'),
        ("a b", "a b"),
        ("a\0b", r"a\x00b"),
        ("a\udcff", r"a\xff"),
        ("-\n", '"\'-\n"'),
        ("", ""),
    ],
)
def test_cells(write: Callable[..., bytes], path: str, cell: str) -> None:
    written = write("csv", [Prediction("7", 1.0, path=path)], top_k=0).decode()
    assert written.removeprefix("path,label,confidence,abstained,error\n") == f"{cell},7,1.000000,false,\n"


@given(st.lists(st.tuples(TEXT, TEXT, TEXT, st.floats(0, 1))))
def test_round_trip(rows: list[tuple[str, str, str, float]]) -> None:
    sink = io.BytesIO()
    with open_writer("csv", sink, labels=(), top_k=1) as writer:
        for path, label, other, confidence in rows:
            writer.write(Prediction(label, confidence, (Candidate(other, confidence),), path=path))
    read = csv.DictReader(io.StringIO(sink.getvalue().decode(), newline=""), strict=True)

    def cell(text: str) -> str:
        text = text.replace("\0", r"\x00")
        return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text

    assert [(row["path"], row["label"], row["top1"], float(row["confidence"])) for row in read] == [
        (cell(path), cell(label), cell(other), round(confidence, 6))
        for path, label, other, confidence in rows
    ]
