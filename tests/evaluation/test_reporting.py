from __future__ import annotations

import io
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console
from tests.html_pages import Page, decode_uri

from kalamos.datasets import Dataset
from kalamos.errors import MissingExtraError, OutputError
from kalamos.evaluation.evaluate import Evaluation
from kalamos.evaluation.reporting import (
    MAX_TILE_SIDE,
    PLOTS,
    confusion_plot,
    fit_image,
    print_table,
    render_page,
    save_files,
    seen_by,
    tile_uri,
)
from kalamos.recognizer import Recognizer


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (900, 1), (28, 28), (300, 200)])
def test_a_fitted_image_keeps_its_shape(shape: tuple[int, int]) -> None:
    small = fit_image(np.zeros(shape, np.uint8), 84)
    assert max(small.shape) == 84
    assert (
        small.shape[0] / small.shape[1] == pytest.approx(shape[0] / shape[1], abs=84) or min(small.shape) == 1
    )


def test_a_tile_holds_the_pixels_of_a_small_image() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 30), np.uint8)
    assert np.array_equal(decode_uri(tile_uri(image)), image)


def test_a_tile_of_a_photograph_is_small() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (600, 400), np.uint8)
    uri = tile_uri(noise)
    assert uri.startswith("data:image/jpeg")
    assert max(decode_uri(uri).shape) == MAX_TILE_SIDE
    assert len(uri) < 12_000


def test_a_blank_image_is_seen_as_nothing(reader: Recognizer, digits: Dataset) -> None:
    assert seen_by(reader, np.zeros((28, 28), np.uint8)).tolist() == [[0]]
    assert seen_by(reader, digits.test.images[0]).shape == (28, 28)


def test_a_page_escapes_its_title() -> None:
    page = Page(render_page("base.html", title="</title><script>\n\u202e"))
    assert page.words.strip().startswith(r"</title><script>\n\u202e")
    assert "script" not in page.tags


def test_table_cells_are_no_markup() -> None:
    console = Console(file=io.StringIO(), width=80)
    print_table(console, ("label", "times"), [("[red]", "1,000"), ("[/]", "2")])
    lines = [line.split() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    assert lines == [[], ["label", "times"], ["[red]", "1,000"], ["[/]", "2"]]


def test_files_are_written_whole_and_in_utf_8(tmp_path: Path) -> None:
    names = save_files(tmp_path / "a" / "b", {"x.html": "ب\udc80", "y.png": b"png"})
    assert names == ("x.html", "y.png")
    assert (tmp_path / "a" / "b" / "x.html").read_text("utf-8") == "ب\\udc80"
    with pytest.raises(OutputError, match="cannot be made"):
        save_files(tmp_path / "a" / "b" / "x.html", {})


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
