"""MNIST-C: noise."""

from __future__ import annotations

import numpy as np

from kalamos.shift.catalogue import MNIST_C, Grey, corruption

__all__: list[str] = []


@corruption(MNIST_C, (8.0, 3.0, 1.5))
def shot_noise(ink: Grey, photons: float, rng: np.random.Generator) -> Grey:
    """Photon counts: bright ink flickers, black stays black."""
    counted = rng.poisson(ink * (photons / 255)) * (255 / photons)
    noisy: Grey = np.minimum(counted, 255).astype(np.uint8)
    return noisy


@corruption(MNIST_C, (0.08, 0.17, 0.27))
def impulse_noise(ink: Grey, share: float, rng: np.random.Generator) -> Grey:
    """Salt and pepper: single pixels white or black."""
    drawn = rng.random(ink.shape, np.float32)
    noisy = ink.copy()
    noisy[drawn < share] = 0
    noisy[drawn < share / 2] = 255
    return noisy
