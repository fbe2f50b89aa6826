"""How far a temperature can be believed: how many images it needs, how low and high it may be."""

from __future__ import annotations

from typing import Final

__all__ = [
    "MAX_TEMPERATURE",
    "MIN_TEMPERATURE",
    "MIN_TEMPERATURE_IMAGES",
    "bound_temperature",
    "temperature_text",
]

MIN_TEMPERATURE_IMAGES: Final = 100
"""Validation images that a temperature is fitted on at least. Among fewer there may be no mistake, and the
likelihood then asks for ever lower temperatures: 0.084 was seen from 30 images."""

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.25, 4.0
"""Outside, it is rather the images or the labels that are not as where the model will read."""


def bound_temperature(temperature: float, n: int) -> float:
    """Bound a fitted temperature; give 1 if it comes from fewer than `MIN_TEMPERATURE_IMAGES` images.

    >>> [bound_temperature(0.084, n) for n in (30, 300)]
    [1.0, 0.25]
    """
    return min(max(temperature, MIN_TEMPERATURE), MAX_TEMPERATURE) if n >= MIN_TEMPERATURE_IMAGES else 1.0


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
    if n < MIN_TEMPERATURE_IMAGES:
        images = (
            f"{n:,} validation {'image is' if n == 1 else 'images are'} fewer than {MIN_TEMPERATURE_IMAGES}"
        )
        return (
            f"{text}, not fitted: {images}" if temperature == 1 else f"{text}, not to be believed: {images}"
        )
    bound = {MIN_TEMPERATURE: " (the lowest that is taken)", MAX_TEMPERATURE: " (the highest that is taken)"}
    return f"{text}{bound.get(temperature, '')}, fitted on the {n:,} validation images"
