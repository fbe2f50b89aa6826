"""`kalamos evaluate`, `robustness` and `ood`: splits, formats, reports and exit statuses."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

import kalamos
from kalamos.datasets import Dataset
from kalamos.evaluation.robustness import CORRUPTIONS
from kalamos.zoo import model_path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def pages(here: Path, digits: Dataset) -> Path:
    """A folder of four classes, twelve images each, black on white."""
    for label in range(4):
        folder = here / "pages" / str(label)
        folder.mkdir(parents=True)
        for row in np.flatnonzero(digits.train.labels == label)[:12]:
            cv2.imwrite(str(folder / f"{row}.png"), 255 - digits.train.images[row])
    return here / "pages"


def test_a_folder_has_no_test_split_so_all_are_measured(command, pages: Path) -> None:
    outcome = command("evaluate", "digits", "pages")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.rows[0] == "digits on pages, all images, n = 48"
    assert outcome.rows[1].startswith("  accuracy ")
    assert command("evaluate", "digits", "pages", "--split", "all").rows[0] == outcome.rows[0]


def test_an_image_without_ink_is_told_and_is_exit_status_1(command, pages: Path) -> None:
    cv2.imwrite(str(pages / "2" / "blank.png"), np.full((28, 28), 255, np.uint8))
    outcome = command("evaluate", "digits", "pages")
    assert (outcome.code, outcome.err) == (1, "")
    assert "  unread        1 (no ink), counted as wrong" in outcome.rows


def test_files_passed_over_are_told_on_standard_error(command, pages: Path) -> None:
    (pages / "1" / "notes.png").write_text("no image")
    outcome = command("evaluate", "digits", "pages", "-f", "json")
    assert outcome.code == 0
    assert outcome.err.startswith("pages: skipped 1 file:\n")
    assert "notes.png" in outcome.err
    assert json.loads(outcome.out)["passed_over"] == 1


def test_json_is_what_the_report_holds(command, pages: Path) -> None:
    outcome = command("evaluate", "digits", "pages", "-f", "json", "--report", "out", "-k", "3")
    assert outcome.code == 0
    assert outcome.out == Path("out/metrics.json").read_bytes()
    figures = json.loads(outcome.out)
    assert (figures["n"], figures["split"], list(figures["top_k"])) == (48, "all", ["1", "2", "3"])
    assert "wrote out/report.html" in outcome.err
    assert "<title>digits on pages, all images" in Path("out/report.html").read_text("utf-8")


def test_the_official_parts(command, digits_folder: Path, here: Path) -> None:
    def first(*options: str) -> str:
        return command("evaluate", "digits", "mnist", "--data-dir", digits_folder, *options).rows[0]

    assert first() == first("--split", "test") == "digits on mnist test, n = 60"
    assert first("--split", "train") == "digits on mnist train, n = 300"
    assert first("--split", "all") == "digits on mnist, all images, n = 360"


def a_run(folder: Path, digits: Dataset) -> Path:
    files = pytest.importorskip("safetensors.numpy", reason="needs the extra 'train'")
    folder.mkdir()
    rows = {"train": np.arange(250), "val": np.arange(250, 300), "test": np.zeros(0, np.int64)}
    (folder / "split.safetensors").write_bytes(files.save(rows))
    (folder / "run.json").write_text(json.dumps({"data_sha256": digits.train.sha256}))
    return folder


@pytest.mark.parametrize("options", [["--split-of", "run"], ["--run", "run", "--part", "val"]], ids=" ".join)
def test_the_part_that_a_run_held_out(
    command, digits_folder: Path, digits: Dataset, here: Path, options: list[str]
) -> None:
    a_run(here / "run", digits)
    outcome = command("evaluate", "digits", "mnist", "--data-dir", digits_folder, *options)
    assert outcome.rows[0] == "digits on mnist val of run, n = 50"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["digits", "pages", "--split", "val"], "pages has no val split of its own; use --split all"),
        (["digits", "pages", "--split-of", "none"], "none: has no run.json"),
        (["digits", "pages", "--split-of", "run"], "run: was trained on other images than those of pages"),
        (["digits", "pages", "--split-of", "run", "--split", "all"], "leave one of the two out"),
        (["run", "pages"], "run: is a run, not a model; export it first: kalamos export run"),
        (["pages", "pages"], "pages: is a folder, not a model"),
        (["digits", "pages", "--report", "taken"], "taken: cannot be made"),
        (["digits", "pages", "-k", "0"], "0 is not in the range"),
        (["digits", "pages", "-f", "yaml"], "'yaml' is not one of"),
    ],
)
def test_wrong_usage(command, pages: Path, digits: Dataset, arguments: list[str], told: str) -> None:
    a_run(pages.parent / "run", digits)
    Path("taken").write_text("")
    outcome = command("evaluate", *arguments)
    assert (outcome.code, outcome.out) == (2, b"")
    assert told in outcome.err


def test_letters_are_not_for_a_model_of_digits(command, pages: Path) -> None:
    (pages / "3").rename(pages / "ب")
    outcome = command("evaluate", "digits", "pages")
    assert (outcome.code, outcome.out) == (2, b"")
    assert "the model 'digits' does not know ب" in outcome.err


def test_a_terminal_without_the_letters_gets_escapes(process, pages: Path) -> None:
    pages.rename("ورق")
    outcome = process("evaluate", "digits", "ورق", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.rows[0].startswith("digits on \\u")


def test_recording_keeps_which_part_it_was(command, pages: Path) -> None:
    for name in ("torch", "safetensors", "onnx", "onnxscript"):
        pytest.importorskip(name, reason="needs the extra 'train'")
    Path("mine.onnx").write_bytes(model_path("digits").read_bytes())
    assert command("evaluate", "mine.onnx", "pages", "--record").code == 0
    metric = kalamos.load("mine.onnx").spec.metrics[-1]
    assert (metric.dataset, metric.split, metric.n) == ("pages", "all", 48)


def test_a_charset_leaves_out_the_other_images_and_says_so(command, pages: Path) -> None:
    outcome = command("evaluate", "digits", "pages", "--charset", "1 3 7")
    assert outcome.code == 0
    assert outcome.err == "pages: left out 24 of 48 images, not in the charset\n"
    assert outcome.rows[0] == "digits on pages, all images, charset '1 3 7', n = 24"
    figures = json.loads(command("evaluate", "digits", "pages", "--charset", "1 3 7", "-f", "json").out)
    assert (figures["charset"], figures["left_out"], figures["n"]) == ("1 3 7", 24, 24)
    assert figures["labels"] == ["1", "3", "7"]
    assert 0 <= figures["mean_removed"] < 0.1
    whole = json.loads(command("evaluate", "digits", "pages", "-f", "json").out)
    assert (whole["charset"], whole["left_out"], whole["mean_removed"]) == (None, 0, None)


def test_a_report_under_a_charset_shows_its_images_alone(command, pages: Path, here: Path) -> None:
    outcome = command("evaluate", "digits", "pages", "--charset", "1", "--report", "out")
    assert outcome.code == 0
    assert json.loads((here / "out" / "metrics.json").read_text())["n"] == 12
    page = (here / "out" / "report.html").read_text(encoding="utf-8")
    assert "charset <bdi>1</bdi> (36 other images left out)" in page


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--charset", "upper"], "leaves nothing of alphabet 'digits'"),
        (["--charset", "7"], "none of the 48 images has a label of charset '7'"),
        (["--charset", "17", "--record"], "--record stores figures of the whole alphabet"),
    ],
)
def test_a_charset_that_cannot_be_measured_is_refused(
    command, pages: Path, options: list[str], problem: str
) -> None:
    outcome = command("evaluate", "digits", "pages", *options)
    assert (outcome.code, outcome.out) == (2, b"")
    assert problem in outcome.err


# -------------------------------------------------------------------------- kalamos robustness


@pytest.fixture
def few_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digits: Dataset) -> Path:
    """A folder of three classes, three images each, black on white."""
    monkeypatch.chdir(tmp_path)
    for label in range(3):
        folder = tmp_path / "pages" / str(label)
        folder.mkdir(parents=True)
        for row in np.flatnonzero(digits.train.labels == label)[:3]:
            cv2.imwrite(str(folder / f"{row}.png"), 255 - digits.train.images[row])
    return tmp_path / "pages"


def test_robustness_table_and_report(command, few_pages: Path) -> None:
    outcome = command("robustness", "digits", "pages", "--limit", "3", "--report", "out")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.rows[0].endswith("n = 3, seed 42")
    assert {row.split()[0] for row in outcome.rows if row.startswith("  ")} >= set(CORRUPTIONS)
    assert "wrote out/shift.html and " in outcome.rows[-1]
    stored = json.loads(Path("out/shift.json").read_text("utf-8"))
    assert (stored["n"], {cell["corruption"] for cell in stored["cells"]}) == (3, set(CORRUPTIONS))
    assert not Path("out/metrics.json").exists()


def test_robustness_json_and_blank_images_are_exit_status_1(command, few_pages: Path) -> None:
    cv2.imwrite(str(few_pages / "2" / "blank.png"), np.full((28, 28), 255, np.uint8))
    outcome = command("robustness", "digits", "pages", "--limit", "0", "--seed", "3", "-f", "json")
    assert outcome.code == 1
    stored = json.loads(outcome.out)
    assert (stored["n"], stored["seed"], stored["clean_no_ink"]) == (10, 3, 1)
    assert stored["no_ink"] >= 1


def test_evaluate_shift_is_robustness_with_a_warning(command, few_pages: Path) -> None:
    new = command("robustness", "digits", "pages", "--limit", "1", "--seed", "3", "-f", "json")
    old = command(
        *("evaluate", "digits", "pages", "--shift", "--shift-limit", "1", "--seed=3"),
        *("-f", "json", "--part=all"),
    )
    assert old.out == new.out
    assert old.err.splitlines() == [
        "kalamos: evaluate --shift is deprecated; use kalamos robustness",
        "kalamos: --shift-limit is deprecated; use --limit",
        "kalamos: --part is deprecated; use --split",
    ]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["evaluate", "--limit", "5"], "No such option '--limit'"),
        (["evaluate", "--shift", "--record"], "No such option '--record'"),
        (["robustness", "--charset", "digits"], "No such option '--charset'"),
        (["robustness", "--limit", "-1"], "-1 is not in the range"),
        (["evaluate", "--shift", "--seed", "-1"], "-1 is not in the range"),
    ],
)
def test_robustness_wrong_usage(command, few_pages: Path, arguments: list[str], told: str) -> None:
    verb, *options = arguments
    outcome = command(verb, "digits", "pages", *options)
    assert (outcome.code, outcome.out) == (2, b"")
    assert told in outcome.err


# --------------------------------------------------------------------------------- kalamos ood


@pytest.fixture
def sklearn() -> None:
    pytest.importorskip("sklearn", reason="needs the extra 'train'")


@pytest.mark.usefixtures("here", "sklearn")
def test_ood_table_and_report(command, digits_folder: Path) -> None:
    options = ["--count", "20", "--data-dir", digits_folder, "--report", "out"]
    outcome = command("ood", "digits", "mnist", *options)
    assert outcome.code == 0
    assert outcome.rows[0] == "digits on mnist test, known n = 60"
    for name in (
        "paper",
        "scribbles",
        "shapes",
        "textures",
        "skipped script:ahcd",
        "skipped script:emnist-47",
    ):
        assert any(row.startswith(name) for row in outcome.rows)
    assert sorted(path.name for path in Path("out").iterdir()) == ["outliers.html", "outliers.json"]
    assert "wrote out/outliers.json and out/outliers.html" in outcome.rows[-1]


@pytest.mark.usefixtures("here", "sklearn")
def test_ood_json_is_what_the_report_holds_and_the_old_spelling(command, digits_folder: Path) -> None:
    shared = ["--seed", "3", "-f", "json", "--data-dir", digits_folder]
    outcome = command("ood", "digits", "mnist", "--set", "shapes", "--count", "9", *shared, "--report", "out")
    assert outcome.out == Path("out/outliers.json").read_bytes()
    figures = json.loads(outcome.out)
    assert ([each["name"] for each in figures["sets"]], figures["seed"]) == (["shapes"], 3)
    old = ["--outliers", "--outlier-set", "shapes", "--outlier-count", "9"]
    before = command("evaluate", "digits", "mnist", *old, *shared)
    assert before.out == outcome.out
    assert before.err.startswith("kalamos: evaluate --outliers is deprecated; use kalamos ood\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["evaluate", "--count", "5"], "No such option '--count'"),
        (["evaluate", "--outliers", "--shift-limit", "5"], "No such option '--shift-limit'"),
        (["ood", "--charset", "123"], "No such option '--charset'"),
        (["ood", "--set", "papre"], "unknown outlier set 'papre'; did you mean 'paper'?"),
        (["evaluate", "--outliers", "--outlier-count", "0"], "0 is not in the range"),
    ],
)
@pytest.mark.usefixtures("here")
def test_ood_wrong_usage(command, digits_folder: Path, arguments: list[str], told: str) -> None:
    verb, *options = arguments
    outcome = command(verb, "digits", "mnist", "--data-dir", digits_folder, *options)
    assert (outcome.code, outcome.out) == (2, b"")
    assert told in outcome.err
