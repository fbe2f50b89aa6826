from __future__ import annotations

import numpy as np
import pytest

from kalamos.doctor.features import gradient_histograms


def test_directions_are_told_apart_with_their_sign() -> None:
    step = np.zeros((1, 28, 28), np.uint8)
    step[:, :, 14:] = 200
    right, left, down = (
        gradient_histograms(images)[0].reshape(7, 7, 8)
        for images in (step, step[:, :, ::-1], step.swapaxes(1, 2))
    )
    assert right[3].sum(axis=0).argmax() == 0
    assert left[3].sum(axis=0).argmax() == 4
    assert down[:, 3].sum(axis=0).argmax() == 2


def test_contrast_does_not_matter_and_an_empty_image_is_zeros(draw) -> None:
    images = draw(0, 3, seed=1)
    features = gradient_histograms(np.concatenate([images, images // 2, np.zeros((1, 28, 28), np.uint8)]))
    assert np.linalg.norm(features[:3], axis=1) == pytest.approx(1, abs=1e-5)
    assert features[:3] == pytest.approx(features[3:6], abs=0.05)
    assert not features[6].any()


def test_chunks_change_nothing(draw, monkeypatch) -> None:
    images = draw(0, 9, seed=1)
    whole = gradient_histograms(images)
    monkeypatch.setattr("kalamos.doctor.features.HOG_CHUNK_IMAGES", 4)
    assert (gradient_histograms(images) == whole).all()
