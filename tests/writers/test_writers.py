from __future__ import annotations

import gc
import io
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalamos.errors import NoInkError, UsageError
from kalamos.predictions import Candidate, Prediction
from kalamos.writers import FORMATS, format_for, open_writer


def test_the_names() -> None:
    assert FORMATS == ("text", "ascii", "csv", "json", "jsonl", "parquet", "xlsx")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a.txt", "text"),
        ("out/a.csv", "csv"),
        ("a.json", "json"),
        ("a.jsonl", "jsonl"),
        ("a.NDJSON", "jsonl"),
        ("a.b.Parquet", "parquet"),
        ("a.xlsx", "xlsx"),
        ("a.xls", None),
        ("csv", None),
        (".csv", None),
        ("", None),
    ],
)
def test_a_suffix_implies_a_format(path: str, name: str | None) -> None:
    assert format_for(path) == name


def test_an_unknown_format_is_met_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="no output format is called 'jsnl'; did you mean 'jsonl'"):
        open_writer("jsnl", io.BytesIO(), labels="", top_k=5)


def test_a_negative_top_k_is_refused() -> None:
    with pytest.raises(UsageError, match="top_k is -1"):
        open_writer("csv", io.BytesIO(), labels="", top_k=-1)


@pytest.mark.parametrize("name", FORMATS)
def test_the_sink_stays_open(name: str) -> None:
    sink = io.BytesIO()
    writer = open_writer(name, sink, labels="7", top_k=1)
    writer.close()
    del writer
    gc.collect()
    assert not sink.closed


@pytest.mark.parametrize("name", ["json", "parquet"])
def test_a_block_that_fails_leaves_the_document_unfinished(name: str) -> None:
    sink = io.BytesIO()
    writer = open_writer(name, sink, labels="7", top_k=1)
    with pytest.raises(KeyboardInterrupt), writer:  # noqa: PT012 - the block is what is tested
        writer.write(Prediction("7", 1.0))
        raise KeyboardInterrupt
    before = sink.getvalue()
    del writer
    gc.collect()
    assert sink.getvalue() == before
    assert not before.endswith((b"]\n", b"PAR1\n"))


class Nowhere(io.RawIOBase):
    def write(self, data: object, /) -> int:  # noqa: ARG002 - the signature of a file
        return 0


@pytest.mark.parametrize("name", ["text", "ascii", "csv", "json", "jsonl"])
def test_memory_does_not_grow_with_the_rows(name: str) -> None:
    writer = open_writer(name, Nowhere(), labels="7", top_k=1)
    writer.write(Prediction("7", 1.0, (Candidate("7", 1.0),), path="first"))
    tracemalloc.start()
    for number in range(2000):
        writer.write(Prediction("7", 1.0, (Candidate("7", 1.0),), path=f"{number}.png"))
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 10_000


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "xlsx"])  # which holds the time
def test_numpy_numbers_are_written_as_pythons(name: str, write: Callable[..., bytes]) -> None:
    python, numpy = (
        Prediction("7", number(0.75), (Candidate("7", number(0.75)),), path="7.png")
        for number in (float, np.float32)
    )
    assert write(name, [python]) == write(name, [numpy])


@given(
    path=st.text(st.characters(exclude_categories=[])), problem=st.text(st.characters(exclude_categories=[]))
)
@pytest.mark.parametrize("name", FORMATS)
def test_no_text_stops_a_format(name: str, path: str, problem: str) -> None:
    with open_writer(name, io.BytesIO(), labels="7", top_k=1) as writer:
        writer.write(Prediction(None, None, path=path, error=NoInkError(problem)))


@given(st.text(st.characters(exclude_categories=[])))
@pytest.mark.parametrize("name", ["text", "ascii", "jsonl"])
def test_one_line_an_image_whatever_its_path(name: str, path: str) -> None:
    sink = io.BytesIO()
    with open_writer(name, sink, labels="7", top_k=1) as writer:
        writer.write(Prediction("7", 1.0, path=path))
    lines = sink.getvalue().decode().splitlines(keepends=True)
    assert len(lines) == 1
    assert lines[0].endswith("\n")


def test_importing_the_writers_does_not_import_pyarrow() -> None:
    program = "import sys, kalamos.results; sys.exit('pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


