from __future__ import annotations

import numpy as np
import pytest

from kalamos.shift.fields import clouds, grain


@pytest.mark.parametrize("blur", [0.0, 1.1])
def test_grain_is_standard_noise(blur: float) -> None:
    noise = np.stack([grain(200, np.random.default_rng(seed), blur=blur) for seed in range(8)])
    assert noise.mean() == pytest.approx(0, abs=0.05)
    assert noise.std() == pytest.approx(1, abs=0.05)
    neighbours = np.corrcoef(noise[0][:, 1:].ravel(), noise[0][:, :-1].ravel())[0, 1]
    assert (neighbours > 0.5) == (blur > 0)


def test_nobody_can_spoil_the_noise_of_others() -> None:
    with pytest.raises(ValueError, match="read-only"):
        grain(10, np.random.default_rng(0))[0] = 0


def test_clouds_are_smooth_and_bounded() -> None:
    field = clouds(100, (2, 4), 1.5, np.random.default_rng(1))
    assert field.shape == (100, 100)
    assert np.abs(field).max() < 1.3
    assert np.abs(np.diff(field, axis=0)).max() < 0.15 < field.max() - field.min()
