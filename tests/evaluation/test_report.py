from __future__ import annotations

import base64
import io
import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from tests.html_pages import Page, decode_uri

import kalamos.evaluation.report as report_module
from kalamos._version import __version__
from kalamos.datasets import Dataset, Split
from kalamos.errors import DatasetError, OutputError
from kalamos.evaluation.evaluate import EvalTarget, Evaluation, evaluate_split
from kalamos.evaluation.report import as_metric, evaluation_page, metrics, print_evaluation, write_report
from kalamos.evaluation.reporting import report_json
from kalamos.model_file import OperatingPoint, SelectiveAccuracy
from kalamos.recognizer import Recognizer


def printed(measured: Evaluation, subject: EvalTarget, top_k: int = 5, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    print_evaluation(console, measured, subject, top_k=top_k)
    return console.file.getvalue().splitlines()


def test_the_figures_come_first(measured: Evaluation, subject: EvalTarget) -> None:
    rows = printed(measured, subject)
    assert rows[0] == "tiny.onnx on mnist test, n = 60"
    assert rows[1].split()[:2] == ["accuracy", f"{measured.accuracy:.2%}"]
    assert [row.split()[0] for row in rows[2:7]] == ["top", "macro", "calibration", "surest", "could"]
    assert [row[:13] for row in rows[7:11]] == [f"  target {g:>2} %"[:13] for g in (95, 99, 99.5, 99.9)]
    assert rows[11] == "  unread        1 (no ink), counted as wrong"
    assert any(row.startswith("worst classes") for row in rows)
    assert any(row.startswith("confused") for row in rows)
    assert len(rows) < 35


def test_without_mistakes_there_are_no_tables(measured: Evaluation, subject: EvalTarget, answering) -> None:
    rows = printed(answering(measured, measured.truth), subject)
    assert len(rows) == 7


def test_nothing_read(measured: Evaluation, subject: EvalTarget) -> None:
    rows = printed(replace(measured, probabilities=np.zeros_like(measured.probabilities)), subject)
    assert not any("nan" in row for row in rows)
    assert not any(row.startswith("confused") for row in rows)


def test_labels_are_no_markup_and_a_narrow_terminal_cuts_no_figure(measured: Evaluation) -> None:
    named = replace(measured, labels=("[red]", "[/]", *"ABCDEFGa"))
    rows = printed(named, EvalTarget("[b]m", "d", "all"), width=30)
    assert rows[0] == "[b]m on d, all images, n = 60"
    assert any(row.lstrip().startswith("case folded") for row in rows)
    assert any("[red]" in row for row in printed(named, EvalTarget("m", "d", "all")))


def test_one_candidate_has_no_line_of_ranks(measured: Evaluation, subject: EvalTarget) -> None:
    assert not any(row.startswith("  top") for row in printed(measured, subject, top_k=1))


def test_a_target_says_what_is_answered_and_right(measured: Evaluation, subject: EvalTarget) -> None:
    table = SelectiveAccuracy(9, (OperatingPoint(0.8, 0.0, 1.0), OperatingPoint(0.97, 0.9, 0.5)))
    sure = replace(measured, validated=table)
    rows = [row for row in printed(sure, subject) if "target" in row]
    right = int((sure.correct & (sure.confidence >= 0.9)).sum())
    answered = int((sure.confidence >= 0.9).sum())
    assert 0 < answered < 60
    assert len(rows) == 1
    assert rows[0].startswith(
        f"  target 95 %   {answered / 60:.2%} answered   {right / answered:.2%} of them"
    )
    assert rows[0].endswith("confidence from 0.9000")


def test_a_charset_is_told_with_what_it_took(measured: Evaluation, subject: EvalTarget) -> None:
    removed = np.full(measured.n, 0.25, np.float32)
    rows = printed(replace(measured, charset="digits", removed=removed), subject)
    assert rows[0] == "tiny.onnx on mnist test, charset 'digits', n = 60"
    assert "  left out      25.00% of the probability, by the charset" in rows


def test_labels_counted_as_one_have_intervals(measured: Evaluation, subject: EvalTarget) -> None:
    named = replace(measured, labels=("0", "O", "a", "A", *"BCDEFG"))
    rows = [row for row in printed(named, subject) if "counted as one label" in row]
    assert [row.split()[0] for row in rows] == ["case", "look-alikes", "both"]
    assert all("95 % interval [" in row for row in rows)


@pytest.fixture
def render(reader: Recognizer, spoilt: Split):
    def page(measured: Evaluation, subject: EvalTarget, split: Split = spoilt, plots=None) -> str:
        figures = metrics(measured, subject, reader)
        return evaluation_page(measured, split, reader, subject, figures, plots or {})

    return page


def test_the_page_holds_everything_itself(render, measured: Evaluation, subject: EvalTarget) -> None:
    png = base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
    )
    plots = dict.fromkeys(("confusion", "reliability", "risk_coverage"), png)
    page = Page(render(measured, subject, plots=plots))
    sources = page.values("src", "srcset", "href")
    assert len(sources) > 40
    for source in sources:
        assert source.startswith("data:image/png;base64,")
        decode_uri(source)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert all(page.values("alt"))
    policy = next(value for value in page.values("content") if "default-src" in value)
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_the_page_says_the_figures(render, measured: Evaluation, subject: EvalTarget) -> None:
    words = Page(render(measured, subject)).words
    for told in (f"{measured.accuracy:.2%}", f"{measured.ece:.2%}", measured.sha256, "Unread", "#30"):
        assert told in words


