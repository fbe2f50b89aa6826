"""Recipes: everything that a training run depends on, as TOML; augmentation policies by name.

>>> Recipe(epochs=3).epochs
3
>>> Recipe.from_mapping({"epoch": 3})
Traceback (most recent call last):
...
kalamos.errors.RecipeError: a recipe has no key 'epoch'; did you mean 'epochs'?
>>> AUGMENTATIONS["seed-arabic"].rotate
18.0
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from kalamos.datasets import ClassFolders
from kalamos.errors import PreprocessingError, RecipeError, suggest
from kalamos.model_file.spec import LEARNT_BEFORE, TrainingRecord
from kalamos.preprocessing import Preprocessor

__all__ = [
    "AUGMENTATIONS",
    "Augmentation",
    "Count",
    "Fraction",
    "Name",
    "NonNegative",
    "PositiveCount",
    "Probability",
    "Recipe",
    "build_table",
    "check_fields",
    "load_recipe",
    "load_toml",
    "refuse_unknown",
]

Config = TypeVar("Config")

Count = Annotated[int, Meta(ge=0, description="a whole number of at least 0")]
OutlierCount = Annotated[Count | Literal["auto"], Meta(description="a whole number of at least 0, or 'auto'")]
PositiveCount = Annotated[int, Meta(ge=1, description="a whole number of at least 1")]
NonNegative = Annotated[float, Meta(ge=0, le=sys.float_info.max, description="a finite number, not negative")]
Fraction = Annotated[float, Meta(ge=0, lt=1, description="a share in [0, 1)")]
Probability = Annotated[float, Meta(ge=0, le=1, description="a probability in [0, 1]")]
Name = Annotated[str, Meta(description="a name")]
Names = Annotated[tuple[Annotated[str, Meta(min_length=1)], ...], Meta(description="a list of names")]


def check_fields(config: Any) -> None:
    """Check the fields of a dataclass that have a `Literal` or annotated type, with msgspec.

    >>> @dataclass(frozen=True)
    ... class Oven:
    ...     degrees: NonNegative = 180.0
    ...     def __post_init__(self) -> None:
    ...         check_fields(self)
    >>> Oven(degrees=-1)
    Traceback (most recent call last):
    ...
    kalamos.errors.RecipeError: degrees = -1 is not a finite number, not negative

    Raises:
        RecipeError: a value has the wrong type or is out of range.
    """
    for name, wanted in get_type_hints(type(config), include_extras=True).items():
        if get_origin(wanted) not in {Annotated, Literal}:
            continue
        value = getattr(config, name)
        try:
            msgspec.convert(value, wanted)
        except (msgspec.ValidationError, OverflowError) as error:
            choices = get_args(wanted) if get_origin(wanted) is Literal else ()
            described = f"one of {', '.join(choices)}" if choices else wanted.__metadata__[0].description
            near = suggest(value, choices, otherwise="") if isinstance(value, str) else ""
            remedy = near if near.startswith("did you mean") else ""
            raise RecipeError(f"{name} = {value!r} is not {described}", remedy=remedy) from error


@dataclass(frozen=True)
class Augmentation:
    """A random deformation and another pen, drawn anew for every image and epoch."""

    rotate: NonNegative = 0.0
    """Degrees, uniform in [-rotate, rotate]; likewise below."""
    translate: Fraction = 0.0
    """Fraction of the image's side."""
    scale: Fraction = 0.0
    """0.1 scales by 0.9 to 1.1."""
    shear: NonNegative = 0.0
    """Degrees of slant."""
    perspective: Annotated[float, Meta(ge=0, lt=2 / 3, description="a share in [0, 0.667)")] = 0.0
    """How far each corner moves inwards at most, as a fraction of half the side. From 2/3 on the four could
    form a dart, which no homography maps to a square."""
    perspective_p: Probability = 1.0
    """The fraction of the images that get the perspective."""
    elastic: Annotated[float, Meta(ge=0, lt=0.25, description="a share in [0, 0.25)")] = 0.0
    """How far each of 5x5 grid points moves at most, as a fraction of the side."""

    pen: Probability = 0.0
    """Stroke width: 1 grows or shrinks strokes by up to a pixel on either side."""
    gamma: NonNegative = 0.0
    """Grey values are raised to exp(-gamma) up to exp(gamma): softer or harder edges."""
    blur: Annotated[float, Meta(ge=0, le=16, description="a number in [0, 16]")] = 0.0
    """Up to so many passes of a 3x3 binomial blur: b passes have a standard deviation of sqrt(b / 2) px."""
    noise: Probability = 0.0
    """Largest standard deviation of grey noise; 1 is the ink's own level."""
    gaps: Probability = 0.0
    """The fraction of the images that get a gap of one to four pixels, as pens that skip leave."""
    fading: Probability = 0.0
    """The fraction of the images whose ink comes and goes: a dry pen, or too few pixels of a faint one."""
    motion: Probability = 0.0
    """The fraction of the images blurred along up to a fifth of the side, by a camera that moved."""
    lines: Probability = 0.0
    """The fraction of the images that get a piece of a ruled line or of a cell's border near an edge."""
    clutter: Probability = 0.0
    """The fraction of the images crossed by up to three thin straight strokes: creases, a ruled line, a
    neighbour's pen."""

    def __post_init__(self) -> None:
        check_fields(self)


