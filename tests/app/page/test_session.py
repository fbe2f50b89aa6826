from __future__ import annotations

import copy
import csv
import io
import json
import logging
import os
import shutil
from pathlib import Path

import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalamos import load
from kalamos.app.batching import ModelRegistry
from kalamos.app.page.folder_tab import ROWS_PER_PAGE, export, pages, table_html
from kalamos.app.page.session import (
    CONFIDENCE_BINS,
    MAX_TAUGHT_MODELS,
    Review,
    Row,
    SavedExample,
    Session,
    Sheet,
    TaughtModelRegistry,
    checked_label,
)
from kalamos.errors import AlphabetError, CorruptImageError, ModelNotFoundError, NoInkError, UsageError
from kalamos.predictions import Candidate, Prediction
from kalamos.zoo import model_path


def _review(*confidences: float) -> Review:
    rows = [
        Row(at, Prediction("7", sure, (Candidate("7", sure),)), "", None)
        for at, sure in enumerate(confidences)
    ]
    return Review(Sheet("digits", ("1", "7"), rows))


def _kept(label: str = "1") -> SavedExample:
    return SavedExample("digits", label, Path(f"{label}.png"))


def test_three_settled_one_undone() -> None:
    review = _review(0.9, 0.2, 0.5, 0.7)
    for label in ("1", "7", "2"):
        review.settle(label, _kept(label))
    assert review.sheet.checked == {1: "1", 2: "7", 3: "2"}
    assert review.undo() == _kept("2")
    assert review.current is not None
    assert review.current.index == 3
    assert review.sheet.checked == {1: "1", 2: "7"}
    assert review.settled == 2


def test_undo_goes_back_over_what_was_skipped() -> None:
    review = _review(0.1, 0.2, 0.3)
    review.settle("1", _kept())
    review.skip()
    review.skip()
    assert review.current is None
    assert review.undo() == _kept()
    assert review.current is not None
    assert review.current.index == 0
    assert review.undo() is None


def test_at_the_end_there_is_nothing_to_settle() -> None:
    review = _review()
    assert review.current is None
    review.skip()
    with pytest.raises(UsageError):
        review.settle("1", _kept())


@given(st.lists(st.sampled_from(["settle", "skip", "undo"]), max_size=30))
def test_whatever_is_pressed_checked_and_settled_agree(presses: list[str]) -> None:
    review = _review(0.5, 0.4, 0.3)
    for press in presses:
        if press == "settle" and review.current is not None:
            review.settle("1", _kept())
        elif press != "settle":
            getattr(review, press)()
        assert review.settled == len(review.sheet.checked)
        assert 0 <= review.position <= 3


def test_labels_as_people_type_them() -> None:
    assert checked_label("  e\u0301 ") == "é"
    assert checked_label("") == ""
    for wrong in ("a" * 100, "a\x07b", "  ", "\u3000"):
        with pytest.raises(AlphabetError):
            checked_label(wrong)


def test_two_visits_share_nothing() -> None:
    # Gradio copies the first value of a state for each visit.
    first = Session()
    mine, yours = copy.deepcopy(first), copy.deepcopy(first)
    assert mine.folder("sheet") != yours.folder("sheet")
    mine.own_models["mine"] = load("digits")
    assert yours.own_models == {}
    mine.close()
    yours.close()


def test_closing_takes_the_images_away_and_forgets_them() -> None:
    visit = Session()
    image = visit.folder("kept") / "a"
    image.write_bytes(b"a")
    visit.kept.append(SavedExample("digits", "7", image))
    visit.source = b"a"
    root = image.parent.parent
    visit.close()
    assert not root.exists()
    assert visit == Session()
    visit.close()


def test_a_new_folder_takes_the_place_of_the_last_and_leaves_what_was_kept() -> None:
    visit = Session()
    sheet, kept = visit.folder("sheet") / "a", visit.folder("kept") / "b"
    for path in (sheet, kept):
        path.write_bytes(b"a")
    visit.forget_sheet()
    assert not sheet.exists()
    assert kept.exists()
    visit.close()


def test_models_of_a_visit_come_after_the_shelfs_under_names_of_their_own() -> None:
    registry, visit, reader = ModelRegistry(["digits"]), Session(), load("digits")
    assert [visit.add_model(registry, name, reader) for name in ("digits", "x", "digits")] == [
        "digits-2",
        "x",
        "digits-3",
    ]
    assert visit.model_names(registry) == ["digits", "digits-2", "x", "digits-3"]
    assert visit.reader(registry, "x") is reader
    assert visit.reader(registry, "digits") is registry.get("digits")
    with pytest.raises(ModelNotFoundError):
        visit.reader(registry, "y")


