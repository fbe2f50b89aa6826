"""Synthetic photographs of glyphs, so that networks learn from what the preprocessing makes of real ones.

A glyph of a clean dataset is drawn anew, larger, with a pen on paper, under a lamp, by a camera; the
photograph is then preprocessed like any other:

>>> import numpy as np
>>> from kalamos.preprocessing import DEFAULT_STEPS, Preprocessor
>>> glyph = np.zeros((28, 28), np.uint8)
>>> glyph[4:24, 13:16] = 255                                       # a one
>>> page = photograph(glyph, Camera(), np.random.default_rng(0))
>>> page.dtype, max(page.shape) > 64
(dtype('uint8'), True)
>>> copies = photographed(np.stack([glyph] * 3), Camera(), Preprocessor(DEFAULT_STEPS), seed=1)
>>> copies.shape
(3, 28, 28)
>>> bool((copies[0] == copies[1]).all())                           # each is another photograph
False
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.errors import InvalidArrayError, NoInkError
from kalamos.learn.synthetic_photos.render import Camera, Drawing, draw, expose, light, paper, trace
from kalamos.parallel import default_jobs, ordered_map
from kalamos.preprocessing import Preprocessor

__all__ = ["Camera", "photograph", "photographed"]

MAX_DRAWN_INK_PIXELS = 112
"""Ink, paper and light of a larger photograph are drawn at this size (px of ink) and enlarged: only the
sensor's noise and JPEG's blocks are finer than that."""

LARGE_SIZE_EXPONENT = 1.5
"""The power of a uniform number that makes large photographs, which cost more, the rarer ones."""

DOUBLE_INK_PIXELS = 56
"""A smaller photograph is drawn at twice its size and reduced, as a lens does."""

COPY_CHUNK_IMAGES = 64

MIN_COPY_COSINE = 0.82
"""The least cosine of a copy and its glyph, both blurred by `COPY_BLUR_FRACTION`, at their best alignment."""

COPY_BLUR_FRACTION = 1.5 / 28
"""As a share of the side; wide enough that a pen's width and a slight slant hardly matter."""

MAX_SHIFT_FRACTION = 2 / 28
"""How far the centre of mass may have moved, as a share of the side."""

MAX_PART_SHIFT_FRACTION = 3 / 28
"""How far half of a part of the glyph may lie from where it was, as a share of the side."""

MIN_INK_LEVEL = 64
"""Levels from this on (of 255) are a stroke."""


def photographed(
    images: NDArray[np.uint8],
    camera: Camera,
    preprocessor: Preprocessor,
    seed: int,
    jobs: int | None = None,
) -> NDArray[np.uint8]:
    """Photograph every glyph, and preprocess the photographs.

    Where the ink was not found again (the photograph reads as blank, or a stroke of the glyph is nowhere
    near in the copy), the copy is the glyph itself, prepared: half a letter must not keep the label.

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
        found = f"{images.dtype} {images.shape}" if isinstance(images, np.ndarray) else type(images).__name__
        raise InvalidArrayError(f"glyphs are {found}, where uint8 [N, H, W] is needed")
    size = preprocessor.output_size()

    def take(rows: list[int]) -> list[NDArray[np.uint8]]:
        cleans = preprocessor.images([images[row] for row in rows])
        photos = [photograph(images[row], camera, np.random.default_rng((seed, row))) for row in rows]
        taken = []
        for clean, copy in zip(cleans, preprocessor.images(photos), strict=True):
            if isinstance(clean, NoInkError):
                taken.append(np.zeros((size, size), np.uint8))
            elif isinstance(copy, NoInkError) or not resembles(copy, clean):
                taken.append(clean)
            else:
                taken.append(copy)
        return taken

    copies = np.empty((len(images), size, size), np.uint8)
    for row, copy in enumerate(
        ordered_map(take, range(len(images)), chunk=COPY_CHUNK_IMAGES, jobs=jobs or default_jobs())
    ):
        copies[row] = copy
    return copies


def resembles(copy: NDArray[np.uint8], clean: NDArray[np.uint8]) -> bool:
    """Whether a prepared photograph uint8 [S, S] shows its prepared glyph, whatever the pen's width."""
    side = len(clean)
    margin = round(MAX_SHIFT_FRACTION * side)
    frame = cv2.copyMakeBorder(_blurred(clean), margin, margin, margin, margin, cv2.BORDER_CONSTANT)
    if cv2.matchTemplate(frame, _blurred(copy), cv2.TM_CCORR_NORMED).max() < MIN_COPY_COSINE:
        return False
    # A dot is too little ink to matter in a cosine, and yet tells one letter from another.
    span = 2 * max(1, round(MAX_PART_SHIFT_FRACTION * side)) + 1
    near = cv2.dilate(copy, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (span, span))) >= MIN_INK_LEVEL
    count, parts = cv2.connectedComponents((clean >= MIN_INK_LEVEL).view(np.uint8))
    found = np.bincount(parts[near], minlength=count)
    return bool((2 * found >= np.bincount(parts.ravel(), minlength=count))[1:].all())


def _blurred(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    return cv2.GaussianBlur(image.astype(np.float32), (0, 0), COPY_BLUR_FRACTION * len(image))  # type: ignore[return-value]


def photograph(glyph: NDArray[np.uint8], camera: Camera, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Photograph a glyph as if written on paper.

    Args:
        glyph: uint8 [H, W], antialiased, bright on black; a black one gives a photograph of blank paper.
        camera: the ranges.
        generator: makes it reproducible.

    Returns:
        uint8 [H', W'], dark ink on lighter paper, rarely the other way round.

    Raises:
        InvalidArrayError: the glyph has no pixels, is not uint8 or not two-dimensional.

    >>> glyph = np.zeros((28, 28), np.uint8)
    >>> _ = cv2.circle(glyph, (14, 14), 8, 255, 2)
    >>> photo = photograph(glyph, Camera(smallest=100, largest=100), np.random.default_rng(5))
    >>> bool(photo.min() + 40 < np.median(photo))
    True
    """
    if not isinstance(glyph, np.ndarray) or glyph.dtype != np.uint8 or glyph.ndim != 2 or not glyph.size:
        found = f"{glyph.dtype} {glyph.shape}" if isinstance(glyph, np.ndarray) else type(glyph).__name__
        raise InvalidArrayError(f"a glyph is {found}, where uint8 [H, W] is needed")
    longer = camera.smallest * (camera.largest / camera.smallest) ** (
        generator.random() ** LARGE_SIZE_EXPONENT
    )
    drawn = 2 * longer if longer < DOUBLE_INK_PIXELS else min(longer, MAX_DRAWN_INK_PIXELS)
    strokes = trace(glyph)
    drawing = _nothing(drawn) if strokes is None else draw(strokes, drawn, camera, generator)
    shape = drawing.ink.shape
    scene = paper(shape, drawn, drawing.margins, camera, generator)
    scene *= 1 - drawing.ink
    scene *= light(shape, camera, generator)
    if longer != drawn:
        size = max(1, round(shape[1] * longer / drawn)), max(1, round(shape[0] * longer / drawn))
        method = cv2.INTER_CUBIC if longer > drawn else cv2.INTER_AREA
        scene = cv2.resize(scene, size, interpolation=method)  # type: ignore[assignment]
    return expose(scene, longer, camera, generator)


def _nothing(side: float) -> Drawing:
    nothing = np.zeros((round(side), round(side)), np.float32)
    return Drawing(nothing, (0, 0, 0, 0), nothing)