AUGMENTATIONS = MappingProxyType(
    {
        "none": Augmentation(),
        "mnist": Augmentation(rotate=10.0, translate=0.1, scale=0.1),
        "seed-arabic": Augmentation(
            rotate=18.0, translate=0.12, scale=0.15, shear=7.0, perspective=0.2, perspective_p=0.2
        ),
        "kalamos": Augmentation(rotate=15.0, translate=0.075, scale=0.1, shear=6.0),
        "pens": Augmentation(
            rotate=15.0,
            translate=0.075,
            scale=0.12,
            shear=12.0,
            elastic=0.04,
            pen=0.6,
            gamma=0.4,
            blur=0.6,
            noise=0.08,
            gaps=0.15,
            lines=0.05,
        ),
    }
)
"""`mnist` is what most MNIST tutorials use; `seed-arabic` is Arabic-MNIST's (its padding of 12 px belongs to
the preprocessing, so that prediction pads as well); `kalamos` moves the paper alone, `pens`
changes the pen too."""

STORED_KEYS: Final = {
    "extra_datasets": "also",
    "no_aug_epochs": "clean_epochs",
    "synthetic_photo_prob": "photographs",
    "checkpoint": "keep",
}
"""Field -> its key in run folders and model files, which kalamos 0.1 reads too. TOML takes both spellings."""

REMOVED_KEYS: Final = ("mixup", "cutmix")
"""Keys of kalamos 0.1, which wrote them into every run folder and model file: zero where they were off."""


