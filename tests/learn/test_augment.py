from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from kalamos.learn.augment import (
    _neighbours_maximum,
    apply_stroke_augment,
    augment,
    sample_elastic,
    sample_stroke_params,
    sample_transforms,
    warp,
)
from kalamos.learn.augment import augment as augment_batch
from kalamos.learn.recipe import AUGMENTATIONS, Augmentation

AUGMENTATION_N, AUGMENTATION_SIZE = 2000, 28
WILD = Augmentation(rotate=40, translate=0.3, scale=0.5, shear=30, perspective=0.6)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def augment_augmentation(images: Tensor, how: Augmentation, seed: int = 0, ground: float = 0.0) -> Tensor:
    return augment_batch(images, how, seeded(seed), count=len(images), ground=ground)


@pytest.fixture(scope="module")
def blobs() -> Tensor:
    """[N, 1, S, S]: an upright soft bar, off the middle by nothing."""
    y, x = torch.meshgrid(
        torch.arange(AUGMENTATION_SIZE) - 13.5, torch.arange(AUGMENTATION_SIZE) - 13.5, indexing="ij"
    )
    bar = torch.exp(-((x / 1.5) ** 2) - (y / 6) ** 2)
    return bar.expand(AUGMENTATION_N, 1, AUGMENTATION_SIZE, AUGMENTATION_SIZE).contiguous()


def centres(images: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Each image's centre of mass from the middle, in pixels: x to the right, y down."""
    ink = images[:, 0].double()
    at = torch.arange(AUGMENTATION_SIZE).double() - (AUGMENTATION_SIZE - 1) / 2
    mass = ink.sum((1, 2))
    return ((ink.sum(1) @ at) / mass).numpy(), ((ink.sum(2) @ at) / mass).numpy()


def second_moments(images: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Variance of x, variance of y and covariance of the ink around the middle, in square pixels."""
    ink = images[:, 0].double()
    at = torch.arange(AUGMENTATION_SIZE).double() - (AUGMENTATION_SIZE - 1) / 2
    mass = ink.sum((1, 2))
    xx, yy = (ink.sum(1) @ at**2) / mass, (ink.sum(2) @ at**2) / mass
    xy = (ink * at[None, :, None] * at[None, None, :]).sum((1, 2)) / mass
    return xx.numpy(), yy.numpy(), xy.numpy()


def test_nothing_asked_is_nothing_done(blobs: Tensor) -> None:
    assert sample_transforms(Augmentation(), 8, seeded()) is None
    assert warp(blobs, None) is blobs
    assert augment_augmentation(blobs, Augmentation()) is blobs


@pytest.mark.parametrize("perspective", [0.0, 0.2])
def test_the_seed_decides(blobs: Tensor, perspective: float) -> None:
    how = Augmentation(rotate=15, translate=0.1, scale=0.1, shear=10, perspective=perspective)
    one, again, other = (augment_augmentation(blobs[:8], how, seed) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.allclose(one, other, atol=1e-2)


@pytest.mark.parametrize("perspective", [0.0, 0.2])
def test_every_image_is_deformed_by_itself(blobs: Tensor, perspective: float) -> None:
    moved = augment_augmentation(blobs[:8], Augmentation(rotate=15, translate=0.1, perspective=perspective))
    assert len({tuple(image.ravel().tolist()) for image in moved}) == 8


@pytest.mark.parametrize("how", [WILD, Augmentation(scale=0.99, shear=89, rotate=180)])
def test_intensities_stay_in_range_and_the_input_as_it_was(how: Augmentation) -> None:
    images = torch.rand(500, 1, AUGMENTATION_SIZE, AUGMENTATION_SIZE, generator=seeded())
    before = images.clone()
    moved = augment_augmentation(images, how)
    assert moved.shape == images.shape
    assert moved.dtype == torch.float32
    assert moved.min() >= 0
    assert moved.max() <= 1 + 1e-6
    assert torch.equal(images, before)


def test_shifts_fill_their_range_evenly_and_both_ways(blobs: Tensor) -> None:
    x, y = centres(augment_augmentation(blobs, Augmentation(translate=0.1)))
    limit = 0.1 * AUGMENTATION_SIZE
    for shift in (x, y):
        assert np.abs(shift).max() == pytest.approx(limit, abs=0.1)
        assert shift.mean() == pytest.approx(0, abs=0.15)
        assert shift.std() == pytest.approx(limit / math.sqrt(3), rel=0.05)  # uniform
    assert abs(np.corrcoef(x, y)[0, 1]) < 0.1


def test_turns_fill_their_range_evenly_and_both_ways(blobs: Tensor) -> None:
    moved = augment_augmentation(blobs, Augmentation(rotate=20))
    xx, yy, xy = second_moments(moved)
    angles = np.degrees(np.arctan2(2 * xy, yy - xx) / 2)
    assert np.abs(angles).max() == pytest.approx(20, abs=0.5)
    assert angles.mean() == pytest.approx(0, abs=1)
    assert angles.std() == pytest.approx(20 / math.sqrt(3), rel=0.05)
    assert np.abs(centres(moved)[0]).max() < 0.05  # about the middle


def test_a_turn_does_not_stretch(blobs: Tensor) -> None:
    before, after = (
        sum(second_moments(b)[:2]) for b in (blobs, augment_augmentation(blobs, Augmentation(rotate=40)))
    )
    np.testing.assert_allclose(after, before, rtol=0.03)


def test_scales_fill_their_range(blobs: Tensor) -> None:
    moved = augment_augmentation(blobs, Augmentation(scale=0.2))
    factors = np.sqrt(second_moments(moved)[1] / second_moments(blobs)[1])
    assert factors.min() == pytest.approx(0.8, abs=0.04)
    assert factors.max() == pytest.approx(1.2, abs=0.04)
    assert factors.mean() == pytest.approx(1.0, abs=0.02)


def test_slants_fill_their_range_and_leave_the_height(blobs: Tensor) -> None:
    moved = augment_augmentation(blobs, Augmentation(shear=20))
    _, yy, xy = second_moments(moved)
    slants = np.degrees(np.arctan2(xy, yy))
    assert np.abs(slants).max() == pytest.approx(20, abs=0.5)
    assert slants.mean() == pytest.approx(0, abs=1)
    np.testing.assert_allclose(yy, second_moments(blobs)[1], rtol=0.03)


def corners_of(maps: Tensor) -> Tensor:
    """float64 [N, 4, 2]: where the input's corners lie in the output, in [-1, 1]."""
    square = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]], dtype=torch.float64)
    found = torch.cat([square, torch.ones(4, 1)], dim=1) @ torch.linalg.inv(maps.double()).transpose(1, 2)
    return found[..., :2] / found[..., 2:]


