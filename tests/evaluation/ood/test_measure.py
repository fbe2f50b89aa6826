from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console
from tests.html_pages import Page

from kalamos.datasets import Dataset, Split
from kalamos.errors import DatasetError, UsageError
from kalamos.evaluation.evaluate import EvalTarget
from kalamos.evaluation.ood import OutlierReport, measure
from kalamos.evaluation.ood.measure import (
    auroc,
    auroc_interval,
    false_positive_rate,
    ood_page,
    outliers_json,
    print_outliers,
    write_outlier_report,
)
from kalamos.recognizer import Recognizer

if not find_spec("sklearn"):  # not imported here: each worker would
    pytest.skip("needs the extra 'train'", allow_module_level=True)


SUBJECT = EvalTarget("digits", "mnist", "test")


@pytest.fixture(scope="module")
def report(reader: Recognizer, digits: Dataset) -> OutlierReport:
    return measure(reader, digits.test, ["scribbles", "paper", "scribbles"], 60, seed=5)


def test_figures_of_each_set(report: OutlierReport, digits: Dataset) -> None:
    assert [each.name for each in report.sets] == ["scribbles", "paper"]
    assert (report.known, report.sha256, report.skipped) == (60, digits.test.sha256, ())
    for each in report.sets:
        assert each.n == 60
        assert 0 <= each.interval[0] <= each.auroc <= each.interval[1] <= 1
        assert sum(count for _, count in each.read_as) + each.no_ink == 60
        assert len(each.surest) == min(16, 60 - each.no_ink)
        sure = [mistake.confidence for mistake in each.surest]
        assert sure == sorted(sure, reverse=True)
    scribbles, paper = report.sets
    assert scribbles.auroc > 0.5
    assert paper.no_ink > 10
    assert report.mean_auroc == pytest.approx((scribbles.auroc + paper.auroc) / 2)


def test_what_the_model_saw_is_shown(report: OutlierReport, reader: Recognizer) -> None:
    mistake = report.sets[0].surest[0]
    assert np.array_equal(mistake.seen, reader.prepare(mistake.image))
    assert reader.predict(mistake.image).label == mistake.label


def test_a_blank_image_is_rejected_with_a_confidence_of_0(reader: Recognizer, tmp_path: Path) -> None:
    for label in "AR":
        (tmp_path / label).mkdir()
        for row in range(25):
            cv2.imwrite(str(tmp_path / label / f"{row}.png"), np.full((40, 40), 200, np.uint8))
    known = Split(np.zeros((2, 28, 28), np.uint8), np.zeros(2, np.int64))
    name = f"script:{tmp_path}"
    [each] = measure(reader, known, [name], confidence=np.array([0.9, 0.8])).sets
    assert (each.n, each.no_ink, each.auroc, each.rejected, each.surest) == (10, 10, 1.0, 1.0, ())
    [blank] = measure(reader, known, [name]).sets  # both known images are blank too
    assert (blank.auroc, blank.fpr_at_95_tpr) == (0.5, 1.0)


def test_confidences_that_are_given_are_used(reader: Recognizer, digits: Dataset) -> None:
    def area(confidence: float) -> float:
        given = np.full(len(digits.test), confidence)
        return measure(reader, digits.test, ["shapes"], 30, confidence=given).sets[0].auroc

    assert (area(0.0), area(1.0)) == (0.0, 1.0)


def test_the_same_seed_gives_the_same_figures(
    report: OutlierReport, reader: Recognizer, digits: Dataset
) -> None:
    again = measure(reader, digits.test, ["paper"], 60, seed=5)
    other = measure(reader, digits.test, ["paper"], 60, seed=6)
    assert again.sets[0].read_as == report.sets[1].read_as
    assert again.sets[0].auroc == report.sets[1].auroc
    assert other.sets[0].read_as != report.sets[1].read_as