@dataclass(frozen=True)
class Recipe:
    """What to train on what, and how. Values out of range raise `RecipeError`."""

    dataset: Name = "mnist"
    """A name, or the path of a folder, a CSV manifest or a zip of either."""
    classes: Literal["auto", "outer", "inner", "both"] = "auto"
    """Where the dataset's folders hold folders: which of them name the classes, see `load_dataset`."""
    extra_datasets: Names = ()
    """Further datasets whose training images are all trained on: none is held out. Their labels
    are among the dataset's."""
    arch: Name = "kalamos_xs"
    weights: Name = ""
    """To begin from: `imagenet`, a shipped model, a model file, a file of weights, or a run folder; empty or
    `none` for fresh ones."""
    weights_share: Fraction = 0.0
    """The share that those weights have in the final ones, averaged with what training made of them (WiSE-FT,
    Wortsman et al. 2022); of a shipped model or a model file."""
    seed: Count = 42

    split: Literal["stratified", "grouped", "auto"] = "stratified"
    """`stratified` gives every class its share; `grouped` also keeps each writer or font on one side; `auto`
    does where hands are known and enough, and a run keeps which."""
    val_fraction: Fraction = 0.1
    """Fraction of the training images held out for validation; not used with `folds`, nor where the
    dataset has an official validation split."""
    test_fraction: Fraction = 0.0
    """Fraction held out beyond that and never trained on, for a dataset without an official test split."""
    folds: Count = 0
    """Of k-fold cross-validation; 0 is off."""
    fold: Count = 0
    """Which of the folds is held out, from 0."""

    budget: Literal["epochs", "data"] = "epochs"
    """`data` sets the epochs by the number of images; a run keeps how many."""
    epochs: PositiveCount = 10
    batch_size: PositiveCount = 64
    optimizer: Literal["adam", "adamw", "sgd"] = "adamw"
    lr: NonNegative = 1e-3
    """The schedule's highest learning rate."""
    weight_decay: NonNegative = 0.01
    momentum: Fraction = 0.9
    """For SGD, with Nesterov's correction."""
    schedule: Literal["constant", "step", "cosine", "one-cycle", "plateau"] = "one-cycle"
    warmup: Fraction = 0.2
    """Fraction of the steps over which one-cycle and cosine climb to `lr`."""
    step_epochs: PositiveCount = 10
    """`step` multiplies the rate by `gamma` after this many epochs, again and again."""
    gamma: Fraction = 0.1
    """What `step` and `plateau` multiply the rate by."""
    plateau_patience: Count = 3
    """Epochs without a lower validation loss that `plateau` lets pass."""
    clip_norm: NonNegative = 0.0
    """Largest norm of the gradients; 0 does not clip."""
    amp: Literal["auto", "off", "bf16", "fp16"] = "auto"
    """Mixed precision; `auto` uses what the device does faster and as well."""

    label_smoothing: Fraction = 0.0
    logit_adjustment: NonNegative = 0.0
    """Tau of Menon et al. 2021: 1 learns as if all classes came equally often; 0 is off."""
    ema_decay: Fraction = 0.0
    """Per step; 0 keeps no average. The averaged weights are the ones kept."""
    no_aug_epochs: Count = 0
    """The last epochs, without augmentation and photographs."""
    patience: Count = 0
    """Epochs without a better validation accuracy after which training stops early; 0 never stops."""
    checkpoint: Literal["last", "best"] = "last"
    """Which epoch's weights: the last, or those of the best validation accuracy (which that
    accuracy then flatters)."""

    teachers: Names = ()
    """Run folders, model files or shipped models whose averaged answers this one is distilled from (Hinton
    et al. 2015)."""
    distillation: Probability = 0.0
    """The teachers' share of the loss; the labels have the rest."""
    distillation_temperature: NonNegative = 4.0

    outliers: OutlierCount = 0
    """How many images that are no character to learn from (Hendrycks et al. 2019); with 0 the network does
    not tell whether an image is one. `auto` takes as many as the training images ask for, drawn without any
    data files; a run keeps their number."""
    outlier_sets: Names = ()
    """What they are drawn from, see `kalamos.evaluation.ood`; empty: all sets whose files are there, which a
    run keeps the names of."""
    outlier_share: Fraction = 0.25
    """How many join each batch, as a share of its size."""
    outlier_weight: NonNegative = 0.5
    """Of the known head's part of the loss, its binary cross-entropy."""

    synthetic_photo_prob: Probability = 0.0
    """The share of the images that are seen as photographed, see `kalamos.learn.synthetic_photos`."""
    photograph_copies: PositiveCount = 1
    """How many photographs of each image there are to choose from."""
    augmentation: Augmentation = field(default_factory=Augmentation)
    """In TOML a table, or a policy's name."""
    preprocessing: tuple[Mapping[str, object], ...] = ()
    """Empty: the default steps at the network's own input size."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.folds == 1 or self.fold >= max(self.folds, 1):
            raise RecipeError(
                f"fold = {self.fold} of folds = {self.folds} means nothing",
                remedy="cross-validation needs two folds or more; fold counts from 0",
            )
        if self.val_fraction + self.test_fraction >= 1:
            raise RecipeError("val_fraction and test_fraction leave nothing to learn from")
        if bool(self.teachers) != bool(self.distillation) or not self.distillation_temperature:
            raise RecipeError(
                f"teachers = {list(self.teachers)} with distillation = {self.distillation} at temperature "
                f"{self.distillation_temperature} teaches nothing",
                remedy="distillation needs all three: teachers, a share of the loss, a temperature",
            )
        if not isinstance(self.augmentation, Augmentation):
            raise RecipeError(f"augmentation = {self.augmentation!r} is not an Augmentation")
        if self.preprocessing:
            try:
                Preprocessor(self.preprocessing)
            except PreprocessingError as error:
                raise RecipeError(error.problem, remedy=error.remedy) from error

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Recipe:
        """Build from plain data, under either spelling of its keys; unknown keys are refused.

        Raises:
            RecipeError: an unknown key, a key given twice, or a value of the wrong type or range.
        """
        values = _current_keys(mapping)
        refuse_unknown("a recipe", values, cls)
        if "augmentation" in values:
            values["augmentation"] = _augmentation(values["augmentation"])
        for key in ("extra_datasets", "teachers", "outlier_sets"):
            if isinstance(values.get(key), list):
                values[key] = tuple(values[key])
        if "preprocessing" in values:
            steps = values["preprocessing"]
            if not isinstance(steps, (list, tuple)):
                raise RecipeError(f"preprocessing = {steps!r} is not a list of steps")
            values["preprocessing"] = tuple(_mapping("preprocessing", step) for step in steps)
        return cls(**values)

    @classmethod
    def of_training(cls, training: TrainingRecord) -> Recipe:
        """Return the recipe that a model file says it was trained by.

        Raises:
            RecipeError: it is not one of this kalamos.
        """
        # The one thing that an export notes besides the recipe itself.
        return cls.from_mapping(
            {key: value for key, value in training.recipe.items() if key != LEARNT_BEFORE}
        )

    @property
    def class_folders(self) -> ClassFolders | None:
        """`classes` as `load_dataset` takes it."""
        return None if self.classes == "auto" else self.classes

    def with_overrides(self, over: Mapping[str, Any]) -> Recipe:
        """Return a copy with other values, as plain data; an `augmentation` table merges into this one's.

        >>> recipe = Recipe.from_mapping({"augmentation": "mnist"})
        >>> recipe.with_overrides({"augmentation": {"rotate": 5}, "epochs": 3}).augmentation.translate
        0.1
        """
        plain = _current_keys(self.to_mapping())
        for key, value in _current_keys(over).items():
            table = key == "augmentation" and isinstance(value, Mapping)
            plain[key] = {**plain[key], **value} if table else value
        return self.from_mapping(plain)

    def to_mapping(self) -> dict[str, Any]:
        """Return plain JSON types, as run folders and model files keep them; `from_mapping` reads them."""
        plain = {STORED_KEYS.get(key, key): value for key, value in asdict(self).items()}
        plain["also"], plain["teachers"] = list(self.extra_datasets), list(self.teachers)
        plain["outlier_sets"] = list(self.outlier_sets)
        plain["preprocessing"] = [dict(step) for step in self.preprocessing]
        return plain


def load_recipe(path: Path) -> Recipe:
    """Read a recipe from a TOML file.

    Raises:
        RecipeError: the file is absent, is not TOML, or does not say a valid recipe.
    """
    return load_toml(path, Recipe.from_mapping)


def load_toml(path: Path, build: Callable[[dict[str, Any]], Config]) -> Config:
    """Read a TOML file and build a recipe of it; what is wrong with its values names the file too.

    Raises:
        RecipeError: the file is absent, is not TOML, or does not say a valid recipe.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # not TOML, or beyond what Python takes of it
        raise RecipeError(f"{path}: cannot be read as TOML ({error})") from error
    try:
        return build(content)
    except RecipeError as error:
        raise RecipeError(f"{path}: {error.problem}", remedy=error.remedy) from error