def test_everything_is_escaped(render, measured: Evaluation) -> None:
    nasty = '<script>alert("1")</script>&amp;\'"'
    labels = tuple(f"{nasty}{i}" for i in range(10))
    page = Page(render(replace(measured, labels=labels), EvalTarget(nasty, nasty, nasty)))
    assert "script" not in page.tags
    assert f"{nasty}3" in page.words
    assert f"{nasty} on {nasty}" in page.words


def test_labels_keep_their_place_in_a_line(render, measured: Evaluation, subject: EvalTarget) -> None:
    arabic = replace(measured, labels=tuple("ابتثجحخدذر"))
    text = render(arabic, subject)
    outside = re.sub(r"<bdi[^>]*>.*?</bdi>|<[^>]*>", "", text)
    assert re.findall("[\u0600-\u06ff]", outside) == []


def test_photographs_are_made_small(render, measured: Evaluation, subject: EvalTarget) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 600, 400), np.uint8)
    assert len(render(measured, subject, Split(noise, measured.truth))) < 3_000_000


def test_nothing_read_and_nothing_wrong(render, measured: Evaluation, subject: EvalTarget, answering) -> None:
    blank = replace(measured, probabilities=np.zeros_like(measured.probabilities))
    assert "Read correctly" not in Page(render(blank, subject)).words
    words = Page(render(answering(measured, measured.truth), subject)).words
    assert "Most confident mistakes" not in words
    assert "Most confused" not in words


PLOTS = {"confusion.png", "reliability.png", "risk_coverage.png"}
ALWAYS = {"metrics.json", "report.html"}


