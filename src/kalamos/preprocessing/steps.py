"""The registered preprocessing steps: each takes a grey uint8 image [H, W] and returns another.

A step changes nothing that needs no change, so that an image which already looks like the training data comes
out byte for byte as it went in, and quickly: the steps run on every image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.errors import ImageTooLargeError, NoInkError, PreprocessingError
from kalamos.preprocessing.cut_out import ink_of_cut_out
from kalamos.preprocessing.ink import find_ink
from kalamos.preprocessing.plain_ground import ink_on_plain_ground, trim_padding
from kalamos.preprocessing.resizing import enlarge, set_stroke_width, shrink
from kalamos.utils import Registry

__all__ = ["MAX_SIDE", "MAX_WORKING_PIXELS", "STEPS", "GreyImage", "Step", "ink_of_all", "limit_size"]

GreyImage = NDArray[np.uint8]
Step = Callable[[GreyImage], GreyImage]

STEPS = Registry[GreyImage]("preprocessing step", PreprocessingError)

FULL_CONTRAST = 250
"""A peak this high counts as full contrast: MNIST's own images peak at 254 or 255."""

FAINT_PEAK = 64
"""Below this peak (of 255) too few grey levels are left to stretch a shrunken image back."""

MAX_WORKING_PIXELS = 512 * 512
"""Above this many pixels a picture shows more than a character has detail, and noise besides."""

MAX_STEP_PIXELS = 4096 * 4096
"""Larger pictures are not padded."""

MAX_SIDE = 2048
"""In px, of what `resize` and `centre` make; a model takes at most half of that."""

STROKE_DETAIL = 8
"""The pen's width is measured on at most this many times the pixels that the model sees a side."""


@STEPS.register("grey")
def grey(image: GreyImage) -> GreyImage:
    """Declare one grey channel; reading an image has already made it so."""
    return image


def limit_size(image: GreyImage) -> GreyImage:
    """Scale a picture of more than `MAX_WORKING_PIXELS` pixels down to that; return any other as it is."""
    return shrink(image, math.sqrt(MAX_WORKING_PIXELS / image.size))


@STEPS.register("ink")
def ink(image: GreyImage, *, min_contrast: int = 24) -> GreyImage:
    """Show the ink alone, bright on black, whatever surrounds it and whichever of the two is the darker.

    A character alone on a plain ground is taken by subtraction. Elsewhere the ink finder answers with a map
    of the part of the picture that has ink. A picture of more than `MAX_WORKING_PIXELS` pixels is scaled down
    to that first.

    Args:
        min_contrast: what differs from a plain ground by fewer grey levels (of 255) is no ink.

    Raises:
        NoInkError: the image is blank.
    """
    [strokes] = ink_of_all([image], min_contrast=min_contrast)
    if isinstance(strokes, NoInkError):
        raise strokes
    return strokes


def ink_of_all(images: Sequence[GreyImage], *, min_contrast: int = 24) -> list[GreyImage | NoInkError]:
    """Do the same for many images, which share the runs of the ink finder."""
    images = [limit_size(image) for image in images]
    strokes = [ink_on_plain_ground(image, max(min_contrast, 1)) for image in images]
    for row, found in enumerate(strokes):
        if found is None:
            images[row] = trim_padding(images[row])
            strokes[row] = ink_of_cut_out(images[row])
    others = [row for row, found in enumerate(strokes) if found is None]
    for row, ink_map in zip(others, find_ink([images[row] for row in others]), strict=True):
        strokes[row] = ink_map.strokes()
    return [
        _full_contrast(found) if found is not None and cv2.countNonZero(found) else _no_ink()
        for found in strokes
    ]


def _no_ink() -> NoInkError:
    return NoInkError("no ink was found", remedy="if something is written there, scan it with more contrast")


@STEPS.register("crop")
def crop(image: GreyImage) -> GreyImage:
    """Crop to what is not black.

    Raises:
        NoInkError: there is nothing.
    """
    x, y, width, height = cv2.boundingRect(image)
    if not width:
        raise _no_ink()
    return image[y : y + height, x : x + width]


