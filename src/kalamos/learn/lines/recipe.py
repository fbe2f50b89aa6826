"""All that the training of a line recogniser depends on, as TOML."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from kalamos.errors import RecipeError
from kalamos.learn.lines.drawing import LineRanges
from kalamos.learn.recipe import (
    Count,
    NonNegative,
    PositiveCount,
    build_table,
    check_fields,
    load_toml,
    refuse_unknown,
)

__all__ = ["LineRecipe", "load_line_recipe"]


@dataclass(frozen=True)
class LineRecipe:
    """All that a training depends on.

    Raises:
        RecipeError: a value of the wrong type or out of range.
    """

    seed: Count = 0
    pages: PositiveCount = 10
    """Drawn for each batch of new lines, three lines each."""
    repeats: Count = 2
    """Steps with lines drawn before, each time varied, after each step with new ones."""
    steps: PositiveCount = 4_000
    """All of them."""
    lr: NonNegative = 3e-3
    weight_decay: NonNegative = 1e-2
    warmup_steps: Count = 100
    ema_decay: Annotated[float, Meta(ge=0, lt=1, description="a share in [0, 1)")] = 0.998
    place_weight: NonNegative = 2.0
    """Of the loss that asks for each character in its own place, against CTC's."""
    lines: LineRanges = field(default_factory=LineRanges)

    def __post_init__(self) -> None:
        check_fields(self)
        if self.warmup_steps >= self.steps:
            raise RecipeError(f"warmup_steps = {self.warmup_steps} are all of steps = {self.steps}")


def load_line_recipe(path: Path) -> LineRecipe:
    """Read a recipe; what it does not name has the default.

    Raises:
        RecipeError: the file cannot be read, is not TOML, or has an unknown key or a value out of range.
    """
    return load_toml(path, _from_mapping)


def _from_mapping(mapping: dict[str, Any]) -> LineRecipe:
    values = dict(mapping)
    refuse_unknown("a recipe", values, LineRecipe)
    if "lines" in values:
        values["lines"] = build_table("lines", values["lines"], LineRanges)
    return LineRecipe(**values)
