"""Augmentation policies: what a recipe may do to the images that it learns from, by name or in numbers.

Never a flip: nothing may turn b into d or 6 into 9.

>>> AUGMENTATIONS["seed-arabic"].rotate
18.0
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from kalamos.training.checks import check, number, probability, share

__all__ = ["AUGMENTATIONS", "Augmentation"]


@dataclass(frozen=True)
class Augmentation:
    """A random projective deformation, drawn anew for every image and epoch."""

    rotate: float = number(0.0)
    """Degrees, uniform in [-rotate, rotate]; likewise below."""
    translate: float = share(0.0)
    """Share of the image's side."""
    scale: float = share(0.0)
    """Share: 0.1 scales by 0.9 to 1.1."""
    shear: float = number(0.0)
    """Degrees of slant."""
    perspective: float = share(0.0, below=2 / 3)
    """How far each corner moves inwards at most, as a share of half the side. From 2/3 on the four could
    form a dart, through which no view leads."""
    perspective_p: float = probability(1.0)
    """The share of the images that get the perspective."""

    def __post_init__(self) -> None:
        check(self)


AUGMENTATIONS = MappingProxyType(
    {
        "none": Augmentation(),
        "mnist": Augmentation(rotate=10.0, translate=0.1, scale=0.1),
        "seed-arabic": Augmentation(
            rotate=18.0, translate=0.12, scale=0.15, shear=7.0, perspective=0.2, perspective_p=0.2
        ),
        "kalamos": Augmentation(rotate=15.0, translate=0.075, scale=0.1, shear=6.0),
    }
)
"""`mnist` is what most MNIST tutorials use; `seed-arabic` is Arabic-MNIST's (its padding of 12 px belongs to
the preprocessing, so that prediction pads as well); `kalamos` made the shipped `digits`."""
