"""Whole datasets as they would have been photographed, prepared for the network."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.errors import InvalidArrayError, NoInkError
from kalamos.preprocessing import Preprocessor
from kalamos.streaming import default_jobs, ordered_map
from kalamos.training.camera.scene import photograph
from kalamos.training.camera.settings import Camera

__all__ = ["photographed"]

CHUNK = 64

ALIKE = 0.82
"""The least cosine of a copy and its glyph, both blurred by `BLUR`, at their best alignment."""

BLUR = 1.5 / 28
"""As a share of the side; wide enough that a pen's width and a slight slant hardly matter."""

SHIFT = 2 / 28
"""How far the centre of mass may have moved, as a share of the side."""

REACH = 3 / 28
"""How far half of a part of the glyph may lie from where it was, as a share of the side."""

INK = 64
"""Levels from this on (of 255) are a stroke."""


def photographed(
    images: NDArray[np.uint8],
    camera: Camera,
    preprocessor: Preprocessor,
    seed: int,
    jobs: int | None = None,
) -> NDArray[np.uint8]:
    """A photograph of every glyph, prepared as photographs are.

    Where the ink was not found again (the photograph reads as blank, or a stroke of the glyph is nowhere
    near in the copy), the copy is the glyph itself, prepared: a label must not stand on half a letter.

    Args:
        images: glyphs uint8 [N, H, W], bright on black.
        camera: the ranges.
        preprocessor: makes squares of side S.
        seed: copy i depends on `seed` and i alone.
        jobs: threads, which change nothing but the time; by default one a processor.

    Returns:
        uint8 [N, S, S], in order. A glyph that has no ink itself gives a black square.

    Raises:
        InvalidArrayError: `images` is not uint8 [N, H, W].
        PreprocessingError: the steps do not make squares of one size.
    """
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.ndim != 3:
        told = f"{images.dtype} {images.shape}" if isinstance(images, np.ndarray) else type(images).__name__
        raise InvalidArrayError(f"glyphs are {told}, where uint8 [N, H, W] is needed")
    size = preprocessor.output_size()

    def take(rows: list[int]) -> list[NDArray[np.uint8]]:
        taken = []
        for row, clean in zip(rows, preprocessor.images([images[row] for row in rows]), strict=True):
            if isinstance(clean, NoInkError):
                taken.append(np.zeros((size, size), np.uint8))
                continue
            photo = photograph(images[row], camera, np.random.default_rng((seed, row)))
            try:
                copy = preprocessor.image(photo)
            except NoInkError:
                copy = clean
            taken.append(copy if resembles(copy, clean) else clean)
        return taken

    copies = np.empty((len(images), size, size), np.uint8)
    for row, copy in enumerate(
        ordered_map(take, range(len(images)), chunk=CHUNK, jobs=jobs or default_jobs())
    ):
        copies[row] = copy
    return copies


def resembles(copy: NDArray[np.uint8], clean: NDArray[np.uint8]) -> bool:
    """Whether a prepared photograph uint8 [S, S] shows its prepared glyph, whatever the pen's width."""
    side = len(clean)
    margin = round(SHIFT * side)
    frame = cv2.copyMakeBorder(_blurred(clean), margin, margin, margin, margin, cv2.BORDER_CONSTANT)
    if cv2.matchTemplate(frame, _blurred(copy), cv2.TM_CCORR_NORMED).max() < ALIKE:
        return False
    # A dot is too little ink to matter in a cosine, and yet tells one letter from another.
    span = 2 * max(1, round(REACH * side)) + 1
    near = cv2.dilate(copy, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (span, span))) >= INK
    count, parts = cv2.connectedComponents((clean >= INK).view(np.uint8))
    found = np.bincount(parts[near], minlength=count)
    return bool((2 * found >= np.bincount(parts.ravel(), minlength=count))[1:].all())


def _blurred(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    return cv2.GaussianBlur(image.astype(np.float32), (0, 0), BLUR * len(image))  # type: ignore[return-value]