def test_absent_sets_are_told_and_unknown_ones_refused(
    reader: Recognizer, digits: Dataset, tmp_path: Path
) -> None:
    found = measure(reader, digits.test, ["shapes", "script:ahcd"], 5, data_dir=tmp_path)
    assert [each.name for each in found.sets] == ["shapes"]
    assert found.skipped[0].name == "script:ahcd"
    assert "ahcd: there is no" in found.skipped[0].reason
    with pytest.raises(DatasetError, match=r"no set of outliers to measure with \(ahcd: there is no"):
        measure(reader, digits.test, ["script:ahcd"], 5, data_dir=tmp_path)
    with pytest.raises(UsageError, match="did you mean 'shapes'"):
        measure(reader, digits.test, ["shape"], 5)
    with pytest.raises(UsageError, match="n = 0 leaves no outlier"):
        measure(reader, digits.test, ["shapes"], 0)
    with pytest.raises(DatasetError, match="the split is empty"):
        measure(reader, digits.test.take(np.arange(0)), ["shapes"], 5)


def test_lookalikes_are_measured_apart(reader: Recognizer, digits: Dataset, tmp_path: Path) -> None:
    for label in "ARO":
        (tmp_path / label).mkdir()
        for row in range(25):
            page = np.full((40, 40), 255, np.uint8)
            cv2.circle(page, (20, 20), 8 + row % 5, 0, 2)
            if label != "O":
                cv2.line(page, (2, 2 + row), (38, 38 - row), 0, 2)
            cv2.imwrite(str(tmp_path / label / f"{row}.png"), page)
    told: list[int] = []
    name = f"script:{tmp_path}"
    found = measure(reader, digits.test, [name, "scribbles"], 20, on_progress=told.append)
    assert [each.name for each in found.sets] == [name, "scribbles"]
    [alike] = found.lookalikes
    assert (alike.name, alike.note, alike.n) == (f"{name} look-alikes", "1 class: O", 5)
    assert alike.auroc < found.sets[0].auroc
    assert found.mean_auroc == pytest.approx(np.mean([each.auroc for each in found.sets]))
    assert [record.name for record in found.records("2026-03-31")] == [name, "scribbles"]
    assert told[-1] == 60 + 10 + 20 + 5
    figures = json.loads(outliers_json(found, SUBJECT))
    assert [each["name"] for each in figures["lookalikes"]] == [alike.name]
    assert alike.name not in {each["name"] for each in figures["sets"]}
    console = Console(file=StringIO(), width=200)
    print_outliers(console, found, SUBJECT)
    printed = console.file.getvalue()
    assert printed.index("mean AUROC") < printed.index(alike.name)
    page = Page(ood_page(found, SUBJECT)).words
    assert page.index("Look-alikes") < page.index(alike.name)


def test_progress_ends_with_all_images(reader: Recognizer, digits: Dataset) -> None:
    told: list[int] = []
    measure(reader, digits.test, ["shapes", "textures"], 20, on_progress=told.append)
    assert told == [60, 80, 100]


def test_records_for_the_model_file(report: OutlierReport) -> None:
    scribbles, paper = report.records("2026-03-31")
    assert (scribbles.kind, scribbles.name, scribbles.n) == ("outliers", "scribbles", 60)
    assert paper.value == report.sets[1].auroc


def test_json(report: OutlierReport) -> None:
    figures = json.loads(outliers_json(report, SUBJECT))
    assert (figures["model"], figures["dataset"], figures["known"], figures["seed"]) == (
        "digits",
        "mnist",
        60,
        5,
    )
    assert [each["name"] for each in figures["sets"]] == ["scribbles", "paper"]
    first = figures["sets"][0]
    assert first["auroc"] == report.sets[0].auroc
    assert sum(first["read_as"].values()) + first["no_ink"] == first["n"]
    assert figures["skipped"] == []


