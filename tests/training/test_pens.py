from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from kalamos.training.augmentation import augment, sample_elastic, warp
from kalamos.training.pens import _neighbours_maximum, apply_stroke_augment, sample_stroke_params
from kalamos.training.policy import AUGMENTATIONS, Augmentation

N, SIZE = 500, 28


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def bars() -> Tensor:
    """[N, 1, S, S]: an upright bar of four pixels."""
    bars = torch.zeros(N, 1, SIZE, SIZE)
    bars[:, :, 5:23, 12:16] = 1
    return bars


def write(ink: Tensor, seed: int = 0, **how: float) -> Tensor:
    return apply_stroke_augment(
        sample_stroke_params(Augmentation(**how), (len(ink), *ink.shape[2:]), seeded(seed)), ink
    )


def widths(ink: Tensor) -> Tensor:
    return ink[:, 0, 14].sum(1)


def test_only_what_is_asked_for_is_drawn() -> None:
    assert sample_stroke_params(Augmentation(rotate=10, elastic=0.1), (3, SIZE, SIZE), seeded()) == {}
    assert set(sample_stroke_params(AUGMENTATIONS["pens"], (3, SIZE, SIZE), seeded())) == {
        "pen",
        "blur",
        "gamma",
        "gap",
        "line",
        "noise",
    }


def test_pens_are_wider_and_narrower_by_up_to_a_pixel_on_either_side(bars: Tensor) -> None:
    written = widths(write(bars, pen=1.0))
    assert 2 <= written.min() < 2.1
    assert 5.9 < written.max() <= 6
    assert written.mean() == pytest.approx(4, abs=0.2)
    assert write(bars, pen=1.0).amax((1, 2, 3)) == pytest.approx(1.0)


def test_a_hairline_is_made_no_fainter() -> None:
    line = torch.zeros(N, 1, SIZE, SIZE)
    line[:, :, 5:23, 14] = 1
    assert write(line, pen=1.0).amax((1, 2, 3)).min() > 0.99


def test_the_maximum_of_neighbours_is_what_pooling_gives() -> None:
    images = torch.randn(5, 1, 9, 12, generator=seeded())
    before = images.clone()
    assert torch.equal(_neighbours_maximum(images), F.max_pool2d(images, 3, 1, 1))
    assert torch.equal(images, before)


def test_gaps_take_a_few_pixels_of_their_share_of_the_images(bars: Tensor) -> None:
    lost = (bars - write(bars, gaps=0.5)).sum((1, 2, 3))
    assert lost.min() >= 0
    assert lost.max() < 20
    assert 0.2 < (lost > 0.5).float().mean() < 0.4  # a gap beside the bar takes nothing


def test_lines_lie_near_an_edge_and_only_add(bars: Tensor) -> None:
    added = write(torch.zeros_like(bars), lines=0.5)
    has = added.amax((1, 2, 3)) > 0.05
    assert 0.4 < has.float().mean() < 0.6
    assert not added[:, :, 8:20, 8:20].any()
    assert (write(bars, lines=1.0) >= bars).all()


def test_clutter_runs_anywhere_and_only_adds(bars: Tensor) -> None:
    added = write(torch.zeros_like(bars), clutter=0.5)
    has = added.amax((1, 2, 3)) > 0.2
    assert 0.35 < has.float().mean() < 0.55  # of the half, one in 27 gets no stroke, some lie outside
    reached = added.amax(0)[0] > 0.2
    assert reached.all()
    assert added[has].mean((1, 2, 3)).max() < 0.25
    assert (write(bars, clutter=1.0) >= bars).all()


def test_passes_of_blur_spread_a_point_as_their_number_says() -> None:
    point = torch.zeros(N, 1, SIZE, SIZE)
    point[:, :, 14, 14] = 1
    ink = write(point, blur=6.0)
    assert ink.sum((1, 2, 3)) == pytest.approx(1.0)
    places = torch.arange(SIZE) - 14.0
    variance = (ink.sum((1, 2)) * places**2).sum(1)
    # Half a pixel squared for each pass.
    assert 0 <= variance.min() < 0.05
    assert 2.95 < variance.max() <= 3
    assert variance.mean() == pytest.approx(1.5, abs=0.1)


def test_blur_keeps_the_ink_and_gamma_its_extremes(bars: Tensor) -> None:
    soft = write(bars, blur=1.0)
    assert torch.allclose(soft.sum((1, 2, 3)), bars.sum((1, 2, 3)), rtol=1e-5)
    assert ((soft > 0.01) & (soft < 0.99)).flatten(1).any(1).float().mean() > 0.9
    grey = bars * 0.5
    assert torch.equal(write(bars, gamma=0.5), bars)
    changed = write(grey, gamma=0.5).amax((1, 2, 3))
    assert 0.3 < changed.min() < 0.5 < changed.max() < 0.7


def test_noise_is_of_the_strength_asked_for(bars: Tensor) -> None:
    noisy = write(torch.full_like(bars, 0.5), noise=0.1)
    spread = noisy.flatten(1).std(1)
    assert spread.max() == pytest.approx(0.1, abs=0.01)
    assert spread.min() < 0.01


@pytest.mark.parametrize("images", [torch.zeros, torch.ones], ids=["blank", "full"])
def test_the_oddest_images_stay_finite_and_in_range(images: object) -> None:
    made = images(64, 1, SIZE, SIZE)  # type: ignore[operator]
    written = augment(made, AUGMENTATIONS["pens"], seeded(), count=64)
    assert written.shape == made.shape
    assert torch.isfinite(written).all()
    assert written.min() >= 0
    assert written.max() <= 1


def test_the_ground_and_the_ink_may_have_any_value(bars: Tensor) -> None:
    how = AUGMENTATIONS["pens"]
    plain = augment(bars, how, seeded(3), count=N)
    other = augment(bars * 3 - 0.4, how, seeded(3), count=N, ground=-0.4, full=3.0)
    assert torch.allclose(plain * 3 - 0.4, other, atol=1e-4)


def test_a_share_of_the_batch_is_deformed_as_in_the_whole(bars: Tensor) -> None:
    how = AUGMENTATIONS["pens"]
    whole = augment(bars, how, seeded(4), count=N)
    for rank in range(3):
        mine = slice(rank, None, 3)
        assert torch.equal(augment(bars[mine], how, seeded(4), count=N, mine=mine), whole[mine])


def test_bends_move_points_by_as_much_as_asked_and_smoothly() -> None:
    bends = sample_elastic(Augmentation(elastic=0.05), N, seeded())
    assert bends is not None
    assert bends.abs().max() == pytest.approx(0.1, rel=0.01)
    x = (torch.arange(SIZE) * 2 + 1) / SIZE - 1
    ramp = x.expand(N, 1, SIZE, SIZE).contiguous()
    inside = slice(6, -6)
    moved = (warp(ramp, None, bends) - ramp)[:, :, inside, inside]
    assert 0.05 < moved.abs().max() < 0.15  # bicubic interpolation overshoots a little
    assert (moved[..., 1:] - moved[..., :-1]).abs().max() < 0.05


def test_no_bends_are_no_change(bars: Tensor) -> None:
    assert sample_elastic(Augmentation(rotate=3), 2, seeded()) is None
    flat = torch.zeros(N, 2, 5, 5)
    assert torch.allclose(warp(bars, None, flat), bars, atol=1e-5)
