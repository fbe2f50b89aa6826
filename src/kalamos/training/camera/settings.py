"""What pens, papers and cameras may do: the ranges that every photograph is drawn from."""

from __future__ import annotations

from dataclasses import dataclass

from kalamos.errors import RecipeError
from kalamos.training.checks import check, number, probability, share, whole

__all__ = ["Camera"]


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

    smallest: int = whole(64, least=16)
    """The ink's longer side on the photograph, in px; small ones are the most frequent."""
    largest: int = whole(320, least=16)
    margin: float = number(0.4)
    """Paper on each side of the ink, beyond the little that is always there."""

    pencil: float = probability(0.3)
    """The share of photographs whose pen is a pencil; a ballpoint or a fineliner draws the rest."""
    marker: float = probability(0.2)
    wobble: float = share(0.12)
    """How far the outline strays, as a share of the stroke's width (standard deviation)."""
    elastic: float = share(0.04)
    """How far a place is displaced against others (standard deviation)."""
    rotate: float = number(5.0)
    """Degrees, either way; likewise `slant`."""
    slant: float = number(6.0)

    texture: float = number(3.5)
    """The paper's texture: standard deviation in grey levels (of 255)."""
    ruled: float = probability(0.08)
    squared: float = probability(0.06)
    cell: float = probability(0.08)
    """The share of photographs with one to four lines of a form's cell at their edges."""
    specks: float = probability(0.15)

    light: float = share(0.3)
    """Light that falls off from one side of the photograph to the other."""
    vignette: float = share(0.2)
    shadow: float = probability(0.35)
    """The share of photographs with a shadow; its edge is soft mostly, and sometimes hard."""

    defocus: float = share(0.018)
    """Standard deviation of the blur."""
    motion: float = probability(0.12)
    haze: float = share(0.2)
    """Stray light, which takes contrast away."""
    noise: float = number(5.0)
    """The sensor's noise: standard deviation in grey levels (of 255)."""
    jpeg: float = probability(0.5)
    inverted: float = probability(0.03)
    """The share of photographs that are of light ink on a dark ground."""

    def __post_init__(self) -> None:
        check(self)
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