def test_corners_move_inwards_and_fill_their_range_each_by_itself() -> None:
    maps = sample_transforms(Augmentation(perspective=0.3), AUGMENTATION_N, seeded())
    assert maps is not None
    inwards = 1 - corners_of(maps).abs().reshape(AUGMENTATION_N, 8).numpy()
    assert inwards.min() > -1e-5
    assert inwards.max() == pytest.approx(0.3, abs=0.001)
    assert inwards.mean(axis=0) == pytest.approx(0.15, abs=0.01)
    assert inwards.std(axis=0) == pytest.approx(0.3 / math.sqrt(12), rel=0.05)
    assert np.abs(np.corrcoef(inwards.T) - np.eye(8)).max() < 0.1


@pytest.mark.parametrize(("p", "count"), [(0.0, 0), (0.2, 0.2 * AUGMENTATION_N), (1.0, AUGMENTATION_N)])
def test_perspective_is_for_its_share_of_the_images(p: float, count: float) -> None:
    maps = sample_transforms(Augmentation(perspective=0.3, perspective_p=p), AUGMENTATION_N, seeded())
    assert maps is not None
    changed = (corners_of(maps).abs() - 1).abs().amax((1, 2)) > 1e-3
    spread = 4 * math.sqrt(AUGMENTATION_N * p * (1 - p))
    assert int(changed.sum()) == pytest.approx(count, abs=spread + 1e-9)


def test_perspective_is_torchvisions() -> None:
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms import functional as tv

    images = torch.rand(20, 1, AUGMENTATION_SIZE, AUGMENTATION_SIZE, generator=seeded())
    maps = sample_transforms(Augmentation(perspective=0.4), 20, seeded(1))
    assert maps is not None
    ours = warp(images, maps)
    edge = [
        [0, 0],
        [AUGMENTATION_SIZE, 0],
        [AUGMENTATION_SIZE, AUGMENTATION_SIZE],
        [0, AUGMENTATION_SIZE],
    ]  # torchvision's pixels are 1 wide, as ours
    for image, mine, corners in zip(
        images, ours, (corners_of(maps) + 1) / 2 * AUGMENTATION_SIZE, strict=True
    ):
        theirs = tv.perspective(image, edge, corners.tolist(), interpolation=InterpolationMode.BILINEAR)
        assert torch.allclose(mine, theirs, atol=1e-4)