@STEPS.register("pad")
def pad(image: GreyImage, *, px: int, value: int = 0) -> GreyImage:
    """Add `px` pixels of `value` on every side.

    Raises:
        ImageTooLargeError: that makes more than `MAX_STEP_PIXELS`.
    """
    _check_pixels("pad", image.shape[0] + 2 * px, image.shape[1] + 2 * px)
    return cv2.copyMakeBorder(image, px, px, px, px, cv2.BORDER_CONSTANT, value=value)  # type: ignore[return-value]


@STEPS.register("stroke")
def stroke(image: GreyImage, *, size: int, thinnest: float = 1.6, thickest: float = 4.5) -> GreyImage:
    """Widen a pen that would fade at the model's size, and narrow one that would fill its own loops.

    Nearly all of MNIST, EMNIST and AHCD was written with pens between the two defaults.

    Args:
        size: the longer side that `resize` will make, in px; an image of at most twice that is left alone.
        thinnest: strokes of a smaller mean width, in px at that size, are widened to it.
        thickest: strokes of a greater one are narrowed to it.
    """
    if max(image.shape) <= 2 * size:
        return image
    image = shrink(image, STROKE_DETAIL * size / max(image.shape))
    scale = max(image.shape) / size
    inked = set_stroke_width(image, thinnest * scale, thickest * scale)
    if inked is image:
        return image
    x, y, width, height = cv2.boundingRect(inked)
    return inked[y : y + height, x : x + width]


@STEPS.register("resize")
def resize(image: GreyImage, *, size: int, tolerance: float = 0.0) -> GreyImage:
    """Scale, aspect ratio kept, until the longer side is `size` px, then restore full contrast.

    Args:
        tolerance: a longer side between `size * (1 - tolerance)` and `size` is left as it is.
    """
    height, width = image.shape
    longer = max(height, width)
    if size * (1 - tolerance) <= longer <= size:
        return image
    if longer > size:
        small = shrink(image, size / longer)
    else:
        small = enlarge(image, tuple(max(1, round(side * (size / longer))) for side in image.shape))
    if longer > 8 * size and small.max() < FAINT_PEAK:
        # Strokes so thin on a page so large drown in eight bits: in two steps they do not.
        return resize(resize(image, size=4 * size), size=size)
    return _full_contrast(small)


@STEPS.register("centre")
def centre(image: GreyImage, *, size: int) -> GreyImage:
    """Put the ink's centre of mass in the middle of a black `size` x `size` square."""
    height, width = image.shape
    if height > size or width > size:
        raise PreprocessingError(
            f"step 'centre': a {width}x{height} image does not fit into {size}x{size}",
            remedy="put a 'resize' step before it",
        )
    moments = cv2.moments(image)
    mass = moments["m00"] or 1.0
    # Pixel `size / 2`, not `(size - 1) / 2`: so MNIST itself was centred (measured: 14.0 +- 0.5).
    left = round(size / 2 - moments["m10"] / mass)
    top = round(size / 2 - moments["m01"] / mass)
    left = min(max(left, 0), size - width)
    top = min(max(top, 0), size - height)
    square = np.zeros((size, size), np.uint8)
    square[top : top + height, left : left + width] = image
    return square


def _check_pixels(step: str, height: int, width: int) -> None:
    if height * width > MAX_STEP_PIXELS:
        raise ImageTooLargeError(
            f"step {step!r}: {width:,} x {height:,} pixels are more than {MAX_STEP_PIXELS:,}",
            remedy="scale the image down, or use a model whose preprocessing begins with 'ink'",
        )


def _peak(image: GreyImage) -> int:
    return int(cv2.minMaxLoc(image)[1])


def _full_contrast(image: GreyImage) -> GreyImage:
    peak = _peak(image)
    if peak >= FULL_CONTRAST or peak == 0:
        return image
    return cv2.convertScaleAbs(image, alpha=255.0 / peak)  # type: ignore[return-value]
