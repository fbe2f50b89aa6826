"""`kalamos train`, `export` and `evaluate`, from a data folder to a model that reads."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import pytest

import kalamos
from kalamos.datasets import Dataset
from kalamos.zoo import render_card

needs_training = pytest.mark.usefixtures("training")


@pytest.fixture(scope="module")
def training() -> None:
    for name in ("torch", "safetensors", "onnx", "onnxscript"):
        pytest.importorskip(name, reason="needs the extra 'train'")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@needs_training
def test_from_a_data_folder_to_a_model_that_reads(
    command, digits_folder: Path, digits: Dataset, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KALAMOS_DATA", str(digits_folder))
    options = [
        "--epochs",
        "4",
        "--batch-size",
        "16",
        "--lr",
        "0.01",
        "--device",
        "cpu",
        "--run-dir",
        "runs/mine",
    ]
    trained = command("train", "mnist", *options)
    assert (trained.code, trained.err) == (0, "")
    assert [row.split()[:2] for row in trained.rows[2:6]] == [
        ["epoch", f"{epoch}/4"] for epoch in range(1, 5)
    ]
    assert trained.rows[-2].startswith("validation accuracy ")
    assert trained.rows[-1] == "next: kalamos export runs/mine"

    exported = command("export", "runs/mine")
    assert (exported.code, exported.err) == (0, "")
    assert exported.rows[0].startswith("runs/mine.onnx: ")
    reader = kalamos.load("runs/mine.onnx")
    assert reader.spec.name == "mine"
    assert reader.spec.metrics == ()
    assert reader.spec.training is not None
    assert reader.spec.training.recipe["batch_size"] == 16

    measured = command("evaluate", "runs/mine.onnx", "mnist", "--report", "report", "--record")
    assert (measured.code, measured.err) == (0, "")
    assert measured.rows[0] == "runs/mine.onnx on mnist test, n = 60"
    report = json.loads(Path("report/metrics.json").read_text())
    assert report["accuracy"] > 0.8
    assert cv2.imread("report/confusion.png") is not None
    [metric] = kalamos.load("runs/mine.onnx").spec.metrics
    assert (metric.n, metric.accuracy, metric.sha256) == (60, report["accuracy"], digits.test.sha256)
    assert Path("runs/mine.md").read_text() == render_card(Path("runs/mine.onnx"))

    Path("pages").mkdir()
    for index in range(20):
        cv2.imwrite(f"pages/{index:02}.png", 255 - digits.test.images[index])
    assert command("predict", "pages", "-m", "runs/mine.onnx", "-o", "rows.csv", "-q").code == 0
    with Path("rows.csv").open() as stream:
        labels = [row["label"] for row in csv.DictReader(stream)]
    right = sum(label == str(truth) for label, truth in zip(labels, digits.test.labels, strict=False))
    assert len(labels) == 20
    assert right >= 15


def test_evaluating_on_data_that_is_not_there_says_where_to_put_it(
    command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KALAMOS_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    outcome = command("evaluate", "digits", "mnist")
    assert (outcome.code, outcome.out) == (2, b"")
    assert outcome.err.startswith("kalamos: mnist: there is no cache/kalamos/mnist/train-images-")
    assert "put it into cache/kalamos/mnist" in outcome.err
    assert "KALAMOS_DATA" in outcome.err


def test_evaluating_needs_no_learning_library_but_names_that_exist(command, here: Path) -> None:
    assert "did you mean 'mnist'?" in command("evaluate", "digits", "minst").err
    assert "did you mean 'digits'?" in command("evaluate", "digit", "mnist").err
    assert not any(here.iterdir())


def test_evaluating_without_recording_leaves_the_model_alone(
    command, digits_folder: Path, here: Path
) -> None:
    from kalamos.zoo import model_path

    before = model_path("digits").read_bytes()
    outcome = command("evaluate", "digits", "mnist", "--data-dir", digits_folder)
    assert outcome.code == 0
    assert outcome.rows[0] == "digits on mnist test, n = 60"
    assert outcome.rows[1].split()[0] == "accuracy"
    assert model_path("digits").read_bytes() == before
    assert not any(here.iterdir())
