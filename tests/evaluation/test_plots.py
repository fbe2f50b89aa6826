from __future__ import annotations

import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest

from kalamos.errors import MissingExtraError
from kalamos.evaluation.evaluate import Evaluation
from kalamos.evaluation.plots import PLOTS, confusion_plot

pytest.importorskip("matplotlib", reason="needs the extra 'train'")


def pixels(png: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image


def of_classes(classes: int, n: int = 2000) -> Evaluation:
    generator = np.random.default_rng(0)
    truth = generator.integers(0, classes, n)
    probabilities = generator.random((n, classes), np.float32)
    probabilities[np.arange(n), truth] += 1
    probabilities /= probabilities.sum(1, keepdims=True)
    return Evaluation(truth, probabilities, tuple(f"{i}$_<あ" for i in range(classes)), "0" * 64)


@pytest.mark.parametrize("name", PLOTS)
def test_every_plot_is_drawn_on_white(measured: Evaluation, name: str) -> None:
    image = pixels(PLOTS[name](measured))
    assert image[2, 2].tolist() == [255, 255, 255]
    assert image.std() > 8


def test_plots_are_the_same_each_time(measured: Evaluation) -> None:
    for draw in PLOTS.values():
        assert draw(measured) == draw(measured)


@pytest.mark.parametrize("classes", [2, 140])
def test_any_number_of_classes_and_any_label(classes: int) -> None:
    image = pixels(confusion_plot(of_classes(classes)))
    assert max(image.shape) < 3000


def test_a_single_mistake_shows_among_thousands() -> None:
    truth = np.repeat(np.arange(30), 200)
    answers = truth.copy()
    probabilities = np.eye(30, dtype=np.float32)[answers]
    right = Evaluation(truth, probabilities, tuple(map(str, range(30))), "0" * 64)
    answers[0] = 20
    one = replace(right, probabilities=np.eye(30, dtype=np.float32)[answers])
    changed = (pixels(confusion_plot(right)) != pixels(confusion_plot(one))).any(axis=2)
    assert changed.sum() > 300, "a cell of some 17 x 17 pixels at least"


@pytest.mark.parametrize("name", PLOTS)
def test_the_ends(measured: Evaluation, answering, name: str) -> None:
    blank = replace(measured, probabilities=np.zeros_like(measured.probabilities))
    for extreme in (
        blank,
        answering(measured, measured.truth, 1.0),
        answering(measured, (measured.truth + 1) % 10),
    ):
        assert pixels(PLOTS[name](extreme)).size
    alone = Evaluation(measured.truth[:1], measured.probabilities[:1], measured.labels, measured.sha256)
    assert pixels(PLOTS[name](alone)).size


def test_without_matplotlib_the_extra_is_named(measured: Evaluation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"kalamos\[train\]"):
        confusion_plot(measured)
