from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from kalamos.doctor.signatures import SIGNATURE_SIDE_PX, signatures


@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.integers(0, 255)))
def test_any_image_has_one(image) -> None:
    descriptors, geometry = signatures([image], 1)
    assert descriptors.shape == (1, SIGNATURE_SIDE_PX * SIGNATURE_SIDE_PX)
    assert np.linalg.norm(descriptors) == pytest.approx(1.0, abs=1e-4) or not descriptors.any()
    assert np.isfinite(geometry).all()


def test_a_flat_image_has_none() -> None:
    descriptors, geometry = signatures([np.full((9, 9), 200, np.uint8)], 1)
    assert not descriptors.any()
    assert not geometry.any()


def test_geometry_is_in_shares_of_the_longer_side() -> None:
    image = np.zeros((100, 50), np.uint8)
    image[70:90, 20:30] = 255
    twice = np.kron(image, np.ones((2, 2), np.uint8))
    both = signatures([image, twice], 2).geometry
    assert both[0] == pytest.approx([0.0, 0.3, np.log(np.hypot(20, 10) / 12**0.5 / 100)], abs=0.02)
    assert both[1] == pytest.approx(both[0], abs=0.02)
