from __future__ import annotations

import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from kalamos.errors import NoInkError, OutputError, UsageError
from kalamos.predictions import Candidate, Prediction
from kalamos.results import MAX_HTML_ROWS, FolderResults, Results
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


def test_a_workbook_is_saved_by_name_and_by_ending(results: Results, tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    results.to_xlsx(tmp_path / "a.xlsx", top_k=1)
    results.save(tmp_path / "b.xlsx", top_k=1)
    for name in ("a.xlsx", "b.xlsx"):
        _, *rows = openpyxl.load_workbook(tmp_path / name).active.values
        assert rows == [
            ("7.png", "7", 0.9, False, None, "7", 0.9),
            ("smudge.png", None, 0.4, True, None, "7", 0.4),
            ("blank.png", None, None, False, "nothing is written on it", None, None),
        ]


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


@pytest.mark.parametrize("name", ["csv", "json", "jsonl", "parquet", "txt"])
def test_save_goes_by_the_ending(results: Results, tmp_path: Path, name: str) -> None:
    saved = results.save(tmp_path / f"labels.{name}")
    sink = io.BytesIO()
    form = "text" if name == "txt" else name
    with open_writer(form, sink, labels="0123456789", top_k=5) as writer:
        for prediction in results:
            writer.write(prediction)
    assert saved.read_bytes() == sink.getvalue()


@pytest.mark.parametrize("name", ["labels", "labels.png", "labels.ods"])
def test_an_ending_of_no_format_is_refused(results: Results, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        results.save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_data_frame_keeps_labels_as_text(results: Results) -> None:
    pytest.importorskip("pandas")
    frame = Results([Prediction("2", 0.9, (Candidate("2", 0.9),)), *results]).to_pandas(top_k=2)
    assert frame["label"].tolist() == ["2", "7", None, None]
    assert frame["top1"].tolist() == ["2", "7", "7", None]
    assert frame["confidence"].isna().tolist() == [False, False, False, True]
    assert frame["abstained"].tolist() == [False, False, True, False]
    assert frame["error"][3] == "nothing is written on it"
    assert list(frame.columns) == (
        [
            "path",
            "label",
            "confidence",
            "abstained",
            "error",
            "top1",
            "top1_confidence",
            "top2",
            "top2_confidence",
        ]
    )
    assert "removed" in Results([Prediction("7", 0.75, removed=0.25)]).to_pandas().columns
    assert Results([FAILED]).to_pandas(top_k=0)["label"].tolist() == [None]
    assert len(Results().to_pandas()) == 0
    with pytest.raises(UsageError, match="top_k is -1"):
        results.to_pandas(top_k=-1)


def test_a_polars_frame_has_the_same_columns(results: Results) -> None:
    polars = pytest.importorskip("polars")
    frame = results.to_polars(top_k=1)
    assert frame["label"].to_list() == ["7", None, None]
    assert frame["confidence"].to_list() == [0.9, 0.4, None]
    assert frame["label"].dtype == Results([FAILED]).to_polars()["label"].dtype == polars.String
    assert frame.columns == ["path", "label", "confidence", "abstained", "error", "top1", "top1_confidence"]


def test_a_folder_is_read_once_and_no_more_than_is_taken() -> None:
    read: list[Prediction] = []

    def stream():
        for prediction in (READ, ABSTAINED, FAILED):
            read.append(prediction)
            yield prediction

    rows = FolderResults(stream())
    assert (read, repr(rows)) == ([], "<FolderResults, 0 images read so far>")
    assert next(rows) == READ
    assert read == [READ]
    with pytest.raises(UsageError, match=r"1 predictions were .* not kept; .*kalamos\.Results"):
        len(rows)
    kept = FolderResults(stream())
    assert (len(kept), kept[0], kept[1:]) == (3, READ, [ABSTAINED, FAILED])
    assert kept == list(kept) == list(kept) == [READ, ABSTAINED, FAILED]
    assert (kept.failed, kept.summary().read, repr(kept)[0]) == ([FAILED], 1, "[")
    assert READ in kept
    assert list(FolderResults(stream())) == [*FolderResults(stream())] == [READ, ABSTAINED, FAILED]


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(tag)
        assert not [name for name, _ in attrs if name not in {"alt", "src"}]


def tags(text: str) -> list[str]:
    parser = _Tags()
    parser.feed(text)
    return parser.found


def test_a_notebook_shows_pictures_labels_and_errors(results: Results) -> None:
    sample = Path(__file__).parents[1] / "samples" / "7-wide.jpg"
    text = Results([Prediction("7", 0.998, path=str(sample)), *results])._repr_html_()
    assert re.search(r'<img alt="" src="data:image/png;base64,[\w+/=]+"></td><td>7</td><td>99.8 %</td>', text)
    assert text.count("<img") == 1, "what is not there has no picture"
    assert "abstained; best: 7" in text
    assert "nothing is written on it" in text
    assert READ._repr_html_() == Results([READ])._repr_html_()


def test_what_a_notebook_shows_is_escaped_and_bounded() -> None:
    evil = "<script>alert(1)</script>" + "x" * 10_000
    rows = Results([Prediction(evil, 0.5, path=evil + "\udc80", abstained=False)] * (MAX_HTML_ROWS + 1_000))
    text = rows._repr_html_()
    assert set(tags(text)) == {"table", "thead", "tbody", "tr", "th", "td", "p"}
    assert "<script" not in text
    assert tags(text).count("tr") == MAX_HTML_ROWS + 1
    assert "and 1,000 more" in text
    assert len(text.encode()) < 100_000
