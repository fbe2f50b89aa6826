from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from kalamos.training.augmentation import augment
from kalamos.training.recipe import Augmentation

N, SIZE = 2000, 28


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def blobs() -> Tensor:
    """[N, 1, S, S]: an upright soft bar, off the middle by nothing."""
    y, x = torch.meshgrid(torch.arange(SIZE) - 13.5, torch.arange(SIZE) - 13.5, indexing="ij")
    bar = torch.exp(-((x / 1.5) ** 2) - (y / 6) ** 2)
    return bar.expand(N, 1, SIZE, SIZE).contiguous()


def centres(images: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Each image's centre of mass from the middle, in pixels: x to the right, y down."""
    ink = images[:, 0].double()
    at = torch.arange(SIZE).double() - (SIZE - 1) / 2
    mass = ink.sum((1, 2))
    return ((ink.sum(1) @ at) / mass).numpy(), ((ink.sum(2) @ at) / mass).numpy()


def second_moments(images: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Variance of x, variance of y and covariance of the ink around the middle, in square pixels."""
    ink = images[:, 0].double()
    at = torch.arange(SIZE).double() - (SIZE - 1) / 2
    mass = ink.sum((1, 2))
    xx, yy = (ink.sum(1) @ at**2) / mass, (ink.sum(2) @ at**2) / mass
    xy = (ink * at[None, :, None] * at[None, None, :]).sum((1, 2)) / mass
    return xx.numpy(), yy.numpy(), xy.numpy()


def test_nothing_asked_is_nothing_done(blobs: Tensor) -> None:
    assert augment(blobs, Augmentation(), seeded()) is blobs


def test_the_seed_decides(blobs: Tensor) -> None:
    how = Augmentation(rotate=15, translate=0.1, scale=0.1, shear=10)
    one, again, other = (augment(blobs[:8], how, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.allclose(one, other, atol=1e-2)


def test_every_image_is_deformed_by_itself(blobs: Tensor) -> None:
    moved = augment(blobs[:8], Augmentation(rotate=15, translate=0.1), seeded())
    assert len({tuple(image.ravel().tolist()) for image in moved}) == 8


def test_intensities_stay_in_range_and_the_input_as_it_was() -> None:
    images = torch.rand(64, 1, SIZE, SIZE)
    before = images.clone()
    moved = augment(images, Augmentation(rotate=40, translate=0.3, scale=0.5, shear=30), seeded())
    assert moved.shape == images.shape
    assert moved.dtype == torch.float32
    assert moved.min() >= 0
    assert moved.max() <= 1
    assert torch.equal(images, before)


def test_shifts_fill_their_range_evenly_and_both_ways(blobs: Tensor) -> None:
    x, y = centres(augment(blobs, Augmentation(translate=0.1), seeded()))
    limit = 0.1 * SIZE
    for shift in (x, y):
        assert np.abs(shift).max() == pytest.approx(limit, abs=0.1)
        assert shift.mean() == pytest.approx(0, abs=0.15)
        assert shift.std() == pytest.approx(limit / math.sqrt(3), rel=0.05)  # uniform
    assert abs(np.corrcoef(x, y)[0, 1]) < 0.1


def test_turns_fill_their_range_evenly_and_both_ways(blobs: Tensor) -> None:
    moved = augment(blobs, Augmentation(rotate=20), seeded())
    xx, yy, xy = second_moments(moved)
    angles = np.degrees(np.arctan2(2 * xy, yy - xx) / 2)
    assert np.abs(angles).max() == pytest.approx(20, abs=0.5)
    assert angles.mean() == pytest.approx(0, abs=1)
    assert angles.std() == pytest.approx(20 / math.sqrt(3), rel=0.05)
    assert np.abs(centres(moved)[0]).max() < 0.05  # about the middle


def test_a_turn_does_not_stretch(blobs: Tensor) -> None:
    before, after = (
        sum(second_moments(b)[:2]) for b in (blobs, augment(blobs, Augmentation(rotate=40), seeded()))
    )
    np.testing.assert_allclose(after, before, rtol=0.03)


def test_scales_fill_their_range(blobs: Tensor) -> None:
    moved = augment(blobs, Augmentation(scale=0.2), seeded())
    factors = np.sqrt(second_moments(moved)[1] / second_moments(blobs)[1])
    assert factors.min() == pytest.approx(0.8, abs=0.04)
    assert factors.max() == pytest.approx(1.2, abs=0.04)
    assert factors.mean() == pytest.approx(1.0, abs=0.02)


def test_slants_fill_their_range_and_leave_the_height(blobs: Tensor) -> None:
    moved = augment(blobs, Augmentation(shear=20), seeded())
    _, yy, xy = second_moments(moved)
    slants = np.degrees(np.arctan2(xy, yy))
    assert np.abs(slants).max() == pytest.approx(20, abs=0.5)
    assert slants.mean() == pytest.approx(0, abs=1)
    np.testing.assert_allclose(yy, second_moments(blobs)[1], rtol=0.03)


def test_nothing_is_ever_mirrored() -> None:
    corner = torch.zeros(N, 1, SIZE, SIZE)
    corner[:, :, 8:20, 8:11] = 1  # an L
    corner[:, :, 17:20, 8:20] = 1
    moved = augment(corner, Augmentation(rotate=15, translate=0.075, scale=0.1, shear=6), seeded())
    mirrored = corner[:1].flip(3)

    def likeness(to: Tensor) -> Tensor:  # at the best of all shifts by up to 5 pixels
        return torch.nn.functional.conv2d(moved, to, padding=5).amax((1, 2, 3))

    assert (likeness(corner[:1]) > likeness(mirrored)).all()
    assert (likeness(corner[:1]) > likeness(corner[:1].flip(2))).all()


@pytest.mark.parametrize("ground", [0.0, -0.4242])
def test_the_ground_moves_in_from_outside(ground: float) -> None:
    images = torch.full((50, 1, SIZE, SIZE), ground)
    images[:, :, 10:18, 10:18] += 1
    moved = augment(images, Augmentation(rotate=10, translate=0.2), seeded(), ground)
    for edge in (moved[..., 0, :], moved[..., -1, :], moved[..., 0], moved[..., -1]):
        assert torch.allclose(edge, torch.tensor(ground), atol=1e-6)
