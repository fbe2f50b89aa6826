from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as tv

from kalamos.training.augmentation import augment as augment_batch
from kalamos.training.augmentation import sample_transforms, warp
from kalamos.training.policy import AUGMENTATIONS, Augmentation

N, SIZE = 2000, 28
WILD = Augmentation(rotate=40, translate=0.3, scale=0.5, shear=30, perspective=0.6)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def augment(images: Tensor, how: Augmentation, seed: int = 0, ground: float = 0.0) -> Tensor:
    return augment_batch(images, how, seeded(seed), count=len(images), ground=ground)


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
    assert sample_transforms(Augmentation(), 8, seeded()) is None
    assert warp(blobs, None) is blobs
    assert augment(blobs, Augmentation()) is blobs


@pytest.mark.parametrize("perspective", [0.0, 0.2])
def test_the_seed_decides(blobs: Tensor, perspective: float) -> None:
    how = Augmentation(rotate=15, translate=0.1, scale=0.1, shear=10, perspective=perspective)
    one, again, other = (augment(blobs[:8], how, seed) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.allclose(one, other, atol=1e-2)


@pytest.mark.parametrize("perspective", [0.0, 0.2])
def test_every_image_is_deformed_by_itself(blobs: Tensor, perspective: float) -> None:
    moved = augment(blobs[:8], Augmentation(rotate=15, translate=0.1, perspective=perspective))
    assert len({tuple(image.ravel().tolist()) for image in moved}) == 8


@pytest.mark.parametrize("how", [WILD, Augmentation(scale=0.99, shear=89, rotate=180)])
def test_intensities_stay_in_range_and_the_input_as_it_was(how: Augmentation) -> None:
    images = torch.rand(500, 1, SIZE, SIZE, generator=seeded())
    before = images.clone()
    moved = augment(images, how)
    assert moved.shape == images.shape
    assert moved.dtype == torch.float32
    assert moved.min() >= 0
    assert moved.max() <= 1 + 1e-6
    assert torch.equal(images, before)


def test_shifts_fill_their_range_evenly_and_both_ways(blobs: Tensor) -> None:
    x, y = centres(augment(blobs, Augmentation(translate=0.1)))
    limit = 0.1 * SIZE
    for shift in (x, y):
        assert np.abs(shift).max() == pytest.approx(limit, abs=0.1)
        assert shift.mean() == pytest.approx(0, abs=0.15)
        assert shift.std() == pytest.approx(limit / math.sqrt(3), rel=0.05)  # uniform
    assert abs(np.corrcoef(x, y)[0, 1]) < 0.1


def test_turns_fill_their_range_evenly_and_both_ways(blobs: Tensor) -> None:
    moved = augment(blobs, Augmentation(rotate=20))
    xx, yy, xy = second_moments(moved)
    angles = np.degrees(np.arctan2(2 * xy, yy - xx) / 2)
    assert np.abs(angles).max() == pytest.approx(20, abs=0.5)
    assert angles.mean() == pytest.approx(0, abs=1)
    assert angles.std() == pytest.approx(20 / math.sqrt(3), rel=0.05)
    assert np.abs(centres(moved)[0]).max() < 0.05  # about the middle


def test_a_turn_does_not_stretch(blobs: Tensor) -> None:
    before, after = (sum(second_moments(b)[:2]) for b in (blobs, augment(blobs, Augmentation(rotate=40))))
    np.testing.assert_allclose(after, before, rtol=0.03)


def test_scales_fill_their_range(blobs: Tensor) -> None:
    moved = augment(blobs, Augmentation(scale=0.2))
    factors = np.sqrt(second_moments(moved)[1] / second_moments(blobs)[1])
    assert factors.min() == pytest.approx(0.8, abs=0.04)
    assert factors.max() == pytest.approx(1.2, abs=0.04)
    assert factors.mean() == pytest.approx(1.0, abs=0.02)


def test_slants_fill_their_range_and_leave_the_height(blobs: Tensor) -> None:
    moved = augment(blobs, Augmentation(shear=20))
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
    maps = sample_transforms(Augmentation(perspective=0.3), N, seeded())
    assert maps is not None
    inwards = 1 - corners_of(maps).abs().reshape(N, 8).numpy()
    assert inwards.min() > -1e-5
    assert inwards.max() == pytest.approx(0.3, abs=0.001)
    assert inwards.mean(axis=0) == pytest.approx(0.15, abs=0.01)
    assert inwards.std(axis=0) == pytest.approx(0.3 / math.sqrt(12), rel=0.05)
    assert np.abs(np.corrcoef(inwards.T) - np.eye(8)).max() < 0.1


@pytest.mark.parametrize(("p", "count"), [(0.0, 0), (0.2, 0.2 * N), (1.0, N)])
def test_perspective_is_for_its_share_of_the_images(p: float, count: float) -> None:
    maps = sample_transforms(Augmentation(perspective=0.3, perspective_p=p), N, seeded())
    assert maps is not None
    changed = (corners_of(maps).abs() - 1).abs().amax((1, 2)) > 1e-3
    spread = 4 * math.sqrt(N * p * (1 - p))
    assert int(changed.sum()) == pytest.approx(count, abs=spread + 1e-9)


def test_perspective_is_torchvisions() -> None:
    images = torch.rand(20, 1, SIZE, SIZE, generator=seeded())
    maps = sample_transforms(Augmentation(perspective=0.4), 20, seeded(1))
    assert maps is not None
    ours = warp(images, maps)
    edge = [[0, 0], [SIZE, 0], [SIZE, SIZE], [0, SIZE]]  # torchvision's pixels are 1 wide, as ours
    for image, mine, corners in zip(images, ours, (corners_of(maps) + 1) / 2 * SIZE, strict=True):
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
    maps = sample_transforms(how, N, seeded())
    if maps is None:
        return
    if maps.shape[1] == 2:
        maps = torch.cat([maps, torch.tensor([0.0, 0, 1]).expand(N, 1, 3)], dim=1)
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
    corner = torch.zeros(N, 1, SIZE, SIZE)
    corner[:, :, 8:20, 8:11] = 1  # an L
    corner[:, :, 17:20, 8:20] = 1
    how = Augmentation(rotate=15, translate=0.075, scale=0.1, shear=6, perspective=perspective)
    moved = augment(corner, how)
    mirrored = corner[:1].flip(3)

    def likeness(to: Tensor) -> Tensor:  # at the best of all shifts by up to 5 pixels
        return torch.nn.functional.conv2d(moved, to, padding=5).amax((1, 2, 3))

    assert (likeness(corner[:1]) > likeness(mirrored)).all()
    assert (likeness(corner[:1]) > likeness(corner[:1].flip(2))).all()


@pytest.mark.parametrize("ground", [0.0, -0.4242])
@pytest.mark.parametrize("perspective", [0.0, 0.2])
def test_the_ground_moves_in_from_outside(ground: float, perspective: float) -> None:
    images = torch.full((50, 1, SIZE, SIZE), ground)
    images[:, :, 10:18, 10:18] += 1
    how = Augmentation(rotate=10, translate=0.2, perspective=perspective)
    moved = augment(images, how, ground=ground)
    for edge in (moved[..., 0, :], moved[..., -1, :], moved[..., 0], moved[..., -1]):
        assert torch.allclose(edge, torch.tensor(ground), atol=1e-6)


def test_wide_images_are_mapped_as_square_ones() -> None:
    wide = torch.rand(4, 1, 20, 30, generator=seeded())
    assert torch.allclose(warp(wide, torch.eye(3).expand(4, 3, 3)), wide, atol=1e-5)
    assert torch.allclose(warp(wide, torch.eye(2, 3).expand(4, 2, 3)), wide, atol=1e-5)
