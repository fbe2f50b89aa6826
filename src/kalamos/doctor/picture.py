"""What can be told from each image by itself: its size, its polarity, whether anything is on it."""

from __future__ import annotations

from itertools import islice

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.doctor.findings import Case, Finding
from kalamos.doctor.pool import ImageIndex
from kalamos.errors import NoInkError
from kalamos.preprocessing import DEFAULT_STEPS, Preprocessor

__all__ = ["DARK_ON_LIGHT", "LIGHT_ON_DARK", "check_ink", "check_polarity", "check_sizes", "polarities"]

TINY = 8
"""A character cannot be read on fewer px of the longer side."""

FAR = 8.0
"""So many times larger, smaller or longer than the median is odd."""

DARK_ON_LIGHT, LIGHT_ON_DARK, UNCLEAR = 1, 0, -1

CLEAR = 0.8
"""Of the border's pixels: ink that runs over an edge leaves at least so much of the ground."""

CONTRAST = 128
"""Between the darkest and the lightest pixel of an image on which something is, found or not."""

CHUNK = 1024


def check_sizes(index: ImageIndex) -> list[Finding]:
    """Images that are tiny, or unlike the others in size or proportion."""
    if not len(index):
        return []
    height, width = index.shapes.T
    longer = index.shapes.max(axis=1)
    size = longer / np.median(longer)
    aspect = width / height
    length = aspect / np.median(aspect)
    apart = np.maximum.reduce([size, 1 / size, length, 1 / length])
    odd = np.flatnonzero((apart > FAR) | (longer < TINY))
    odd = odd[np.argsort(-apart[odd], kind="stable")]
    return [Finding("sizes", tuple(Case((row,), f"{width[row]} x {height[row]} px") for row in odd.tolist()))]


def polarities(index: ImageIndex) -> NDArray[np.int8]:
    """int8 [N]: `DARK_ON_LIGHT`, `LIGHT_ON_DARK`, or -1 where the border does not tell.

    The ground is what the border is made of, on one side of Otsu's threshold.
    """
    found = np.full(len(index), UNCLEAR, np.int8)
    for row, image in enumerate(index):
        threshold, _ = cv2.threshold(image, 0, 255, cv2.THRESH_OTSU)
        border = np.concatenate((image[0], image[-1], image[:, 0], image[:, -1]))
        light = np.count_nonzero(border > threshold) / border.size
        flat = image.min() == image.max()
        if not flat and not 1 - CLEAR < light < CLEAR:
            found[row] = DARK_ON_LIGHT if light >= CLEAR else LIGHT_ON_DARK
    return found


def check_polarity(found: NDArray[np.int8]) -> list[Finding]:
    """One polarity is fine, whichever; where there are both, the fewer ones are the cases."""
    dark, light = np.flatnonzero(found == DARK_ON_LIGHT), np.flatnonzero(found == LIGHT_ON_DARK)
    fewer, what = (light, "light on dark") if len(light) <= len(dark) else (dark, "dark on light")
    return [Finding("polarity", tuple(Case((row,), what) for row in fewer.tolist()))]


def check_ink(index: ImageIndex) -> tuple[Finding, Finding]:
    """Images on which the preprocessing of kalamos finds no ink: those that are blank, and the others."""
    prepare = Preprocessor(DEFAULT_STEPS)
    images, start = iter(index), 0
    blank: list[Case] = []
    other: list[Case] = []
    while chunk := list(islice(images, CHUNK)):
        for row, prepared in enumerate(prepare.images(chunk), start):
            if isinstance(prepared, NoInkError):
                contrast = int(chunk[row - start].max()) - int(chunk[row - start].min())
                (blank if contrast < CONTRAST else other).append(Case((row,)))
        start += len(chunk)
    return Finding("blank", tuple(blank)), Finding("no-ink", tuple(other))