def test_the_report_is_written_whole(report: OutlierReport, tmp_path: Path) -> None:
    names = write_outlier_report(tmp_path / "new" / "report", report, SUBJECT)
    assert sorted(path.name for path in (tmp_path / "new" / "report").iterdir()) == sorted(names)
    page = Page((tmp_path / "new" / "report" / "outliers.html").read_text("utf-8"))
    assert len(page.values("src")) == 2 * sum(len(each.surest) for each in report.sets)
    assert all(source.startswith("data:image/") for source in page.values("src"))
    for figure in (f"{report.sets[0].auroc:.4f}", f"{report.mean_auroc:.4f}", "FPR95"):
        assert figure in page.words
    assert json.loads((tmp_path / "new" / "report" / "outliers.json").read_text("utf-8"))["sets"]


def test_names_on_the_page_are_escaped(report: OutlierReport) -> None:
    nasty = replace(report.sets[0], name="script:<script>", note="ب <b>")
    page = ood_page(replace(report, sets=(nasty,)), EvalTarget("<i>", "<u>", "test"))
    assert not {"script", "i", "u"} & set(Page(page).tags)
    assert "<bdi>ب &lt;b&gt;</bdi>" in page


def test_the_table_fits_a_terminal(report: OutlierReport) -> None:
    stream = StringIO()
    print_outliers(Console(file=stream, width=80, highlight=False), report, SUBJECT)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "digits on mnist test, known n = 60"
    [row] = [line for line in lines if line.startswith("scribbles")]
    assert f"{report.sets[0].auroc:.4f}" in row
    assert row.endswith("%")


def test_auroc_counts_ties_half() -> None:
    generator = np.random.default_rng(0)
    known, outliers = generator.integers(2, 8, 40) / 10, generator.integers(0, 6, 30) / 10
    pairs = known[:, np.newaxis] - outliers
    assert auroc(known, outliers) == pytest.approx((pairs > 0).mean() + (pairs == 0).mean() / 2)


def test_the_interval_is_delongs_away_from_the_ends() -> None:
    """Against the variance by definition, and Wald's interval, which Wilson's is near."""
    generator = np.random.default_rng(1)
    known, outliers = generator.normal(1.2, 1, 900), generator.normal(0, 1, 700)
    wins = (known[:, np.newaxis] > outliers).astype(float)
    spread = 1.96 * np.sqrt(wins.mean(axis=1).var(ddof=1) / 900 + wins.mean(axis=0).var(ddof=1) / 700)
    low, high = auroc_interval(known, outliers)
    assert (low, high) == pytest.approx((wins.mean() - spread, wins.mean() + spread), abs=2e-3)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(2)
    covered = []
    for _ in range(100):
        # One outlier in fifty is taken for the surest of all: the true AUROC is 0.98.
        outliers = np.where(generator.random(150) < 0.02, 2.0, 0.0)
        low, high = auroc_interval(generator.random(400) + 0.5, outliers)
        covered.append(low <= 0.98 <= high)
    assert 0.9 <= np.mean(covered) <= 1.0


def test_without_a_mistake_the_interval_still_has_a_width() -> None:
    low, high = auroc_interval(np.ones(10_000), np.zeros(200))
    assert (round(low, 3), high) == (0.981, 1.0)


def test_one_outlier() -> None:
    low, high = auroc_interval(np.array([0.9, 0.8, 0.2]), np.array([0.5]))
    assert 0 < low < 2 / 3 < high < 1


def test_all_alike() -> None:
    assert auroc(np.ones(5), np.ones(7)) == 0.5
    assert false_positive_rate(np.ones(5), np.ones(7)) == 1.0


def test_false_positive_rate() -> None:
    known = np.arange(20)  # 19 of them pass a threshold of 1
    assert false_positive_rate(known, np.array([0.0, 0.9, 1.0, 30.0])) == 0.5
    assert false_positive_rate(known, np.array([0.0]), true_positive_rate=1.0) == 1.0
