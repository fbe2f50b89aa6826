from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kalamos.evaluation.report as report_module
from kalamos._version import __version__
from kalamos.datasets import Dataset, Split
from kalamos.errors import DatasetError, OutputError
from kalamos.evaluation.evaluate import EvalTarget, Evaluation, evaluate
from kalamos.evaluation.html import report_json
from kalamos.evaluation.report import as_metric, metrics, write_report
from kalamos.recognizer import Recognizer

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
    measured = evaluate(reader, ones, digits.alphabet.labels)
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
    better = evaluate(reader, digits.test, digits.alphabet.labels)
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
