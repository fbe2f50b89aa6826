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
    """A random deformation and another pen, drawn anew for every image and epoch."""

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
    elastic: float = share(0.0, below=0.25)
    """How far each of 5x5 points that the image hangs on moves at most, as a share of the side."""

    pen: float = probability(0.0)
    """Stroke width: 1 grows or shrinks strokes by up to a pixel on either side."""
    gamma: float = number(0.0)
    """Grey values are raised to exp(-gamma) up to exp(gamma): softer or harder edges."""
    blur: float = number(0.0, most=16)
    """Up to so many passes of a 3x3 binomial blur: b passes have a standard deviation of sqrt(b / 2) px."""
    noise: float = probability(0.0)
    """Standard deviation of grey noise, up to; 1 is the ink's own level."""
    gaps: float = probability(0.0)
    """The share of the images that get a gap of one to four pixels, as pens that skip leave."""
    lines: float = probability(0.0)
    """The share of the images that get a piece of a ruled line or of a cell's border near an edge."""
    clutter: float = probability(0.0)
    """The share of the images across which up to three thin straight strokes run: creases, a ruled line, a
    neighbour's pen."""

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
        "pens": Augmentation(
            rotate=15.0,
            translate=0.075,
            scale=0.12,
            shear=12.0,
            elastic=0.04,
            pen=0.6,
            gamma=0.4,
            blur=0.6,
            noise=0.08,
            gaps=0.15,
            lines=0.05,
        ),
    }
)
"""`mnist` is what most MNIST tutorials use; `seed-arabic` is Arabic-MNIST's (its padding of 12 px belongs to
the preprocessing, so that prediction pads as well); `kalamos` moves the paper alone, `pens`
changes the pen too."""
