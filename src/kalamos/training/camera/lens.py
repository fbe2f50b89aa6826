"""What a camera makes of a scene: blur, stray light, noise, JPEG."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.training.camera.settings import Camera
from kalamos.training.camera.texture import FINE, WHITE, Floats, cut

__all__ = ["expose"]

QUALITY = 35, 95
"""JPEG quality, from a messenger's to a camera's."""


def expose(scene: Floats, longer: float, camera: Camera, generator: np.random.Generator) -> NDArray[np.uint8]:
    """The file that the camera writes, decoded: uint8 [H, W].

    Args:
        scene: grey levels, float32 [H, W]; changed in place.
        longer: the ink's longer side in px, which the blur goes with.
    """
    blur = generator.random() * camera.defocus * longer
    if blur > 0.3:
        scene = cv2.GaussianBlur(scene, (0, 0), blur)  # type: ignore[assignment]
    if generator.random() < camera.motion:
        scene = cv2.filter2D(scene, -1, _streak(generator.uniform(0.02, 0.06) * longer, generator))  # type: ignore[assignment]
    haze = generator.random() * camera.haze
    scene *= np.float32(1 - haze)
    scene += np.float32(255 * haze * generator.random())
    # What a phone has denoised is left with coarser grains than what its sensor saw.
    grain = WHITE if generator.random() < 0.5 else FINE
    scene += np.float32(generator.random() * camera.noise) * cut(grain, scene.shape, generator)
    if generator.random() < camera.inverted:
        np.subtract(255, scene, out=scene)
    photo: NDArray[np.uint8] = np.clip(scene, 0, 255, out=scene).astype(np.uint8)
    if generator.random() < camera.jpeg:
        quality = int(generator.integers(*QUALITY, endpoint=True))
        _, data = cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, quality])
        photo = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)  # type: ignore[assignment]
    return photo


def _streak(length: float, generator: np.random.Generator) -> Floats:
    """The path of a point while the shutter is open, as a kernel of sum 1."""
    reach = max(1, math.ceil(length / 2))
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.uint8)
    angle = generator.uniform(0, math.pi)
    x, y = (round(16 * length / 2 * part) for part in (math.cos(angle), math.sin(angle)))
    middle = 16 * reach
    cv2.line(kernel, (middle - x, middle - y), (middle + x, middle + y), 255, 1, cv2.LINE_AA, shift=4)
    return kernel.astype(np.float32) / np.float32(kernel.sum(dtype=np.int64))
