from __future__ import annotations

import csv
import io
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalamos.errors import NoInkError
from kalamos.predictions import Candidate, Prediction
from kalamos.writers import CsvStyle, open_writer

HEADER = "path,label,confidence,abstained,error,top1,top1_confidence,top2,top2_confidence\n"
GOLDEN = f"""\
{HEADER}img/7.png,7,0.998123,false,,7,0.998123,1,0.000001
img/smudge.png,,0.450000,true,,a,0.450000,o,0.400000
img/blank.png,,,false,nothing is written on it,,,,
'=1+1.png,a,0.750000,false,,a,0.750000,'=,0.250000
صور/ب.png,ب,1.000000,false,,ب,1.000000,,
"""
TEXT = st.text() | st.text(st.sampled_from(["\r", "\n", "\t", '"', ",", ";", "'", "=", "-", "＝", " ", "a"]))


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


def guarded(text: str) -> str:
    """What the writer should make of a text: an apostrophe wherever a cell may begin and a formula would."""
    text = text.replace("\0", r"\x00")
    result = ""
    for place, character in enumerate(text):
        begins = place == 0 or text[place - 1] in ";|\t\n\v\f\r\x85\u2028\u2029"
        rest = text[place:]
        while rest and (rest[0].isspace() or rest[0] in '"\ufeff\u200b'):
            rest = rest[1:]
        if begins and (rest[:1] in tuple("=+-@＝＋－＠") or character in "\t\r"):
            result += "'"
        result += character
    return result


@given(st.lists(st.tuples(TEXT, TEXT, TEXT, st.floats(0, 1))))
def test_round_trip(rows: list[tuple[str, str, str, float]]) -> None:
    sink = io.BytesIO()
    with open_writer("csv", sink, labels=(), top_k=1) as writer:
        for path, label, other, confidence in rows:
            writer.write(Prediction(label, confidence, (Candidate(other, confidence),), path=path))
    read = csv.DictReader(io.StringIO(sink.getvalue().decode(), newline=""), strict=True)

    assert [(row["path"], row["label"], row["top1"], float(row["confidence"])) for row in read] == [
        (guarded(path), guarded(label), guarded(other), round(confidence, 6))
        for path, label, other, confidence in rows
    ]


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("img;=1+1", "img;'=1+1"),
        ("img;-1;+2;@x", "img;'-1;'+2;'@x"),
        ("; =1", ";' =1"),
        ('a;"=1"', """a;'"=1\""""),
        ("a\t=1", "a\t'=1"),
        ("a|=1", "a|'=1"),
        ("a\n=1", "a\n'=1"),
        ("＝1+1", "'＝1+1"),
        (" =1", "' =1"),
        ("-", "'-"),
        ("a;b=1", "a;b=1"),
        ("2024-05-01/a-b.png", "2024-05-01/a-b.png"),
    ],
)
def test_no_part_of_a_cell_is_a_formula_where_others_than_commas_separate(
    write: Callable[..., bytes], text: str, cell: str
) -> None:
    row = Prediction(text, 0.5, (Candidate(text, 0.5),), path=text, error=NoInkError(text))
    _, cells = csv.reader(io.StringIO(write("csv", [row], top_k=1).decode(), newline=""))
    assert [cells[0], cells[1], cells[4], cells[5]] == [cell] * 4


FORMULA = st.text(st.sampled_from([*'=+-@;\t\r\n" ,a|', "＝"]), max_size=12)


@given(FORMULA, FORMULA, st.sampled_from(";\t|"))
def test_split_at_any_separator_no_cell_begins_with_a_formula(path: str, error: str, separator: str) -> None:
    # As a spreadsheet does whose list separator is not the comma: quotes count at a cell's beginning alone.
    sink = io.BytesIO()
    with open_writer("csv", sink, labels=(), top_k=0) as writer:
        writer.write(Prediction("7", 0.5, path=path, error=NoInkError(error)))
    table = sink.getvalue().decode()
    for line in table.splitlines():
        for cell in line.split(separator):
            assert cell.lstrip(' "\t')[:1] not in tuple("=+-@＝")
            assert cell[:1] != "\t"
    for row in csv.reader(io.StringIO(table, newline=""), delimiter=separator):
        for cell in row:
            assert cell.lstrip(" \t")[:1] not in tuple("=+-@＝")
            assert cell[:1] != "\t"


def test_the_guard_can_be_left_out(write: Callable[..., bytes]) -> None:
    sink = io.BytesIO()
    with open_writer("csv", sink, labels=(), top_k=0, csv_style=CsvStyle(formula_guard=False)) as writer:
        writer.write(Prediction("-", 0.5, path="=1;=2.png"))
    assert sink.getvalue().splitlines()[1] == b"=1;=2.png,-,0.500000,false,"


def test_a_byte_order_mark_for_excel() -> None:
    sink = io.BytesIO()
    with open_writer("csv", sink, labels=(), top_k=0, csv_style=CsvStyle(bom=True)) as writer:
        writer.write(Prediction("ب", 0.5, path="a.png"))
    assert sink.getvalue().startswith(b"\xef\xbb\xbfpath,label,")
    assert next(csv.DictReader(io.StringIO(sink.getvalue().decode("utf-8-sig"))))["label"] == "ب"


@pytest.mark.parametrize(
    ("controls", "cell"),
    [
        ("keep", "a\x1b[31m\x9b\u202e\tb"),
        ("pipe", r"a\x1b[31m\u009b\u202e" + "\tb"),
        ("terminal", r"a\x1b[31m\u009b\u202e\tb"),
    ],
)
def test_control_characters_are_kept_in_files_and_shown_elsewhere(controls: str, cell: str) -> None:
    sink = io.BytesIO()
    with open_writer("csv", sink, labels=(), top_k=0, csv_style=CsvStyle(controls=controls)) as writer:
        writer.write(Prediction("7", 0.5, path="a\x1b[31m\x9b\u202e\tb"))
    assert sink.getvalue().decode().split("\n")[1] == f"{cell},7,0.500000,false,"
