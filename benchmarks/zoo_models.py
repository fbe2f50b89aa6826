"""Which models ship, and what each was to reach."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ZOO", "Shipped", "Wanted"]


@dataclass(frozen=True)
class Wanted:
    """A test split, and the accuracy that this project set itself on it; 0 where it set none."""

    dataset: str
    accuracy: float


@dataclass(frozen=True)
class Shipped:
    """A model of the zoo.

    Attributes:
        name: of the model, and of its recipe in recipes/.
        tests: the first one's images are also those of the shift suite and of the known against outliers.
        seeds: each is a run; the first one's model ships.
        shift: wanted mean accuracy over the corruptions.
        ece: wanted calibration error, at most.
        int8: try static int8, and ship it where it loses nothing.
    """

    name: str
    tests: tuple[Wanted, ...]
    seeds: tuple[int, ...] = (42,)
    shift: float = 0.85
    ece: float = 0.01
    int8: bool = False


USPS = Wanted("usps", 0.97)
ZOO = (
    Shipped("digits-large", (Wanted("mnist", 0.9978), USPS), shift=0.96, ece=0.002, int8=True),
    Shipped("digits", (Wanted("mnist", 0.9968), USPS), shift=0.96, ece=0.002),
    Shipped("latin-large", (Wanted("emnist-47", 0.91),), int8=True),
    Shipped("latin", (Wanted("emnist-47", 0.903),)),
    Shipped("arabic-large", (Wanted("ahcd", 0.988), Wanted("hijja-28", 0.93)), int8=True),
    Shipped("arabic", (Wanted("ahcd", 0.983), Wanted("hijja-28", 0.92))),
    Shipped("arabic-print", (Wanted("ocr-arabic", 0.995),)),
    Shipped("arabic-digits", (Wanted("madbase", 0.0),)),
)