def _current_keys(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Rename the stored keys to the fields', and drop keys that were removed if they were off."""
    values = dict(mapping)
    for key, stored in STORED_KEYS.items():
        if stored in values:
            if key in values:
                raise RecipeError(f"{stored!r} and {key!r} are one key", remedy=f"use {key!r} alone")
            values[key] = values.pop(stored)
    for key in REMOVED_KEYS:
        if values.pop(key, 0):
            raise RecipeError(f"{key!r} was removed after kalamos 0.1", remedy="leave it out")
    return values


def _augmentation(value: object) -> Augmentation:
    if isinstance(value, str):
        if value not in AUGMENTATIONS:
            raise RecipeError(f"unknown augmentation policy {value!r}", remedy=suggest(value, AUGMENTATIONS))
        return AUGMENTATIONS[value]
    return build_table("augmentation", value, Augmentation)


def build_table(key: str, value: object, cls: type[Config]) -> Config:
    """Build a dataclass from the table under a key.

    Raises:
        RecipeError: not a table, an unknown key in it, or a value of the wrong type or range.
    """
    table = _mapping(key, value)
    refuse_unknown(f"[{key}]", table, cls)
    return cls(**table)


def _mapping(key: str, value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise RecipeError(f"{key} = {value!r} is not a table")
    return dict(value)


def refuse_unknown(what: str, values: Mapping[str, Any], cls: type[Any]) -> None:
    """Raise `RecipeError` for a key that is no field of a dataclass."""
    known = [f.name for f in fields(cls)]
    for key in values:
        if key not in known:
            raise RecipeError(f"{what} has no key {key!r}", remedy=suggest(key, known))
