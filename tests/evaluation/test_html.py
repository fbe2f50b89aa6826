from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from tests.pages import Page, decode_uri

from kalamos.datasets import Dataset
from kalamos.errors import OutputError
from kalamos.evaluation.html import (
    MAX_TILE_SIDE,
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
