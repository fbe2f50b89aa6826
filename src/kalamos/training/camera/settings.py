"""The ranges of pen, paper and camera settings that every synthetic photograph is drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from kalamos.errors import RecipeError
from kalamos.training.policy import Fraction, NonNegative, Probability, check_fields

__all__ = ["Camera"]

InkSize = Annotated[int, Meta(ge=16, description="a whole number of at least 16")]


@dataclass(frozen=True)
class Camera:
    """From a careful person's photographs to a careless one's.

    Whatever is not a probability is an extent: every photograph draws its own value, uniformly between
    none and that much. Sizes are shares of the ink's longer side, contrasts shares of the paper's light.

    Raises:
        RecipeError: a value of the wrong type or out of range.

    >>> Camera(pencil=0.8, marker=0.3)
    Traceback (most recent call last):
    ...
    kalamos.errors.RecipeError: pencil = 0.8 and marker = 0.3 are more than all photographs; ...
    """

    smallest: InkSize = 64
    """The ink's longer side on the photograph, in px; small ones are the most frequent."""
    largest: InkSize = 320
    margin: NonNegative = 0.4
    """Paper on each side of the ink, beyond the little that is always there."""

    pencil: Probability = 0.3
    """The share of photographs whose pen is a pencil; a ballpoint or a fineliner draws the rest."""
    marker: Probability = 0.2
    wobble: Fraction = 0.12
    """How far the outline strays, as a share of the stroke's width (standard deviation)."""
    elastic: Fraction = 0.04
    """How far a place is displaced against others (standard deviation)."""
    rotate: NonNegative = 5.0
    """Degrees, either way; likewise `slant`."""
    slant: NonNegative = 6.0

    texture: NonNegative = 3.5
    """The paper's texture: standard deviation in grey levels (of 255)."""
    ruled: Probability = 0.08
    squared: Probability = 0.06
    cell: Probability = 0.08
    """The share of photographs with one to four lines of a form's cell at their edges."""
    specks: Probability = 0.15

    light: Fraction = 0.3
    """Light that falls off from one side of the photograph to the other."""
    vignette: Fraction = 0.2
    shadow: Probability = 0.35
    """The share of photographs with a shadow; its edge is soft mostly, and sometimes hard."""

    defocus: Fraction = 0.018
    """Standard deviation of the blur."""
    motion: Probability = 0.12
    haze: Fraction = 0.2
    """Stray light, which takes contrast away."""
    noise: NonNegative = 5.0
    """The sensor's noise: standard deviation in grey levels (of 255)."""
    jpeg: Probability = 0.5
    inverted: Probability = 0.03
    """The share of photographs that are of light ink on a dark ground."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.smallest > self.largest:
            raise RecipeError(
                f"smallest = {self.smallest} is above largest = {self.largest}", remedy="exchange the two"
            )
        for one, other in (("pencil", "marker"), ("ruled", "squared")):
            first, second = getattr(self, one), getattr(self, other)
            if first + second > 1:
                raise RecipeError(
                    f"{one} = {first} and {other} = {second} are more than all photographs",
                    remedy="let their sum be at most 1",
                )