def test_one_perspective_after_the_affine_map_is_both_at_once(blobs: Tensor) -> None:
    how = Augmentation(rotate=20, translate=0.1, scale=0.1, shear=10, perspective=0.3)
    both = sample_transforms(how, 50, seeded())
    affine = sample_transforms(Augmentation(**{**how.__dict__, "perspective": 0.0}), 50, seeded())
    assert both is not None
    assert affine is not None
    # The rest of `both` is a perspective: its corners move inwards, and none beyond what was asked.
    padded = torch.cat([affine, torch.tensor([0.0, 0, 1]).expand(50, 1, 3)], dim=1)
    inwards = 1 - corners_of(torch.linalg.inv(padded) @ both).abs()
    assert -1e-4 < inwards.min() < inwards.max() < 0.3 + 1e-4


@pytest.mark.parametrize("how", [*AUGMENTATIONS.values(), WILD], ids=[*AUGMENTATIONS, "wild"])
def test_no_map_turns_the_image_over(how: Augmentation) -> None:
    maps = sample_transforms(how, AUGMENTATION_N, seeded())
    if maps is None:
        return
    if maps.shape[1] == 2:
        maps = torch.cat([maps, torch.tensor([0.0, 0, 1]).expand(AUGMENTATION_N, 1, 3)], dim=1)
    maps = maps.double()
    line = torch.linspace(-1, 1, 15, dtype=torch.float64)
    points = torch.stack([*torch.meshgrid(line, line, indexing="xy"), torch.ones(15, 15)], dim=-1).view(-1, 3)
    mapped = points @ maps.transpose(1, 2)  # [N, 225, 3]
    w = mapped[..., 2]
    inside = (mapped[..., :2] / w[..., None]).abs().amax(-1) <= 1
    # The Jacobian's determinant of a projective map; what falls outside the image shows the ground.
    jacobian = torch.linalg.det(maps)[:, None] / w**3
    assert inside.any()
    assert (jacobian[inside] > 0).all()
    assert (w[inside] > 0).all()


@pytest.mark.parametrize("perspective", [0.0, 0.2])
def test_nothing_is_ever_mirrored(perspective: float) -> None:
    corner = torch.zeros(AUGMENTATION_N, 1, AUGMENTATION_SIZE, AUGMENTATION_SIZE)
    corner[:, :, 8:20, 8:11] = 1  # an L
    corner[:, :, 17:20, 8:20] = 1
    how = Augmentation(rotate=15, translate=0.075, scale=0.1, shear=6, perspective=perspective)
    moved = augment_augmentation(corner, how)
    mirrored = corner[:1].flip(3)

    def likeness(to: Tensor) -> Tensor:  # at the best of all shifts by up to 5 pixels
        return torch.nn.functional.conv2d(moved, to, padding=5).amax((1, 2, 3))

    assert (likeness(corner[:1]) > likeness(mirrored)).all()
    assert (likeness(corner[:1]) > likeness(corner[:1].flip(2))).all()


@pytest.mark.parametrize("ground", [0.0, -0.4242])
@pytest.mark.parametrize("perspective", [0.0, 0.2])
def test_the_ground_moves_in_from_outside(ground: float, perspective: float) -> None:
    images = torch.full((50, 1, AUGMENTATION_SIZE, AUGMENTATION_SIZE), ground)
    images[:, :, 10:18, 10:18] += 1
    how = Augmentation(rotate=10, translate=0.2, perspective=perspective)
    moved = augment_augmentation(images, how, ground=ground)
    for edge in (moved[..., 0, :], moved[..., -1, :], moved[..., 0], moved[..., -1]):
        assert torch.allclose(edge, torch.tensor(ground), atol=1e-6)


def test_wide_images_are_mapped_as_square_ones() -> None:
    wide = torch.rand(4, 1, 20, 30, generator=seeded())
    assert torch.allclose(warp(wide, torch.eye(3).expand(4, 3, 3)), wide, atol=1e-5)
    assert torch.allclose(warp(wide, torch.eye(2, 3).expand(4, 2, 3)), wide, atol=1e-5)


PENS_N, PENS_SIZE = 500, 28


@pytest.fixture(scope="module")
def bars() -> Tensor:
    """[N, 1, S, S]: an upright bar of four pixels."""
    bars = torch.zeros(PENS_N, 1, PENS_SIZE, PENS_SIZE)
    bars[:, :, 5:23, 12:16] = 1
    return bars


def write(ink: Tensor, seed: int = 0, **how: float) -> Tensor:
    return apply_stroke_augment(
        sample_stroke_params(Augmentation(**how), (len(ink), *ink.shape[2:]), seeded(seed)), ink
    )


def widths(ink: Tensor) -> Tensor:
    return ink[:, 0, 14].sum(1)


