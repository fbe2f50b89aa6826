from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from kalamos.training.mixing import mix

LABELS = torch.arange(8)


def plain(side: int = 20) -> Tensor:
    """[8, 1, S, S]: image i has the value i everywhere."""
    return torch.arange(8.0).view(8, 1, 1, 1).expand(8, 1, side, side).contiguous()


def mixed(seed: int, mixup: float, cutmix: float) -> tuple[Tensor, Tensor]:
    return mix(plain(), LABELS, 8, mixup=mixup, cutmix=cutmix, seed=seed)


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.4, 0.0), (0.0, 1.0), (0.4, 1.0)])
@pytest.mark.parametrize("seed", range(20))
def test_labels_are_mixed_as_the_images_are(seed: int, mixup: float, cutmix: float) -> None:
    images, targets = mixed(seed, mixup, cutmix)
    assert images.shape == (8, 1, 20, 20)
    assert (targets.shape, targets.dtype) == ((8, 8), torch.float32)
    assert targets.min() >= 0
    assert torch.allclose(targets.sum(1), torch.ones(8))
    assert torch.allclose(images.mean((1, 2, 3)), targets @ torch.arange(8.0), atol=1e-5)


def test_mixup_blends_every_pixel_and_cutmix_none() -> None:
    for seed in range(20):
        blended, _ = mixed(seed, 1.0, 0.0)
        pasted, _ = mixed(seed, 0.0, 1.0)
        assert (blended.flatten(1).std(1) < 1e-6).all()
        assert (pasted == pasted.round()).all()


def test_the_pasted_part_is_one_rectangle_the_same_in_all() -> None:
    cut = 0
    for seed in range(20):
        images, _ = mixed(seed, 0.0, 1.0)
        changed = images != plain()
        where = changed.any(0)[0]
        rows, columns = where.any(1), where.any(0)
        assert torch.equal(where, rows[:, None] & columns[None, :])
        assert all(torch.equal(one[0], where) for one in changed if one.any())
        cut += bool(where.any())
    assert cut > 15


def test_a_coin_decides_between_the_two() -> None:
    blended = sum(bool((mixed(seed, 1.0, 1.0)[0] % 1 != 0).any()) for seed in range(200))
    assert blended == pytest.approx(100, abs=30)


def test_the_seed_decides() -> None:
    one, again, other = (mixed(seed, 0.4, 1.0) for seed in (1, 1, 2))
    assert torch.equal(one[0], again[0])
    assert torch.equal(one[1], again[1])
    assert not torch.equal(one[0], other[0])


@pytest.mark.parametrize(("mixup", "cutmix"), [(1.0, 0.0), (0.0, 1.0)])
def test_what_was_given_stays_as_it_was(mixup: float, cutmix: float) -> None:
    images = plain()
    for seed in range(10):
        mix(images, LABELS, 8, mixup=mixup, cutmix=cutmix, seed=seed)
    assert torch.equal(images, plain())


def test_the_share_follows_its_beta() -> None:
    # Beta(0.2, 0.2) is near 0 or 1, Beta(20, 20) near a half.
    # An image may meet itself, hence the least sure of the eight.
    surest = {
        alpha: [float(mixed(seed, alpha, 0.0)[1].amax(1).min()) for seed in range(100)]
        for alpha in (0.2, 20.0)
    }
    assert np.median(surest[0.2]) > 0.9
    assert np.median(surest[20.0]) < 0.6


@pytest.mark.parametrize("alpha", [1e-12, 1e12])
def test_extreme_alphas_stay_finite(alpha: float) -> None:
    for mixup, cutmix in ((alpha, 0.0), (0.0, alpha)):
        images, targets = mixed(3, mixup, cutmix)
        assert torch.isfinite(images).all()
        assert torch.isfinite(targets).all()
