from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalamos.errors import MissingExtraError, NoInkError
from kalamos.predictions import Candidate, Prediction
from kalamos.writers import open_writer

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


def test_no_rows(write: Callable[..., bytes]) -> None:
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
def test_round_trip(rows: list[tuple[str, str, str, float]]) -> None:
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
