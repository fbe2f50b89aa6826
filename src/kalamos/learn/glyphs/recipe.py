"""All that the training of the base model depends on, as TOML."""

from __future__ import annotations

from dataclasses import dataclass, field

from kalamos.learn.recipe import Augmentation, Count, NonNegative, PositiveCount, Probability
from kalamos.learn.step_trainer import StepRecipe

__all__ = ["GlyphRecipe"]


@dataclass(frozen=True)
class GlyphRecipe(StepRecipe):
    """All that a training depends on.

    Raises:
        RecipeError: a value of the wrong type or out of range.
    """

    steps: PositiveCount = 8_000
    batch_size: PositiveCount = 128
    lr: NonNegative = 2e-3
    weight_decay: NonNegative = 0.02
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
