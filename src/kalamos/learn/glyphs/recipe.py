"""All that the training of the base model depends on, as TOML."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from kalamos.errors import RecipeError
from kalamos.learn.recipe import (
    Augmentation,
    Count,
    NonNegative,
    PositiveCount,
    Probability,
    build_table,
    check_fields,
    load_toml,
    refuse_unknown,
)

__all__ = ["GlyphRecipe", "load_glyph_recipe"]


@dataclass(frozen=True)
class GlyphRecipe:
    """All that a training depends on.

    Raises:
        RecipeError: a value of the wrong type or out of range.
    """

    seed: Count = 0
    steps: PositiveCount = 8_000
    batch_size: PositiveCount = 128
    lr: NonNegative = 2e-3
    weight_decay: NonNegative = 0.02
    warmup_steps: Count = 300
    ema_decay: Annotated[float, Meta(ge=0, lt=1, description="a share in [0, 1)")] = 0.998
    scale: NonNegative = 24.0
    """The cosines are multiplied by it before the softmax."""
    margin: NonNegative = 0.1
    """Taken off the cosine of the right class (Wang et al. 2018)."""
    hands: Probability = 0.4
    """The share of a batch that people wrote; fonts draw the rest."""
    photographs: Count = 30_000
    """How many of the images are photographed besides."""
    drawings: PositiveCount = 5
    """How often each glyph of a font is drawn, each time by another pen."""
    characters_per_font: PositiveCount = 700
    syllables_per_font: Count = 160
    """Letters with a mark of the same font that combines with them."""
    samples_per_hand_class: PositiveCount = 1_500
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        check_fields(self)
        if self.warmup_steps >= self.steps:
            raise RecipeError(f"warmup_steps = {self.warmup_steps} are all of steps = {self.steps}")


def load_glyph_recipe(path: Path) -> GlyphRecipe:
    """Read a recipe; what it does not name has the default.

    Raises:
        RecipeError: the file cannot be read, is not TOML, or has an unknown key or a value out of range.
    """
    return load_toml(path, _from_mapping)


def _from_mapping(mapping: dict[str, Any]) -> GlyphRecipe:
    values = dict(mapping)
    refuse_unknown("a recipe", values, GlyphRecipe)
    if "augmentation" in values:
        values["augmentation"] = build_table("augmentation", values["augmentation"], Augmentation)
    return GlyphRecipe(**values)