def test_examples_go_with_the_model_that_they_began_with(tmp_path: Path) -> None:
    visit = Session()
    visit.taught_from = {"b": "a", "c": "b"}
    for model in ("a", "c", "z"):
        visit.kept.append(SavedExample(model, model, tmp_path))
    assert visit.origin("c") == "a"
    assert [kept.label for kept in visit.examples("b")] == ["a", "c"]
    assert [kept.label for kept in visit.examples("z")] == ["z"]


def _row(index: int, label: str | None, sure: float | None = None, **named: object) -> Row:
    top = () if sure is None else (Candidate(label or "7", sure),)
    return Row(index, Prediction(label, sure, top, f"{index}.png", **named), "", None)  # type: ignore[arg-type]


@pytest.fixture
def sheet() -> Sheet:
    return Sheet(
        "digits",
        ("1", "7"),
        [
            _row(0, "7", 0.9),
            _row(1, None, error=NoInkError("blank")),
            _row(2, "1", 1.0),
            _row(3, None, 0.4, abstained=True),
            _row(4, "7", 0.5),
        ],
    )


def test_the_least_sure_come_first_and_errors_before_them(sheet: Sheet) -> None:
    assert [row.index for row in sheet.view()] == [1, 3, 4, 0, 2]
    assert [row.index for row in sheet.view("Most sure first")] == [2, 0, 4, 3, 1]
    assert [row.index for row in sheet.view("By name")] == [0, 1, 2, 3, 4]


def test_filters(sheet: Sheet) -> None:
    assert [row.index for row in sheet.view(shown="Errors")] == [1]
    assert [row.index for row in sheet.view(shown="Not sure enough")] == [3]
    assert [row.index for row in sheet.view(label="7")] == [4, 0]
    sheet.checked[2] = "7"
    assert [row.index for row in sheet.view(shown="Checked")] == [2]
    assert [row.index for row in sheet.view(label="7")] == [4, 0, 2]
    with pytest.raises(UsageError, match="Error"):
        sheet.view(shown="Error")


def test_only_what_can_be_seen_is_to_be_checked(sheet: Sheet) -> None:
    assert [row.index for row in sheet.doubtful()] == [3, 4, 0, 2]


def test_counts_and_histogram(sheet: Sheet) -> None:
    assert sheet.counts() == {"7": 2, "1": 1}
    bins = sheet.histogram()
    assert len(bins) == CONFIDENCE_BINS
    assert sum(bins) == 4
    assert bins[4] == bins[5] == 1
    assert bins[9] == 2


def test_an_export_has_the_labels_that_people_gave_and_says_which(sheet: Sheet) -> None:
    before = export(sheet, "csv").decode().splitlines()
    assert before[0] == "path,label,confidence,abstained,error,top1,top1_confidence,top2,top2_confidence"
    assert before[4].startswith("3.png,,0.400000,true,")
    sheet.checked |= {0: "7", 3: "ط", 4: None}
    after = export(sheet, "csv").decode().splitlines()
    assert after[0] == f"{before[0]},checked"
    assert after[1] == f"{before[1]},yes"  # agreed to
    assert after[4].startswith("3.png,ط,0.400000,false,")
    assert [row["checked"] for row in csv.DictReader(after)] == ["yes", "no", "no", "yes", "yes"]
    assert after[5] == "4.png,,,false,not a character: a person looked at it,,,,,yes"
    assert [after[at] for at in (2, 3)] == [f"{before[at]},no" for at in (2, 3)]
    rows = json.loads(export(sheet, "json"))
    assert [row["checked"] for row in rows] == [True, False, False, True, True]
    assert [row["label"] for row in rows] == ["7", None, "1", "ط", None]
    table = pyarrow.parquet.read_table(io.BytesIO(export(sheet, "parquet")))
    assert table.column("checked").to_pylist() == [True, False, False, True, True]
    assert table.column("label").to_pylist() == ["7", None, "1", "ط", None]
    with pytest.raises(UsageError):
        export(sheet, "ods")


