"""What the photographs show, at the strengths declared."""

from __future__ import annotations

import numpy as np
import pytest

from kalamos.evaluation.robustness import STRENGTHS, corrupt
from kalamos.evaluation.robustness.canvas import PAPER_LEVEL, PEN_LEVEL, ink_box


def pages(seven: np.ndarray, name: str, strength: int, count: int = 8) -> list[np.ndarray]:
    return [corrupt(seven, name, strength, row) for row in range(count)]


def share_of_ink(page: np.ndarray) -> float:
    return float((page < (PAPER_LEVEL + PEN_LEVEL) / 2).mean())


def box(page: np.ndarray) -> tuple[int, int, int, int]:
    return ink_box(np.where(page < (PAPER_LEVEL + PEN_LEVEL) / 2, 255, 0).astype(np.uint8))


def test_pens_of_other_widths(seven: np.ndarray) -> None:
    [usual] = {round(share_of_ink(page), 2) for page in pages(seven, "tilted", 1, 1)}
    thin = [share_of_ink(corrupt(seven, "thin_pen", s)) for s in STRENGTHS]
    thick = [share_of_ink(corrupt(seven, "thick_pen", s)) for s in STRENGTHS]
    assert usual > thin[0] > thin[1] > thin[2] > 0.1 * usual
    assert usual < thick[0] < thick[1] < thick[2] < 3 * usual


def test_a_pencil_is_faint_and_grainy(seven: np.ndarray) -> None:
    darkest = [np.percentile(corrupt(seven, "pencil", s), 1) for s in STRENGTHS]
    assert PEN_LEVEL < darkest[0] < darkest[1] < darkest[2] < PAPER_LEVEL - 12


@pytest.mark.parametrize("name", ["soft_shadow", "hard_shadow"])
def test_shadows_darken_part_of_the_paper(seven: np.ndarray, name: str) -> None:
    darks = []
    for strength in STRENGTHS:
        paper = np.stack([page[:12] for page in pages(seven, name, strength, 24)])
        assert np.percentile(paper, 95) == pytest.approx(PAPER_LEVEL, abs=6)
        darks.append(1 - np.percentile(paper, 5) / PAPER_LEVEL)
    wanted = (0.35, 0.55, 0.7) if name == "soft_shadow" else (0.3, 0.45, 0.6)
    assert darks == pytest.approx(wanted, abs=0.06)


def test_the_edge_of_a_hard_shadow_is_hard(seven: np.ndarray) -> None:
    def steepest(name: str) -> float:
        blank = np.zeros_like(seven)
        page = corrupt(blank, name, 3, 2).astype(float)
        return float(np.abs(page[6:] - page[:-6]).max() + np.abs(page[:, 6:] - page[:, :-6]).max())

    assert steepest("hard_shadow") > 2 * steepest("soft_shadow")


@pytest.mark.parametrize(("strength", "levels"), [(1, 70), (2, 45), (3, 32)])
def test_low_contrast_is_as_low_as_declared(seven: np.ndarray, strength: int, levels: int) -> None:
    for page in pages(seven, "low_contrast", strength, 3):
        assert np.percentile(page, 90) - np.percentile(page, 2) == pytest.approx(levels, abs=7)


def test_inverted_is_light_on_dark(seven: np.ndarray) -> None:
    gaps = []
    for strength in STRENGTHS:
        page = corrupt(seven, "inverted", strength)
        assert page[:10].mean() < 110 < page.max()
        gaps.append(int(page.max()) - np.median(page))
    assert gaps[0] > gaps[1] > gaps[2] > 60


@pytest.mark.parametrize("name", ["ruled_paper", "squared_paper"])
def test_lines_on_the_paper(seven: np.ndarray, name: str) -> None:
    depth = []
    for strength in STRENGTHS:
        page = corrupt(seven, name, strength, 5).astype(float)
        rows, columns = page[:, :25].mean(axis=1), page[:25].mean(axis=0)  # beside and above the character
        depth.append(np.median(rows) - rows.min())
        assert (np.median(columns) - columns.min() > 8) == (name == "squared_paper")
    assert 12 < depth[0] < depth[1] < depth[2] < PAPER_LEVEL - PEN_LEVEL


def test_rough_paper_is_rough_and_unevenly_lit(seven: np.ndarray) -> None:
    blank = np.zeros_like(seven)
    spread, fall = [], []
    for strength in STRENGTHS:
        page = corrupt(blank, "rough_paper", strength, 1).astype(float)
        spread.append(page[80:120, 80:120].std())
        fall.append(np.ptp([page[:30].mean(), page[-30:].mean(), page[:, :30].mean(), page[:, -30:].mean()]))
    assert 2 < spread[0] < spread[1] < spread[2]
    assert 10 < fall[0] < fall[1] < fall[2]


def test_off_centre_goes_to_the_edge_but_not_over_it(seven: np.ndarray) -> None:
    for strength, share in zip(STRENGTHS, (0.5, 0.8, 1.0), strict=True):
        for page in pages(seven, "off_centre", strength, 16):
            x, y, width, height = box(page)
            assert min(x, y, 256 - x - width, 256 - y - height) > 1
            off = max(abs(x + width / 2 - 128), abs(y + height / 2 - 128))
            assert off == pytest.approx(48 * share, abs=5)


def test_small_characters_lie_anywhere_on_the_page(seven: np.ndarray) -> None:
    for strength, pixels in zip(STRENGTHS, (64, 36, 24), strict=True):
        places = []
        for page in pages(seven, "small_on_page", strength, 16):
            x, y, width, height = box(page)
            assert height == pytest.approx(pixels, rel=0.15)
            assert min(x, y, 256 - x - width, 256 - y - height) > 6
            places.append((x, y))
        assert np.ptp(places, axis=0).min() > 80


def test_the_page_is_tilted_to_either_side(seven: np.ndarray) -> None:
    stem = np.zeros((28, 28), np.uint8)
    stem[4:24, 13:15] = 255
    for strength, degrees in zip(STRENGTHS, (5, 10, 15), strict=True):
        angles = []
        for page in pages(stem, "tilted", strength, 10):
            rows, columns = np.nonzero(page < 128)
            angles.append(np.degrees(np.arctan(np.polyfit(rows, columns, 1)[0])))
        assert np.abs(angles) == pytest.approx(np.full(10, degrees), abs=0.7)
        assert min(angles) < 0 < max(angles)


def test_jpeg_leaves_blocks(seven: np.ndarray) -> None:
    def blocks(page: np.ndarray) -> float:
        step = np.abs(np.diff(page.astype(float), axis=1)).mean(axis=0)
        at = np.arange(1, page.shape[1]) % 8 == 0
        return float(step[at].mean() / step[~at].mean())

    assert blocks(corrupt(seven, "tilted", 1)) < 1.1
    assert blocks(corrupt(seven, "jpeg", 3)) > 1.2


def test_defocus_softens(seven: np.ndarray) -> None:
    steep = [np.abs(np.diff(corrupt(seven, "defocus", s).astype(int))).max() for s in STRENGTHS]
    assert 120 > steep[0] > steep[1] > steep[2] > 8
