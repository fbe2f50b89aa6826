"""All that the training of an ink finder depends on, as TOML."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from kalamos.learn.ink.scenes import SceneRanges
from kalamos.learn.recipe import NonNegative, PositiveCount, check_fields
from kalamos.learn.step_trainer import StepRecipe

__all__ = ["GlyphShares", "InkRecipe"]

HELD_OUT_WRITERS: Final = 7
"""One in so many of UNIPEN's writers is kept for validation."""


@dataclass(frozen=True)
class GlyphShares:
    """How many of the characters are of which kind, in relation to each other."""

    strokes: NonNegative = 0.4
    """UNIPEN's pens."""
    hands: NonNegative = 0.12
    """The training images of EMNIST-47 and MNIST."""
    arabic: NonNegative = 0.25
    """The training images of AHCD and Hijja."""
    fonts: NonNegative = 0.18
    scribbles: NonNegative = 0.05
    bars: NonNegative = 0.15
    """Characters of straight strokes alone, which must not be taken for printed lines."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class InkRecipe(StepRecipe):
    """All that a training depends on.

    Raises:
        RecipeError: a value of the wrong type or out of range.
    """

    glyphs: PositiveCount = 22_000
    """Characters that scenes are drawn of."""
    steps: PositiveCount = 12_000
    batch_size: PositiveCount = 64
    """Scenes a step; fewer where they are larger than 64 x 64."""
    lr: NonNegative = 4e-3
    weight_decay: NonNegative = 1e-3
    channels: tuple[int, int, int, int] = (16, 24, 48, 64)
    blocks: tuple[int, int, int] = (0, 2, 2)
    shares: GlyphShares = field(default_factory=GlyphShares)
    scenes: SceneRanges = field(default_factory=SceneRanges)
