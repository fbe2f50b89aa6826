from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kalamos.errors import MissingExtraError, NoInkError
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


def test_csv_table_no_rows(write: Callable[..., bytes]) -> None:
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
        unquoted = text[place:].lstrip('"')
        if begins and (rest[:1] in tuple("=+-@＝＋－＠") or unquoted[:1] in ("\t", "\r")):
            result += "'"
        result += character
    return result


@given(st.lists(st.tuples(TEXT, TEXT, TEXT, st.floats(0, 1))))
def test_csv_table_round_trip(rows: list[tuple[str, str, str, float]]) -> None:
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


@example("", ';"\t', ";")
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


LINES = """\
{"path": "img/7.png", "label": "7", "confidence": 0.998123, "abstained": false, "error": null, \
"top": [{"label": "7", "confidence": 0.998123}, {"label": "1", "confidence": 0.000001}]}
{"path": "img/smudge.png", "label": null, "confidence": 0.450000, "abstained": true, "error": null, \
"top": [{"label": "a", "confidence": 0.450000}, {"label": "o", "confidence": 0.400000}]}
{"path": "img/blank.png", "label": null, "confidence": null, "abstained": false, \
"error": "nothing is written on it", "top": []}
{"path": "=1+1.png", "label": "a", "confidence": 0.750000, "abstained": false, "error": null, \
"top": [{"label": "a", "confidence": 0.750000}, {"label": "=", "confidence": 0.250000}]}
{"path": "صور/ب.png", "label": "ب", "confidence": 1.000000, "abstained": false, "error": null, \
"top": [{"label": "ب", "confidence": 1.000000}]}
"""


def test_golden_lines(write: Callable[..., bytes], five: list[Prediction]) -> None:
    assert write("jsonl", five).decode() == LINES


def test_golden_array(write: Callable[..., bytes], five: list[Prediction]) -> None:
    assert write("json", five).decode() == "[\n" + LINES.rstrip("\n").replace("\n", ",\n") + "\n]\n"


def test_json_objects_no_rows(write: Callable[..., bytes]) -> None:
    assert write("jsonl", []) == b""
    assert write("json", []) == b"[\n]\n"


def test_without_path_and_candidates(write: Callable[..., bytes]) -> None:
    row = json.loads(write("jsonl", [Prediction("7", 0.5, (Candidate("7", 0.5),))], top_k=0))
    assert row == {
        "path": None, "label": "7", "confidence": 0.5, "abstained": False, "error": None, "top": []
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "string"),
    [
        ("a\nb\0", r'"a\nb\u0000"'),
        ("\x85\u2028\u2029", r'"\u0085\u2028\u2029"'),
        ("\udcff", r'"\\xff"'),
        ('"\\', r'"\"\\"'),
    ],
)
def test_strings(write: Callable[..., bytes], path: str, string: str) -> None:
    assert write("jsonl", [Prediction("7", 1.0, path=path)]).decode().startswith(f'{{"path": {string}, ')


@given(st.lists(st.tuples(st.text(), st.text(), st.text(), st.floats(0, 1))))
def test_json_objects_round_trip(rows: list[tuple[str, str, str, float]]) -> None:
    sinks = {"json": io.BytesIO(), "jsonl": io.BytesIO()}
    for name, sink in sinks.items():
        with open_writer(name, sink, labels=(), top_k=1) as writer:
            for path, label, problem, confidence in rows:
                top = (Candidate(label, confidence),)
                writer.write(Prediction(label, confidence, top, path=path, error=NoInkError(problem)))
    expected = [
        {
            "path": path,
            "label": label,
            "confidence": round(confidence, 6),
            "abstained": False,
            "error": problem,
            "top": [{"label": label, "confidence": round(confidence, 6)}],
        }
        for path, label, problem, confidence in rows
    ]
    assert json.loads(sinks["json"].getvalue()) == expected
    assert [json.loads(line) for line in sinks["jsonl"].getvalue().decode().splitlines()] == expected


pq = pytest.importorskip("pyarrow.parquet")

SCHEMA = """\
path: string
label: string
confidence: double
abstained: bool
error: string
top: list<element: struct<label: string, confidence: double>>
  child 0, element: struct<label: string, confidence: double>
      child 0, label: string
      child 1, confidence: double"""


def test_the_rows_are_those_of_jsonl(write: Callable[..., bytes], five: list[Prediction]) -> None:
    table = pq.read_table(io.BytesIO(write("parquet", five)))
    assert table.to_pylist() == [json.loads(line) for line in write("jsonl", five).splitlines()]


def test_the_schema(write: Callable[..., bytes], five: list[Prediction]) -> None:
    assert str(pq.read_schema(io.BytesIO(write("parquet", five)))) == SCHEMA


def test_parquet_table_no_rows(write: Callable[..., bytes]) -> None:
    table = pq.read_table(io.BytesIO(write("parquet", [])))
    assert table.num_rows == 0
    assert str(table.schema) == SCHEMA


def test_rows_are_written_in_groups() -> None:
    sink = io.BytesIO()
    with open_writer("parquet", sink, labels=(), top_k=1) as writer:
        for number in range(20_001):
            if number == 10_000:
                assert sink.tell() > 10_000
            writer.write(Prediction("7", 0.5, (Candidate("7", 0.5),), path=str(number)))
    file = pq.ParquetFile(sink)
    assert [file.metadata.row_group(i).num_rows for i in range(3)] == [10_000, 10_000, 1]
    assert file.read().column("path").to_pylist() == [str(number) for number in range(20_001)]


def test_undecodable_bytes_are_shown(write: Callable[..., bytes]) -> None:
    table = pq.read_table(io.BytesIO(write("parquet", [Prediction("7", 1.0, path="\udcff")])))
    assert table.column("path").to_pylist() == [r"\xff"]


def test_without_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'kalamos\[cluster\]'"):
        open_writer("parquet", io.BytesIO(), labels="7", top_k=1)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.text(), st.text(), st.text(), st.floats(0, 1))))
def test_parquet_table_round_trip(rows: list[tuple[str, str, str, float]]) -> None:
    sink = io.BytesIO()
    with open_writer("parquet", sink, labels=(), top_k=1) as writer:
        for path, label, problem, confidence in rows:
            top = (Candidate(label, confidence),)
            writer.write(Prediction(label, confidence, top, path=path, error=NoInkError(problem)))
    assert pq.read_table(sink).to_pylist() == [
        {
            "path": path,
            "label": label,
            "confidence": round(confidence, 6),
            "abstained": False,
            "error": problem,
            "top": [{"label": label, "confidence": round(confidence, 6)}],
        }
        for path, label, problem, confidence in rows
    ]