def test_only_what_is_asked_for_is_drawn() -> None:
    assert (
        sample_stroke_params(Augmentation(rotate=10, elastic=0.1), (3, PENS_SIZE, PENS_SIZE), seeded()) == {}
    )
    assert set(sample_stroke_params(AUGMENTATIONS["pens"], (3, PENS_SIZE, PENS_SIZE), seeded())) == {
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
    line = torch.zeros(PENS_N, 1, PENS_SIZE, PENS_SIZE)
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


def test_ink_fades_in_grains_on_its_share_of_the_images(bars: Tensor) -> None:
    faded = write(bars, fading=0.5)
    assert not faded[bars == 0].any()
    changed = (faded != bars).flatten(1).any(1)
    assert 0.4 < changed.float().mean() < 0.6
    # Full contrast stays, and between a little and most of the ink is gone.
    assert faded.amax((1, 2, 3)) == pytest.approx(1.0)
    left = (faded[changed].sum((1, 2, 3)) / bars[changed].sum((1, 2, 3))).sort().values
    assert left[0] < 0.6
    assert left[-1] > 0.9


def test_motion_spreads_a_point_along_one_line(bars: Tensor) -> None:
    point = torch.zeros(PENS_N, 1, PENS_SIZE, PENS_SIZE)
    point[:, :, 14, 14] = 1
    moved = write(point, motion=0.5)
    assert moved.sum((1, 2, 3)) == pytest.approx(1.0)
    changed = moved[:, 0, 14, 14] < 0.99
    assert 0.35 < changed.float().mean() < 0.6
    places = torch.arange(PENS_SIZE) - 14.0
    y, x = torch.meshgrid(places, places, indexing="ij")
    parts = [(moved[changed, 0] * power).sum((1, 2)) for power in (x * x, x * y, y * y)]
    spread = torch.linalg.eigvalsh(torch.stack([parts[0], parts[1], parts[1], parts[2]], 1).view(-1, 2, 2))
    # A line of up to a fifth of 28 px has a variance of up to 5.6**2 / 12; across it there is next to none.
    assert 1.5 < spread[:, 1].max() < 3.5
    assert spread[:, 0].max() < 0.3


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
    point = torch.zeros(PENS_N, 1, PENS_SIZE, PENS_SIZE)
    point[:, :, 14, 14] = 1
    ink = write(point, blur=6.0)
    assert ink.sum((1, 2, 3)) == pytest.approx(1.0)
    places = torch.arange(PENS_SIZE) - 14.0
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
    made = images(64, 1, PENS_SIZE, PENS_SIZE)  # type: ignore[operator]
    written = augment(made, AUGMENTATIONS["pens"], seeded(), count=64)
    assert written.shape == made.shape
    assert torch.isfinite(written).all()
    assert written.min() >= 0
    assert written.max() <= 1


def test_the_ground_and_the_ink_may_have_any_value(bars: Tensor) -> None:
    how = AUGMENTATIONS["pens"]
    plain = augment(bars, how, seeded(3), count=PENS_N)
    other = augment(bars * 3 - 0.4, how, seeded(3), count=PENS_N, ground=-0.4, full=3.0)
    assert torch.allclose(plain * 3 - 0.4, other, atol=1e-4)


def test_a_share_of_the_batch_is_deformed_as_in_the_whole(bars: Tensor) -> None:
    how = AUGMENTATIONS["pens"]
    whole = augment(bars, how, seeded(4), count=PENS_N)
    for rank in range(3):
        mine = slice(rank, None, 3)
        assert torch.equal(augment(bars[mine], how, seeded(4), count=PENS_N, mine=mine), whole[mine])


def test_bends_move_points_by_as_much_as_asked_and_smoothly() -> None:
    bends = sample_elastic(Augmentation(elastic=0.05), PENS_N, seeded())
    assert bends is not None
    assert bends.abs().max() == pytest.approx(0.1, rel=0.01)
    x = (torch.arange(PENS_SIZE) * 2 + 1) / PENS_SIZE - 1
    ramp = x.expand(PENS_N, 1, PENS_SIZE, PENS_SIZE).contiguous()
    inside = slice(6, -6)
    moved = (warp(ramp, None, bends) - ramp)[:, :, inside, inside]
    assert 0.05 < moved.abs().max() < 0.15  # bicubic interpolation overshoots a little
    assert (moved[..., 1:] - moved[..., :-1]).abs().max() < 0.05


def test_no_bends_are_no_change(bars: Tensor) -> None:
    assert sample_elastic(Augmentation(rotate=3), 2, seeded()) is None
    flat = torch.zeros(PENS_N, 2, 5, 5)
    assert torch.allclose(warp(bars, None, flat), bars, atol=1e-5)
