"""How far a temperature can be believed: how many images it needs, how low and high it may be."""

from __future__ import annotations

from typing import Final

__all__ = ["HIGHEST", "LEAST_IMAGES", "LOWEST", "believable_temperature", "temperature_text"]

LEAST_IMAGES: Final = 100
"""Validation images that a temperature is fitted on at least. Among fewer there may be no mistake, and the
likelihood then asks for ever lower temperatures: 0.084 was seen from 30 images."""

LOWEST, HIGHEST = 0.25, 4.0
"""Outside, it is rather the images or the labels that are not as where the model will read."""


def believable_temperature(temperature: float, n: int) -> float:
    """A fitted temperature within the bounds; 1 where it comes from fewer than `LEAST_IMAGES` images.

    >>> [believable_temperature(0.084, n) for n in (30, 300)]
    [1.0, 0.25]
    """
    return min(max(temperature, LOWEST), HIGHEST) if n >= LEAST_IMAGES else 1.0


def temperature_text(temperature: float, n: int | None) -> str:
    """A temperature, and what it comes from, for people.

    Args:
        n: validation images; None where it is not known how many they were.

    >>> temperature_text(1.0, 30)
    '1.000, not fitted: 30 validation images are fewer than 100'
    >>> temperature_text(1.2, 3000)
    '1.200, fitted on the 3,000 validation images'
    """
    text = f"{temperature:.3f}"
    if n is None:
        return f"{text}, fitted on the validation images"
    if n < LEAST_IMAGES:
        images = f"{n:,} validation {'image is' if n == 1 else 'images are'} fewer than {LEAST_IMAGES}"
        return (
            f"{text}, not fitted: {images}" if temperature == 1 else f"{text}, not to be believed: {images}"
        )
    bound = {LOWEST: " (the lowest that is taken)", HIGHEST: " (the highest that is taken)"}
    return f"{text}{bound.get(temperature, '')}, fitted on the {n:,} validation images"