def test_a_column_more_goes_by_rows_however_many_lines_they_have(sheet: Sheet) -> None:
    sheet.rows[0] = Row(0, Prediction("7", 0.9, path='a\n"b",c\r.png'), "", None)
    sheet.checked[0] = "1"
    rows = list(csv.DictReader(io.StringIO(export(sheet, "csv").decode(), newline="")))
    assert len(rows) == 5
    assert (rows[0]["label"], rows[0]["checked"]) == ("1", "yes")


def test_counts_filters_and_the_table_go_by_what_people_said(sheet: Sheet) -> None:
    sheet.checked |= {0: "1", 2: "1", 3: None}
    assert sheet.counts() == {"1": 2, "7": 1}
    assert sheet.corrected == 2
    assert [row.index for row in sheet.view(shown="Corrected")] == [3, 0]
    assert [row.index for row in sheet.view(label="1")] == [0, 2]
    shown = table_html(sheet, sheet.view("By name"))
    assert shown.count("corrected</span> <small>the model read <bdi>7</bdi>") == 2
    assert shown.count(">checked<") == 1
    assert shown.count(">not a character<") == 1


def test_the_table_shows_a_page_and_escapes_names(sheet: Sheet) -> None:
    evil = Row(5, Prediction("<b>", 0.3, (), "<script>\udce9.png", CorruptImageError("<i>")), "", None)
    shown = table_html(sheet, [*sheet.rows, evil])
    assert shown.count("<tr>") == 7
    assert "<script>" not in shown
    assert "<i>" not in shown
    assert "<b>" not in shown
    shown.encode()
    many = [sheet.rows[0]] * (ROWS_PER_PAGE + 1)
    assert pages(many) == 2
    assert table_html(sheet, many, 2).count("<tr>") == 2
    assert table_html(sheet, many, 99) == table_html(sheet, many, 2)
    assert pages([]) == 1
    assert "No image" in table_html(sheet, [])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "taught models"


@pytest.fixture
def registry(folder: Path) -> TaughtModelRegistry:
    return TaughtModelRegistry(ModelRegistry(["digits"]), folder)


def _put(folder: Path, name: str, model: str = "digits") -> Path:
    folder.mkdir(exist_ok=True)
    return Path(shutil.copyfile(model_path(model), folder / f"{name}.onnx"))


def test_the_folder_may_come_and_go(registry: TaughtModelRegistry, folder: Path) -> None:
    assert registry.names() == ("digits",)
    file = _put(folder, "mine", "arabic")
    assert registry.names() == ("digits", "mine")
    assert "mine" in registry
    assert registry.spec("mine").alphabet.labels[0] == "ا"
    reader = registry.get("mine")
    assert registry.get("mine") is reader
    file.unlink()
    assert registry.names() == ("digits",)
    with pytest.raises(ModelNotFoundError):
        registry.get("mine")
    with pytest.raises(ModelNotFoundError):
        registry.spec("mine")


def test_a_file_that_changed_is_opened_anew(registry: TaughtModelRegistry, folder: Path) -> None:
    _put(folder, "mine", "arabic")
    assert len(registry.get("mine").labels) == 28
    _put(folder, "mine", "digits")
    assert len(registry.get("mine").labels) == len(registry.spec("mine").alphabet.labels) == 10


def test_what_is_no_model_is_passed_over_and_logged_once(
    registry: TaughtModelRegistry, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _put(folder, "mine")
    (folder / "broken.onnx").write_bytes(b"no model")
    (folder / "folder.onnx").mkdir()
    (folder / "notes.txt").write_text("a", encoding="utf-8")
    with caplog.at_level(logging.WARNING, "kalamos.app"):
        for _ in range(3):
            assert registry.names() == ("digits", "mine")
    assert len(caplog.records) == 1
    with pytest.raises(ModelNotFoundError):
        registry.get("broken")


def test_a_shipped_name_stays_the_shipped_models(registry: TaughtModelRegistry, folder: Path) -> None:
    _put(folder, "digits", "arabic")
    assert registry.names() == ("digits",)
    assert len(registry.get("digits").labels) == 10


def test_only_the_newest_are_listed(registry: TaughtModelRegistry, folder: Path) -> None:
    first = _put(folder, "m0")
    for number in range(1, MAX_TAUGHT_MODELS + 1):
        os.link(_put(folder, "other") if number == 1 else folder / "m1.onnx", folder / f"m{number}.onnx")
        if number == 1:
            (folder / "other.onnx").unlink()
    os.utime(first, ns=(0, 0))
    names = registry.names()
    assert len(names) == MAX_TAUGHT_MODELS + 1
    assert "m0" not in names
