"""All that the training of an ink finder depends on, as TOML."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

from msgspec import Meta

from kalamos.errors import RecipeError
from kalamos.learn.ink.scenes import SceneRanges
from kalamos.learn.recipe import (
    Count,
    NonNegative,
    PositiveCount,
    build_table,
    check_fields,
    load_toml,
    refuse_unknown,
)

__all__ = ["GlyphShares", "InkRecipe", "load_ink_recipe"]

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
class InkRecipe:
    """All that a training depends on.

    Raises:
        RecipeError: a value of the wrong type or out of range.
    """

    seed: Count = 0
    glyphs: PositiveCount = 22_000
    """Characters that scenes are drawn of."""
    steps: PositiveCount = 12_000
    batch_size: PositiveCount = 64
    """Scenes a step; fewer where they are larger than 64 x 64."""
    lr: NonNegative = 4e-3
    weight_decay: NonNegative = 1e-3
    warmup_steps: Count = 300
    ema_decay: Annotated[float, Meta(ge=0, lt=1, description="a share in [0, 1)")] = 0.998
    channels: tuple[int, int, int, int] = (16, 24, 48, 64)
    blocks: tuple[int, int, int] = (0, 2, 2)
    shares: GlyphShares = field(default_factory=GlyphShares)
    scenes: SceneRanges = field(default_factory=SceneRanges)

    def __post_init__(self) -> None:
        check_fields(self)
        if self.warmup_steps >= self.steps:
            raise RecipeError(f"warmup_steps = {self.warmup_steps} are all of steps = {self.steps}")


def load_ink_recipe(path: Path) -> InkRecipe:
    """Read a recipe; what it does not name has the default.

    Raises:
        RecipeError: the file cannot be read, is not TOML, or has an unknown key or a value out of range.
    """
    return load_toml(path, _from_mapping)


def _from_mapping(mapping: dict[str, Any]) -> InkRecipe:
    values = dict(mapping)
    refuse_unknown("a recipe", values, InkRecipe)
    for key, kind in (("shares", GlyphShares), ("scenes", SceneRanges)):
        if key in values:
            values[key] = build_table(key, values[key], kind)
    for key in ("channels", "blocks"):
        if isinstance(values.get(key), list):
            values[key] = tuple(values[key])
    return InkRecipe(**values)