RESTRICTED = [
    Prediction("7", 0.75, (Candidate("7", 0.75),), path="7.png", removed=0.1234567),
    Prediction(None, 0.5, (Candidate("1", 0.5),), path="l.png", abstained=True, removed=0.99),
    Prediction(None, None, path="blank.png", error=NoInkError("no ink")),
]
GOLDEN = {
    "csv": """path,label,confidence,removed,abstained,error,top1,top1_confidence
7.png,7,0.750000,0.123457,false,,7,0.750000
l.png,,0.500000,0.990000,true,,1,0.500000
blank.png,,,,false,no ink,,
""",
    "jsonl": """{"path": "7.png", "label": "7", "confidence": 0.750000, "removed": 0.123457, \
"abstained": false, "error": null, "top": [{"label": "7", "confidence": 0.750000}]}
{"path": "l.png", "label": null, "confidence": 0.500000, "removed": 0.990000, "abstained": true, \
"error": null, "top": [{"label": "1", "confidence": 0.500000}]}
{"path": "blank.png", "label": null, "confidence": null, "removed": null, "abstained": false, \
"error": "no ink", "top": []}
""",
    "text": """7.png  7   75.0%
l.png  ?   50.0%  abstained: 1 50.0%; 99.0% outside the charset
blank.png  failed: no ink
""",
    "ascii": "55, 7.png\n0, l.png\n0, blank.png\n",
}


def written(name: str, *, removed: bool) -> bytes:
    sink = io.BytesIO()
    with open_writer(name, sink, labels="17", top_k=1, columns=["removed"] if removed else []) as writer:
        for prediction in RESTRICTED:
            writer.write(prediction)
    return sink.getvalue()


@pytest.mark.parametrize("name", GOLDEN)
def test_under_a_charset_rows_tell_what_it_took(name: str) -> None:
    assert written(name, removed=True).decode() == GOLDEN[name]


def test_json_and_parquet_tell_it_as_jsonl_does() -> None:
    objects = [json.loads(row) for row in written("jsonl", removed=True).splitlines()]
    assert json.loads(written("json", removed=True)) == objects
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(io.BytesIO(written("parquet", removed=True)))
    assert table.column_names == list(objects[0])
    assert table.to_pylist() == objects


def test_rows_of_models_that_tell_say_so_and_why() -> None:
    rows = [
        Prediction("7", 0.75, (Candidate("7", 0.75),), path="7.png", known=0.98765432),
        Prediction(
            None,
            0.9,
            (Candidate("1", 0.9),),
            path="tick.png",
            abstained=True,
            known=0.01,
            reason="not a character",
        ),
        Prediction(None, None, path="blank.png", error=NoInkError("no ink")),
    ]
    golden = {
        "csv": """path,label,confidence,known,reason,abstained,error,top1,top1_confidence
7.png,7,0.750000,0.987654,,false,,7,0.750000
tick.png,,0.900000,0.010000,not a character,true,,1,0.900000
blank.png,,,,,false,no ink,,
""",
        "jsonl": """{"path": "7.png", "label": "7", "confidence": 0.750000, "known": 0.987654, \
"reason": null, "abstained": false, "error": null, "top": [{"label": "7", "confidence": 0.750000}]}
{"path": "tick.png", "label": null, "confidence": 0.900000, "known": 0.010000, \
"reason": "not a character", "abstained": true, "error": null, \
"top": [{"label": "1", "confidence": 0.900000}]}
{"path": "blank.png", "label": null, "confidence": null, "known": null, "reason": null, \
"abstained": false, "error": "no ink", "top": []}
""",
        "text": """7.png  7   75.0%
tick.png  ?   90.0%  not a character: 1 90.0%
blank.png  failed: no ink
""",
    }
    for name, expected in golden.items():
        sink = io.BytesIO()
        with open_writer(name, sink, labels="17", top_k=1, columns=("reason", "known")) as writer:
            for row in rows:
                writer.write(row)
        assert sink.getvalue().decode() == expected
    with pytest.raises(UsageError, match="no columns nonsense"):
        open_writer("csv", io.BytesIO(), labels="17", top_k=1, columns=["nonsense"])


@pytest.mark.parametrize("name", ["csv", "jsonl", "json"])
def test_without_a_charset_the_key_is_not_there(name: str) -> None:
    assert b"removed" not in written(name, removed=False)
    assert b"0.12" not in written(name, removed=False)


def test_the_help_of_the_command_lists_them() -> None:
    from kalamos.cli.predict import predict

    [option] = [each for each in predict.params if each.name == "format_name"]
    assert f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}." in (getattr(option, "help", None) or "")
