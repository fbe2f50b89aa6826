from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from kalamos.training.camera import Camera
from kalamos.training.camera.lens import _streak, expose
from kalamos.training.camera.texture import Floats


@pytest.fixture
def scene() -> Floats:
    scene = np.full((90, 70), 200, np.float32)
    scene[20:70, 30:36] = 40
    return scene


def _expose(scene: Floats, camera: Camera, seed: int = 0) -> NDArray[np.uint8]:
    return expose(scene.copy(), 60, camera, np.random.default_rng(seed))


def test_a_faultless_camera_changes_nothing(scene: Floats, ideal: Camera) -> None:
    photo = _expose(scene, ideal)
    assert photo.dtype == np.uint8
    assert np.array_equal(photo, scene.astype(np.uint8))


def test_inverted(scene: Floats, ideal: Camera) -> None:
    assert np.array_equal(_expose(scene, replace(ideal, inverted=1.0)), (255 - scene).astype(np.uint8))


@pytest.mark.parametrize("fault", [{"defocus": 0.05}, {"motion": 1.0}])
def test_blur_keeps_the_mean_and_softens_edges(scene: Floats, ideal: Camera, fault: dict[str, float]) -> None:
    softened = 0
    for seed in range(10):
        photo = _expose(scene, replace(ideal, **fault), seed).astype(float)
        assert photo.mean() == pytest.approx(scene.mean(), abs=1.5)
        softened += np.abs(np.diff(photo, axis=1)).max() < 150
    assert softened >= 5


def test_haze_takes_contrast_away(scene: Floats, ideal: Camera) -> None:
    spans = [float(np.ptp(_expose(scene, replace(ideal, haze=0.2), seed))) for seed in range(20)]
    assert 160 * 0.79 <= min(spans) < max(spans) <= 160


def test_noise_is_as_strong_as_asked(ideal: Camera) -> None:
    flat = np.full((200, 200), 128, np.float32)
    deviations = [_expose(flat, replace(ideal, noise=6.0), seed).std() for seed in range(30)]
    assert max(deviations) < 6.5
    assert 2 < np.mean(deviations) < 4


def test_jpeg_is_one(scene: Floats, ideal: Camera) -> None:
    photo = _expose(scene, replace(ideal, jpeg=1.0))
    assert photo.shape == scene.shape
    difference = np.abs(photo.astype(float) - scene)
    assert 0 < difference.max() < 60


@pytest.mark.parametrize("length", [1.28, 3.0, 19.2])
def test_a_streak_is_a_centred_mean(length: float) -> None:
    for seed in range(10):
        kernel = _streak(length, np.random.default_rng(seed))
        assert kernel.sum() == pytest.approx(1)
        assert np.allclose(kernel, kernel[::-1, ::-1], atol=0.08)
        assert kernel.shape[0] % 2 == 1
