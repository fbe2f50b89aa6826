"""A recipe is everything that a training run depends on, as TOML.

>>> Recipe(epochs=3).epochs
3
>>> Recipe.from_mapping({"epoch": 3})
Traceback (most recent call last):
...
kalamos.errors.RecipeError: a recipe has no key 'epoch'; did you mean 'epochs'?
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from kalamos.errors import PreprocessingError, RecipeError, suggest
from kalamos.preprocessing import DEFAULT_STEPS, Preprocessor

__all__ = ["Augmentation", "Recipe", "load_recipe"]

CHOICES = {"optimizer": ("adam", "adamw", "sgd"), "schedule": ("constant", "one-cycle")}
SHARES = {"val_fraction", "momentum", "label_smoothing", "ema_decay", "warmup", "translate", "scale"}


@dataclass(frozen=True)
class Augmentation:
    """Random affine deformation, drawn anew for every image and epoch; never a flip."""

    rotate: float = 0.0
    """Degrees, uniform in [-rotate, rotate]; likewise below."""
    translate: float = 0.0
    """Share of the image's side."""
    scale: float = 0.0
    """Share: 0.1 scales by 0.9 to 1.1."""
    shear: float = 0.0
    """Degrees of slant."""

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True)
class Recipe:
    """What to train on what, and how. Values out of range raise `RecipeError`."""

    dataset: str = "mnist"
    arch: str = "kalamos_xs"
    seed: int = 42
    val_fraction: float = 0.1
    """Stratified share of the official training split held out for validation."""
    epochs: int = 10
    batch_size: int = 64
    optimizer: str = "adamw"
    lr: float = 1e-3
    """The schedule's highest learning rate."""
    weight_decay: float = 0.01
    momentum: float = 0.9
    """For SGD, with Nesterov's correction."""
    schedule: str = "one-cycle"
    warmup: float = 0.2
    """Share of the steps over which one-cycle climbs to `lr`."""
    label_smoothing: float = 0.0
    ema_decay: float = 0.0
    """Per step; 0 keeps no average. The averaged weights are the ones kept."""
    clean_epochs: int = 0
    """The last epochs, without augmentation."""
    augmentation: Augmentation = field(default_factory=Augmentation)
    preprocessing: tuple[Mapping[str, object], ...] = DEFAULT_STEPS

    def __post_init__(self) -> None:
        _check(self)
        try:
            Preprocessor(self.preprocessing)
        except PreprocessingError as error:
            raise RecipeError(error.problem, remedy=error.remedy) from error

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Recipe:
        """Build from plain data, refusing unknown keys.

        Raises:
            RecipeError: an unknown key, or a value of the wrong type or range.
        """
        values = dict(mapping)
        _refuse_unknown("a recipe", values, cls)
        if "augmentation" in values:
            augmentation = _mapping("augmentation", values["augmentation"])
            _refuse_unknown("[augmentation]", augmentation, Augmentation)
            values["augmentation"] = Augmentation(**augmentation)
        if "preprocessing" in values:
            steps = values["preprocessing"]
            if not isinstance(steps, (list, tuple)):
                raise RecipeError(f"preprocessing = {steps!r} is not a list of steps")
            values["preprocessing"] = tuple(_mapping("preprocessing", step) for step in steps)
        return cls(**values)

    def to_mapping(self) -> dict[str, Any]:
        """Plain JSON types; `Recipe.from_mapping` takes it back."""
        plain = asdict(self)
        plain["preprocessing"] = [dict(step) for step in self.preprocessing]
        return plain


def load_recipe(path: Path) -> Recipe:
    """Read a recipe from a TOML file.

    Raises:
        RecipeError: the file is absent, is not TOML, or does not say a valid recipe.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read as TOML ({error})") from error
    try:
        return Recipe.from_mapping(content)
    except RecipeError as error:
        raise RecipeError(f"{path}: {error.problem}", remedy=error.remedy) from error


def _mapping(key: str, value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise RecipeError(f"{key} = {value!r} is not a table")
    return dict(value)


def _refuse_unknown(what: str, values: Mapping[str, Any], cls: type[Recipe | Augmentation]) -> None:
    known = [f.name for f in fields(cls)]
    for key in values:
        if key not in known:
            raise RecipeError(f"{what} has no key {key!r}", remedy=suggest(key, known))


def _check(config: Recipe | Augmentation) -> None:
    for entry in fields(config):
        name, value = entry.name, getattr(config, entry.name)
        if entry.type == "int":
            least = 0 if name in {"seed", "clean_epochs"} else 1
            valid = type(value) is int and value >= least
            wanted = f"a whole number of at least {least}"
        elif entry.type == "float":
            most = 1.0 if name in SHARES else float("inf")
            valid = type(value) in {int, float} and 0 <= value < most
            wanted = "a share in [0, 1)" if most == 1 else "a finite number, not negative"
        elif entry.type == "str":
            choices = CHOICES.get(name)
            valid = isinstance(value, str) and (choices is None or value in choices)
            wanted = f"one of {', '.join(choices)}" if choices else "a name"
        else:
            continue
        if not valid:
            raise RecipeError(f"{name} = {value!r} is not {wanted}")
