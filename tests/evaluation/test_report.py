from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import cv2
import numpy as np
import pytest

from kalamos._version import __version__
from kalamos.datasets import Dataset, Split
from kalamos.errors import OutputError
from kalamos.evaluation.evaluate import Evaluation, evaluate
from kalamos.evaluation.pictures import encode_png, mistakes_sheet
from kalamos.evaluation.report import as_metric, metrics, write_report
from kalamos.recognizer import Recognizer


@pytest.fixture
def measured(reader: Recognizer, digits: Dataset) -> Evaluation:
    """Measured on a split of which ten labels are wrong and one image is blank."""
    return evaluate(reader, spoilt(digits), digits.alphabet.labels)


def spoilt(digits: Dataset) -> Split:
    images, labels = digits.test.images.copy(), digits.test.labels.copy()
    labels[:10] = (labels[:10] + 1) % 10
    images[30] = 0
    return Split(images, labels)


def strict_json(text: str) -> Any:
    def refuse(constant: str) -> NoReturn:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_the_files_of_a_report(
    reader: Recognizer, digits: Dataset, measured: Evaluation, tmp_path: Path
) -> None:
    folder = tmp_path / "reports" / "tiny"
    write_report(folder, measured, spoilt(digits), reader)
    assert {path.name for path in folder.iterdir()} == {"metrics.json", "mistakes.png"}
    figures = strict_json((folder / "metrics.json").read_text(encoding="utf-8"))
    assert figures == metrics(measured)
    assert figures["n"] == 60
    assert figures["unread"] == 1
    assert figures["accuracy"] == measured.accuracy
    assert figures["interval_95"] == list(measured.interval)
    assert sum(map(sum, figures["confusion"])) == 59
    assert figures["sha256"] == spoilt(digits).sha256
    assert figures["most_confused"][0]["count"] >= 1
    sheet = cv2.imread(str(folder / "mistakes.png"), cv2.IMREAD_UNCHANGED)
    assert sheet is not None
    assert np.array_equal(sheet, mistakes_sheet(measured, spoilt(digits), reader))


def test_a_report_is_replaced_by_the_next(
    reader: Recognizer, digits: Dataset, measured: Evaluation, tmp_path: Path
) -> None:
    write_report(tmp_path, measured, spoilt(digits), reader)
    better = evaluate(reader, digits.test, digits.alphabet.labels)
    write_report(tmp_path, better, digits.test, reader)
    assert strict_json((tmp_path / "metrics.json").read_text())["accuracy"] == better.accuracy


def test_a_class_without_images_is_null(reader: Recognizer, digits: Dataset, tmp_path: Path) -> None:
    ones = digits.test.take(np.flatnonzero(digits.test.labels == 1))
    write_report(tmp_path, evaluate(reader, ones, digits.alphabet.labels), ones, reader)
    shares = strict_json((tmp_path / "metrics.json").read_text())["per_class_accuracy"]
    assert list(shares) == list(digits.alphabet.labels)
    assert [label for label, share in shares.items() if share is not None] == ["1"]


def test_labels_are_written_as_they_are(measured: Evaluation) -> None:
    arabic = replace(measured, labels=tuple("ابتثجحخدذر"))
    assert "ب" in json.dumps(metrics(arabic), ensure_ascii=False)
    assert list(metrics(arabic)["per_class_accuracy"]) == list(arabic.labels)


def test_a_folder_that_cannot_be_made_is_an_output_error(
    reader: Recognizer, digits: Dataset, measured: Evaluation, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        write_report(tmp_path / "taken", measured, spoilt(digits), reader)


def test_the_metric_for_the_model_file(measured: Evaluation) -> None:
    metric = as_metric(measured, "mnist", "test")
    assert (metric.dataset, metric.split, metric.n) == ("mnist", "test", 60)
    assert (metric.accuracy, metric.interval, metric.ece) == (
        measured.accuracy,
        measured.interval,
        measured.ece,
    )
    assert metric.sha256 == measured.sha256
    assert metric.kalamos_version == __version__
    assert not math.isnan(metric.ece)


# --- the picture ---------------------------------------------------------------------------------


def height_of(rows: int, reader: Recognizer, digits: Dataset, measured: Evaluation) -> int:
    wrong = replace(
        measured, predicted=np.where(np.arange(60) < rows, (measured.truth + 1) % 10, measured.truth)
    )
    return len(mistakes_sheet(wrong, spoilt(digits), reader))


def test_the_sheet_grows_by_rows(reader: Recognizer, digits: Dataset, measured: Evaluation) -> None:
    heights = [height_of(count, reader, digits, measured) for count in (1, 8, 9, 16, 17)]
    assert heights[0] == heights[1] < heights[2] == heights[3] < heights[4]


def test_the_sheet_shows_64_mistakes_at_most(reader: Recognizer, digits: Dataset) -> None:
    split = digits.train.take(np.arange(200))
    measured = evaluate(reader, split, digits.alphabet.labels)
    all_wrong = replace(measured, truth=(measured.predicted + 1) % 10)
    first = replace(all_wrong, confidence=np.where(np.arange(200) < 64, 1.0, 0.5))
    others_right = replace(first, truth=np.where(np.arange(200) < 64, first.truth, first.predicted))
    assert np.array_equal(mistakes_sheet(first, split, reader), mistakes_sheet(others_right, split, reader))


def test_the_surest_mistakes_come_first(reader: Recognizer, digits: Dataset, measured: Evaluation) -> None:
    split = spoilt(digits)
    wrong = np.flatnonzero(~measured.correct)
    surest = wrong[np.argmax(measured.confidence[wrong])]
    alone = replace(measured, truth=np.where(np.arange(60) == surest, measured.truth, measured.predicted))
    whole, single = mistakes_sheet(measured, split, reader), mistakes_sheet(alone, split, reader)
    height, width = single.shape
    assert np.array_equal(whole[: height - 2, : width - 2], single[: height - 2, : width - 2])


def test_without_mistakes_there_is_still_a_picture(
    reader: Recognizer, digits: Dataset, measured: Evaluation
) -> None:
    sheet = mistakes_sheet(replace(measured, predicted=measured.truth), digits.test, reader)
    assert sheet.min() == sheet.max() == 255


def test_png_holds_the_pixels() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 30), np.uint8)
    decoded = cv2.imdecode(np.frombuffer(encode_png(image), np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(decoded, image)