def strict_json(text: str) -> Any:
    def refuse(constant: str) -> NoReturn:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_the_files_of_a_report(
    reader: Recognizer, spoilt: Split, measured: Evaluation, subject: EvalTarget, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra 'train'")
    folder = tmp_path / "reports" / "tiny"
    written = write_report(folder, measured, spoilt, reader, subject)
    assert {path.name for path in folder.iterdir()} == set(written) == ALWAYS | PLOTS
    for path in folder.glob("*.png"):
        assert cv2.imread(str(path)) is not None
    assert strict_json((folder / "metrics.json").read_text("utf-8")) == metrics(measured, subject, reader)


def test_without_matplotlib_the_rest_is_written(
    reader: Recognizer,
    spoilt: Split,
    measured: Evaluation,
    subject: EvalTarget,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(report_module, "find_spec", lambda name: None)
    assert set(write_report(tmp_path, measured, spoilt, reader, subject)) == ALWAYS
    assert "Most confused pairs" in (tmp_path / "report.html").read_text("utf-8")


def test_the_figures(reader: Recognizer, measured: Evaluation, spoilt: Split, subject: EvalTarget) -> None:
    figures = metrics(measured, subject, reader)
    documented = report_module.__doc__ or ""
    assert [key for key in figures if key not in documented] == []
    assert (figures["n"], figures["unread"], figures["passed_over"]) == (60, 1, 0)
    assert (figures["model"], figures["dataset"], figures["split"]) == ("tiny.onnx", "mnist", "test")
    assert figures["accuracy"] == measured.accuracy == figures["top_k"]["1"]
    assert figures["interval_95"] == list(measured.interval)
    assert list(figures["top_k"]) == ["1", "2", "3", "4", "5"]
    assert figures["macro"]["f1"] == measured.classes.macro()[2]
    assert sum(map(sum, figures["confusion"])) == 59
    assert sum(row["support"] for row in figures["per_class"]) == 60
    assert sum(row["count"] for row in figures["reliability"]) == 59
    assert [row["coverage"] for row in figures["selective"]] == [0.8, 0.9, 0.95, 0.99]
    assert figures["risk_coverage"][-1] == [1.0, pytest.approx(1 - measured.accuracy)]
    assert len(figures["risk_coverage"]) == 100
    assert figures["sha256"] == spoilt.sha256
    assert figures["most_confused"][0]["count"] >= 1
    assert figures["case_folded_accuracy"] is None


def test_top_k_ends_at_the_number_of_classes(
    reader: Recognizer, measured: Evaluation, subject: EvalTarget
) -> None:
    assert len(metrics(measured, subject, reader, top_k=99)["top_k"]) == 10
    assert len(metrics(measured, subject, reader, top_k=1)["top_k"]) == 1


def test_a_class_without_images_is_null(reader: Recognizer, digits: Dataset, subject: EvalTarget) -> None:
    ones = digits.test.take(np.flatnonzero(digits.test.labels == 1))
    measured = evaluate_split(reader, ones, digits.alphabet.labels)
    figures = strict_json(report_json(metrics(measured, subject, reader)))
    recalls = {row["label"]: row["recall"] for row in figures["per_class"]}
    assert list(recalls) == list(digits.alphabet.labels)
    assert [label for label, recall in recalls.items() if recall is not None] == ["1"]


def test_nothing_read_is_null_and_never_nan(
    reader: Recognizer, measured: Evaluation, subject: EvalTarget
) -> None:
    blank = replace(measured, probabilities=np.zeros_like(measured.probabilities))
    figures = strict_json(report_json(metrics(blank, subject, reader)))
    assert (figures["accuracy"], figures["unread"], figures["ece"], figures["nll"]) == (0, 60, None, None)


def test_labels_are_written_as_they_are(
    reader: Recognizer, measured: Evaluation, subject: EvalTarget
) -> None:
    arabic = replace(measured, labels=tuple("ابتثجحخدذر"))
    figures = metrics(arabic, subject, reader)
    assert '"ب"' in report_json(figures)
    assert figures["confusable_groups"] == [["ب", "ت", "ث"], ["ج", "ح", "خ"], ["د", "ذ"]]
    assert figures["confusables_merged_accuracy"] > arabic.accuracy


value = st.none() | st.integers() | st.text(max_size=5) | st.floats(allow_nan=False, allow_infinity=False)
row = st.lists(value, max_size=3) | st.dictionaries(st.text(max_size=3), value, max_size=3)


@given(st.dictionaries(st.text(max_size=5), value | row | st.lists(row, max_size=3), max_size=4))
def test_json_reads_back(figures: dict[str, Any]) -> None:
    assert strict_json(report_json(figures)) == figures


def test_a_report_is_replaced_by_the_next(
    reader: Recognizer,
    digits: Dataset,
    spoilt: Split,
    measured: Evaluation,
    subject: EvalTarget,
    tmp_path: Path,
) -> None:
    write_report(tmp_path, measured, spoilt, reader, subject)
    better = evaluate_split(reader, digits.test, digits.alphabet.labels)
    write_report(tmp_path, better, digits.test, reader, subject)
    assert strict_json((tmp_path / "metrics.json").read_text())["accuracy"] == better.accuracy
    assert f"{better.accuracy:.2%}" in (tmp_path / "report.html").read_text("utf-8")


def test_a_folder_that_cannot_be_made_is_an_output_error(
    reader: Recognizer, spoilt: Split, measured: Evaluation, subject: EvalTarget, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        write_report(tmp_path / "taken", measured, spoilt, reader, subject)


def test_the_metric_for_the_model_file(measured: Evaluation) -> None:
    metric = as_metric(measured, "mnist", "test")
    assert (metric.dataset, metric.split, metric.n) == ("mnist", "test", 60)
    assert (metric.accuracy, metric.interval) == (measured.accuracy, measured.interval)
    assert metric.ece == measured.ece
    assert metric.sha256 == measured.sha256
    assert metric.kalamos_version == __version__
    assert not math.isnan(metric.ece)


def test_blank_images_alone_are_no_metric(measured: Evaluation) -> None:
    blank = replace(measured, probabilities=np.zeros_like(measured.probabilities))
    with pytest.raises(DatasetError, match="none of the 60 images of mnist test has any ink"):
        as_metric(blank, "mnist", "test")


def test_all_images_are_said_in_words() -> None:
    assert str(EvalTarget("m", "d", "all")) == "m on d, all images"
    assert str(EvalTarget("m", "d", "val of runs/x")) == "m on d val of runs/x"
