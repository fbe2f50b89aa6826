from __future__ import annotations

import io
import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalamos.errors import NoInkError
from kalamos.predictions import Candidate, Prediction
from kalamos.writers import open_writer

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


def test_no_rows(write: Callable[..., bytes]) -> None:
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
def test_round_trip(rows: list[tuple[str, str, str, float]]) -> None:
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
