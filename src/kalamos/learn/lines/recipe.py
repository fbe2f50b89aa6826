"""All that the training of a line recogniser depends on, as TOML."""

from __future__ import annotations

from dataclasses import dataclass, field

from kalamos.learn.lines.drawing import LineRanges
from kalamos.learn.recipe import Count, NonNegative, PositiveCount
from kalamos.learn.step_trainer import StepRecipe

__all__ = ["LineRecipe"]


@dataclass(frozen=True)
class LineRecipe(StepRecipe):
    """All that a training depends on.

    Raises:
        RecipeError: a value of the wrong type or out of range.
    """

    pages: PositiveCount = 10
    """Drawn for each batch of new lines, three lines each."""
    repeats: Count = 2
    """Steps with lines drawn before, each time varied, after each step with new ones."""
    steps: PositiveCount = 4_000
    """All of them."""
    lr: NonNegative = 3e-3
    weight_decay: NonNegative = 1e-2
    warmup_steps: Count = 100
    place_weight: NonNegative = 2.0
    """Of the loss that asks for each character in its own place, against CTC's."""
    lines: LineRanges = field(default_factory=LineRanges)
