"""Augmentation policies, by name or in numbers, and the types of values that a recipe accepts.

No policy flips images: nothing may turn b into d or 6 into 9.

>>> AUGMENTATIONS["seed-arabic"].rotate
18.0
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from kalamos.errors import RecipeError, suggest

__all__ = [
    "AUGMENTATIONS",
    "Augmentation",
    "Count",
    "Fraction",
    "Name",
    "Names",
    "NonNegative",
    "PositiveCount",
    "Probability",
    "check_fields",
]

Count = Annotated[int, Meta(ge=0, description="a whole number of at least 0")]
PositiveCount = Annotated[int, Meta(ge=1, description="a whole number of at least 1")]
NonNegative = Annotated[float, Meta(ge=0, le=sys.float_info.max, description="a finite number, not negative")]
Fraction = Annotated[float, Meta(ge=0, lt=1, description="a share in [0, 1)")]
Probability = Annotated[float, Meta(ge=0, le=1, description="a probability in [0, 1]")]
Name = Annotated[str, Meta(description="a name")]
Names = Annotated[tuple[Annotated[str, Meta(min_length=1)], ...], Meta(description="a list of names")]


def check_fields(config: Any) -> None:
    """Check the fields of a dataclass that have a `Literal` or annotated type, with msgspec.

    >>> @dataclass(frozen=True)
    ... class Oven:
    ...     degrees: NonNegative = 180.0
    ...     def __post_init__(self) -> None:
    ...         check_fields(self)
    >>> Oven(degrees=-1)
    Traceback (most recent call last):
    ...
    kalamos.errors.RecipeError: degrees = -1 is not a finite number, not negative

    Raises:
        RecipeError: a value has the wrong type or is out of range.
    """
    for name, wanted in get_type_hints(type(config), include_extras=True).items():
        if get_origin(wanted) not in {Annotated, Literal}:
            continue
        value = getattr(config, name)
        try:
            msgspec.convert(value, wanted)
        except (msgspec.ValidationError, OverflowError) as error:
            choices = get_args(wanted) if get_origin(wanted) is Literal else ()
            described = f"one of {', '.join(choices)}" if choices else wanted.__metadata__[0].description
            near = suggest(value, choices, otherwise="") if isinstance(value, str) else ""
            remedy = near if near.startswith("did you mean") else ""
            raise RecipeError(f"{name} = {value!r} is not {described}", remedy=remedy) from error


@dataclass(frozen=True)
class Augmentation:
    """A random deformation and another pen, drawn anew for every image and epoch."""

    rotate: NonNegative = 0.0
    """Degrees, uniform in [-rotate, rotate]; likewise below."""
    translate: Fraction = 0.0
    """Fraction of the image's side."""
    scale: Fraction = 0.0
    """0.1 scales by 0.9 to 1.1."""
    shear: NonNegative = 0.0
    """Degrees of slant."""
    perspective: Annotated[float, Meta(ge=0, lt=2 / 3, description="a share in [0, 0.667)")] = 0.0
    """How far each corner moves inwards at most, as a fraction of half the side. From 2/3 on the four could
    form a dart, which no homography maps to a square."""
    perspective_p: Probability = 1.0
    """The fraction of the images that get the perspective."""
    elastic: Annotated[float, Meta(ge=0, lt=0.25, description="a share in [0, 0.25)")] = 0.0
    """How far each of 5x5 grid points moves at most, as a fraction of the side."""

    pen: Probability = 0.0
    """Stroke width: 1 grows or shrinks strokes by up to a pixel on either side."""
    gamma: NonNegative = 0.0
    """Grey values are raised to exp(-gamma) up to exp(gamma): softer or harder edges."""
    blur: Annotated[float, Meta(ge=0, le=16, description="a number in [0, 16]")] = 0.0
    """Up to so many passes of a 3x3 binomial blur: b passes have a standard deviation of sqrt(b / 2) px."""
    noise: Probability = 0.0
    """Largest standard deviation of grey noise; 1 is the ink's own level."""
    gaps: Probability = 0.0
    """The fraction of the images that get a gap of one to four pixels, as pens that skip leave."""
    lines: Probability = 0.0
    """The fraction of the images that get a piece of a ruled line or of a cell's border near an edge."""
    clutter: Probability = 0.0
    """The fraction of the images crossed by up to three thin straight strokes: creases, a ruled line, a
    neighbour's pen."""

    def __post_init__(self) -> None:
        check_fields(self)


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
