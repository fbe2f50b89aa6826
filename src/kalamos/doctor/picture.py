"""Checks of single images: size, polarity, whether there is any ink."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.datasets.prepare import prepare_each
from kalamos.doctor.findings import Case, Finding
from kalamos.doctor.pool import ImageIndex
from kalamos.errors import NoInkError
from kalamos.preprocessing import DEFAULT_STEPS, Preprocessor

__all__ = ["DARK_ON_LIGHT", "LIGHT_ON_DARK", "check_ink", "check_polarity", "check_sizes", "polarities"]

MIN_LONGER_SIDE_PX: Final = 8
"""A character cannot be read on fewer pixels of the longer side."""

MAX_DEVIATION_FACTOR: Final = 8.0
"""An image this many times larger, smaller or longer than the median is odd."""

DARK_ON_LIGHT: Final = 1
LIGHT_ON_DARK: Final = 0
UNCLEAR_POLARITY: Final = -1

MIN_BACKGROUND_BORDER_FRACTION: Final = 0.8
"""Of the border's pixels: ink that crosses an edge leaves at least this much background."""

MIN_INK_CONTRAST_LEVELS: Final = 128
"""Between the darkest and the lightest pixel; with less, an image without detected ink is blank."""


def check_sizes(index: ImageIndex) -> list[Finding]:
    """Find images that are tiny, or unlike the others in size or proportion."""
    if not len(index):
        return []
    height, width = index.shapes.T
    longer = index.shapes.max(axis=1)
    size = longer / np.median(longer)
    aspect = width / height
    length = aspect / np.median(aspect)
    apart = np.maximum.reduce([size, 1 / size, length, 1 / length])
    odd = np.flatnonzero((apart > MAX_DEVIATION_FACTOR) | (longer < MIN_LONGER_SIDE_PX))
    odd = odd[np.argsort(-apart[odd], kind="stable")]
    return [Finding("sizes", tuple(Case((row,), f"{width[row]} x {height[row]} px") for row in odd.tolist()))]


def polarities(index: ImageIndex) -> NDArray[np.int8]:
    """Return int8 [N]: `DARK_ON_LIGHT`, `LIGHT_ON_DARK`, or -1 if the border does not show which.

    The background is what most of the border is, on one side of Otsu's threshold.
    """
    found = np.full(len(index), UNCLEAR_POLARITY, np.int8)
    for row, image in enumerate(index):
        threshold, _ = cv2.threshold(image, 0, 255, cv2.THRESH_OTSU)
        border = np.concatenate((image[0], image[-1], image[:, 0], image[:, -1]))
        light = np.count_nonzero(border > threshold) / border.size
        flat = image.min() == image.max()
        if not flat and not 1 - MIN_BACKGROUND_BORDER_FRACTION < light < MIN_BACKGROUND_BORDER_FRACTION:
            found[row] = DARK_ON_LIGHT if light >= MIN_BACKGROUND_BORDER_FRACTION else LIGHT_ON_DARK
    return found


def check_polarity(found: NDArray[np.int8]) -> list[Finding]:
    """Report mixed polarity: the cases are the images of the rarer one."""
    dark, light = np.flatnonzero(found == DARK_ON_LIGHT), np.flatnonzero(found == LIGHT_ON_DARK)
    fewer, what = (light, "light on dark") if len(light) <= len(dark) else (dark, "dark on light")
    return [Finding("polarity", tuple(Case((row,), what) for row in fewer.tolist()))]


def check_ink(index: ImageIndex) -> tuple[Finding, Finding]:
    """Find images without ink for the preprocessing of kalamos: those that are blank, and the others."""
    blank: list[Case] = []
    other: list[Case] = []
    for row, prepared in enumerate(prepare_each(index.__getitem__, len(index), Preprocessor(DEFAULT_STEPS))):
        if isinstance(prepared, NoInkError):
            contrast = int(np.ptp(index[row]))
            (blank if contrast < MIN_INK_CONTRAST_LEVELS else other).append(Case((row,)))
    return Finding("blank", tuple(blank)), Finding("no-ink", tuple(other))
