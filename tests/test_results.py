from __future__ import annotations

import io
from pathlib import Path

import pytest

from kalamos.errors import NoInkError, OutputError
from kalamos.predictions import Candidate, Prediction
from kalamos.results import Results
from kalamos.writers import open_writer

TOP = (Candidate("7", 0.9), Candidate("1", 0.08), Candidate("9", 0.02))
READ = Prediction("7", 0.9, TOP, path="7.png")
ABSTAINED = Prediction(None, 0.4, (Candidate("7", 0.4),), path="smudge.png", abstained=True)
FAILED = Prediction(None, None, path="blank.png", error=NoInkError("nothing is written on it"))


@pytest.fixture
def results() -> Results:
    return Results(iter([READ, ABSTAINED, FAILED]))


@pytest.mark.parametrize("name", ["csv", "json", "jsonl", "parquet"])
@pytest.mark.parametrize("top_k", [None, 2])
def test_a_saved_file_holds_what_the_writer_writes(
    results: Results, tmp_path: Path, name: str, top_k: int | None
) -> None:
    path = tmp_path / "results"
    getattr(results, f"to_{name}")(path, **({} if top_k is None else {"top_k": top_k}))
    sink = io.BytesIO()
    with open_writer(name, sink, labels="0123456789", top_k=top_k or 5) as writer:
        for prediction in results:
            writer.write(prediction)
    assert path.read_bytes() == sink.getvalue()


def test_a_row_that_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "results.parquet"
    path.write_bytes(b"old")
    wrong = Prediction("7", "high", path="7.png")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="high"):
        Results([READ, wrong]).to_parquet(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_an_output_error(results: Results, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="there is no folder"):
        results.to_csv(tmp_path / "none" / "results.csv")


def test_failed_are_results_themselves(results: Results) -> None:
    assert isinstance(results.failed, Results)
    assert results.failed == [FAILED]
    assert Results().failed == []


def test_the_summary_counts_all(results: Results) -> None:
    assert str(results.summary()).startswith("3 images: 1 read, 1 abstained, 1 failed\n")


def test_what_a_charset_took_is_saved(tmp_path: Path) -> None:
    results = Results(
        [Prediction("7", 0.75, removed=0.25), Prediction(None, None, error=NoInkError("blank"))]
    )
    results.to_csv(tmp_path / "a.csv", top_k=0)
    assert (tmp_path / "a.csv").read_text().splitlines()[1] == ",7,0.750000,0.250000,false,"
