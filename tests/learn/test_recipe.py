from __future__ import annotations

import json
import math
import tomllib
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from kalamos.errors import RecipeError
from kalamos.learn import Recipe, load_recipe
from kalamos.learn.recipe import (
    AUGMENTATIONS,
    Augmentation,
    Count,
    Fraction,
    Name,
    NonNegative,
    PositiveCount,
    Probability,
    check_fields,
)
from kalamos.model_file import read_spec
from kalamos.zoo import model_path, names


def test_the_seeds_policies_are_what_the_seeds_do() -> None:
    asked = {key: value for key, value in asdict(AUGMENTATIONS["seed-arabic"]).items() if value}
    assert asked == {
        "rotate": 18.0,
        "translate": 0.12,
        "scale": 0.15,
        "shear": 7.0,
        "perspective": 0.2,
        "perspective_p": 0.2,
    }
    assert AUGMENTATIONS["none"] == Augmentation()
    assert {"mnist", "kalamos"} < set(AUGMENTATIONS)


def test_the_policies_cannot_be_changed_by_whoever_reads_them() -> None:
    with pytest.raises(TypeError):
        AUGMENTATIONS["none"] = Augmentation(rotate=1)  # type: ignore[index]


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("rotate", -1, "rotate = -1 is not a finite number"),
        ("translate", 1.0, "translate = 1.0 is not a share in [0, 1)"),
        ("scale", 1, "scale = 1 is not a share in [0, 1)"),
        ("shear", float("nan"), "shear = nan is not a finite number"),
        ("perspective", 0.7, "perspective = 0.7 is not a share in [0, 0.667)"),
        ("perspective_p", 1.1, "perspective_p = 1.1 is not a probability in [0, 1]"),
    ],
)
def test_what_no_policy_may_say(key: str, value: float, told: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Augmentation(**{key: value})
    assert told in str(caught.value)


@dataclass(frozen=True)
class Everything:
    count: PositiveCount = 1
    seed: Count = 0
    rate: NonNegative = 0.5
    part: Fraction = 0.0
    half: Annotated[float, Meta(ge=0, lt=0.5, description="a share in [0, 0.5)")] = 0.0
    chance: Probability = 1.0
    kind: Literal["a", "bee"] = "a"
    title: Name = ""
    free: object = None

    def __post_init__(self) -> None:
        check_fields(self)


def test_the_defaults_pass() -> None:
    assert Everything().kind == "a"


@pytest.mark.parametrize(
    "said",
    [
        {"count": 10**30},
        {"seed": 0},
        {"rate": 0},
        {"rate": 1e308},
        {"part": 0},
        {"part": math.nextafter(1, 0)},
        {"half": 0.4999},
        {"chance": 1},
        {"chance": 1.0},
        {"chance": 0},
        {"kind": "bee"},
        {"title": ""},
        {"free": object()},
    ],
)
def test_what_is_in_range_passes(said: dict[str, object]) -> None:
    [(key, value)] = said.items()
    assert getattr(Everything(**said), key) is value


@pytest.mark.parametrize("key", [f.name for f in fields(Everything) if f.name != "free"])
@pytest.mark.parametrize("value", [None, True, [], {}, "1", b"a", math.nan, math.inf, -1, -0.1, 10**400, 1j])
def test_what_is_out_of_range_or_no_number_is_refused(key: str, value: object) -> None:
    if (key, value) == ("title", "1") or (key in {"count", "seed"} and value == 10**400):
        Everything(**{key: value})
        return
    with pytest.raises(RecipeError, match=f"^{key} = "):
        Everything(**{key: value})


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("count", 0, "count = 0 is not a whole number of at least 1"),
        ("count", 1.0, "count = 1.0 is not a whole number of at least 1"),
        ("part", 1.0, "part = 1.0 is not a share in [0, 1)"),
        ("half", 0.5, "half = 0.5 is not a share in [0, 0.5)"),
        ("chance", 1.01, "chance = 1.01 is not a probability in [0, 1]"),
        ("kind", "be", "kind = 'be' is not one of a, bee; did you mean 'bee'?"),
        ("kind", "xyz", "kind = 'xyz' is not one of a, bee"),
        ("title", 3, "title = 3 is not a name"),
    ],
)
def test_what_it_says(key: str, value: object, told: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Everything(**{key: value})
    assert str(caught.value) == told


SHIPPED = sorted(
    path
    for path in (Path(__file__).parents[2] / "recipes").glob("*.toml")
    if path.stem not in {"digit-lines", "glyphs", "ink"}
)

FULL = """
dataset = "mnist"
classes = "inner"
budget = "data"
arch = "cnn2"
weights = "old.pth"
weights_share = 0.25
seed = 7
split = "grouped"
val_fraction = 0.2
test_fraction = 0.3
folds = 5
fold = 4
epochs = 3
batch_size = 16
optimizer = "sgd"
lr = 0.05
weight_decay = 0
momentum = 0.8
schedule = "plateau"
warmup = 0.3
step_epochs = 4
gamma = 0.2
plateau_patience = 2
clip_norm = 1.0
amp = "off"
label_smoothing = 0.1
logit_adjustment = 1
ema_decay = 0.99
no_aug_epochs = 1
patience = 5
checkpoint = "best"
extra_datasets = ["usps", "runs/fonts/digits"]
teachers = ["runs/one", "runs/two"]
distillation = 0.7
distillation_temperature = 2
outliers = 100
outlier_sets = ["shapes", "script:ahcd"]
outlier_share = 0.1
outlier_weight = 0.3
synthetic_photo_prob = 0.4
photograph_copies = 2
preprocessing = [{ step = "centre", size = 32 }, { step = "normalise", mean = 0.1, std = 0.3 }]

[augmentation]
rotate = 10
translate = 0.1
scale = 0.1
shear = 5.0
perspective = 0.3
perspective_p = 0.5
"""


def from_toml(text: str) -> Recipe:
    return Recipe.from_mapping(tomllib.loads(text))


def test_every_key_arrives(tmp_path: Path) -> None:
    path = tmp_path / "full.toml"
    path.write_text(FULL, encoding="utf-8")
    recipe = load_recipe(path)
    assert recipe == Recipe(
        dataset="mnist",
        classes="inner",
        arch="cnn2",
        weights="old.pth",
        weights_share=0.25,
        seed=7,
        split="grouped",
        val_fraction=0.2,
        test_fraction=0.3,
        folds=5,
        fold=4,
        budget="data",
        epochs=3,
        batch_size=16,
        optimizer="sgd",
        lr=0.05,
        weight_decay=0,
        momentum=0.8,
        schedule="plateau",
        warmup=0.3,
        step_epochs=4,
        gamma=0.2,
        plateau_patience=2,
        clip_norm=1.0,
        amp="off",
        label_smoothing=0.1,
        logit_adjustment=1,
        ema_decay=0.99,
        no_aug_epochs=1,
        patience=5,
        checkpoint="best",
        extra_datasets=("usps", "runs/fonts/digits"),
        teachers=("runs/one", "runs/two"),
        distillation=0.7,
        distillation_temperature=2,
        outliers=100,
        outlier_sets=("shapes", "script:ahcd"),
        outlier_share=0.1,
        outlier_weight=0.3,
        synthetic_photo_prob=0.4,
        photograph_copies=2,
        augmentation=Augmentation(10, 0.1, 0.1, 5.0, 0.3, 0.5),
        preprocessing=({"step": "centre", "size": 32}, {"step": "normalise", "mean": 0.1, "std": 0.3}),
    )
    same = [f.name for f in fields(Recipe) if getattr(recipe, f.name) == getattr(Recipe(), f.name)]
    assert same == ["dataset"], "a key that this test does not try"


OF_THE_FIRST_VERSION = {
    "also": ["usps"],
    "clean_epochs": 2,
    "photographs": 0.3,
    "keep": "best",
    "mixup": 0.0,
    "cutmix": 0.0,
}


def test_the_keys_of_the_first_version_are_read_and_kept_in_files() -> None:
    recipe = Recipe.from_mapping(OF_THE_FIRST_VERSION)
    assert recipe == Recipe(
        extra_datasets=("usps",), no_aug_epochs=2, synthetic_photo_prob=0.3, checkpoint="best"
    )
    kept = recipe.to_mapping()
    assert {key: kept[key] for key in OF_THE_FIRST_VERSION if key in kept} == {
        "also": ["usps"],
        "clean_epochs": 2,
        "photographs": 0.3,
        "keep": "best",
    }
    assert not kept.keys() & {"extra_datasets", "no_aug_epochs", "synthetic_photo_prob", "checkpoint"}
    over = Recipe().with_overrides({"keep": "best", "no_aug_epochs": 3})
    assert (over.checkpoint, over.no_aug_epochs) == ("best", 3)


def test_what_is_not_said_takes_the_default() -> None:
    assert from_toml("epochs = 3\n[augmentation]\nrotate = 4.0") == Recipe(
        epochs=3, augmentation=Augmentation(rotate=4.0)
    )
    assert from_toml("") == Recipe()


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_an_augmentation_may_be_a_policys_name(name: str) -> None:
    assert from_toml(f'augmentation = "{name}"').augmentation == AUGMENTATIONS[name]


@pytest.mark.parametrize("text", ["", FULL])
def test_a_recipe_survives_json(text: str) -> None:
    recipe = from_toml(text)
    assert Recipe.from_mapping(json.loads(json.dumps(recipe.to_mapping()))) == recipe


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_shipped_recipes_are_valid(path: Path) -> None:
    assert isinstance(load_recipe(path), Recipe)


def test_there_are_shipped_recipes() -> None:
    assert "digits" in {path.stem for path in SHIPPED}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch = 3", "a recipe has no key 'epoch'; did you mean 'epochs'?"),
        ("learning_speed = 3", "a recipe has no key 'learning_speed'; choose from: amp, arch, "),
        ("[augmentation]\nrotat = 3", "[augmentation] has no key 'rotat'; did you mean 'rotate'?"),
        ("[augmentation]\nflip = true", "[augmentation] has no key 'flip'"),
        ("augmentation = 3", "augmentation = 3 is not a table"),
        ("preprocessing = 3", "preprocessing = 3 is not a list of steps"),
        ('preprocessing = "normalise"', "preprocessing = 'normalise' is not a list of steps"),
        ("preprocessing = [3]", "preprocessing = 3 is not a table"),
        (
            'augmentation = "seed-arabik"',
            "unknown augmentation policy 'seed-arabik'; did you mean 'seed-arabic'?",
        ),
        ("[augmentation]\nperspective = 0.9", "perspective = 0.9 is not a share in [0, 0.667)"),
        ('preprocessing = [{step = "centre", size = 28}]', "the last preprocessing step is not 'normalise'"),
        ('preprocessing = [{step = "blur"}, {step = "normalise"}]', "unknown preprocessing step 'blur'"),
        ("epochs = 0", "epochs = 0 is not a whole number of at least 1"),
        ("epochs = 3.0", "epochs = 3.0 is not a whole number"),
        ("epochs = true", "epochs = True is not a whole number"),
        ('epochs = "3"', "epochs = '3' is not a whole number"),
        ("batch_size = 0", "batch_size = 0"),
        ("seed = -1", "seed = -1 is not a whole number of at least 0"),
        ("no_aug_epochs = -1", "no_aug_epochs = -1 is not a whole number of at least 0"),
        ("lr = -0.1", "lr = -0.1 is not a finite number, not negative"),
        ("lr = inf", "lr = inf is not a finite number"),
        ("lr = nan", "lr = nan is not a finite number"),
        ('lr = "1e-3"', "lr = '1e-3' is not a finite number"),
        ("ema_decay = 1.0", "ema_decay = 1.0 is not a share in [0, 1)"),
        ("label_smoothing = 1", "label_smoothing = 1 is not a share"),
        ("val_fraction = -0.1", "val_fraction = -0.1 is not a share"),
        ("[augmentation]\nscale = 1.0", "scale = 1.0 is not a share"),
        ("[augmentation]\nrotate = -5", "rotate = -5 is not a finite number"),
        ('optimizer = "adamax"', "optimizer = 'adamax' is not one of adam, adamw, sgd"),
        ('schedule = "cosin"', "schedule = 'cosin' is not one of constant, step, cosine, one-cycle, plateau"),
        ('schedule = "cosin"', "did you mean 'cosine'?"),
        ('amp = "fp8"', "amp = 'fp8' is not one of auto, off, bf16, fp16"),
        ('checkpoint = "first"', "checkpoint = 'first' is not one of last, best"),
        ('split = "writers"', "split = 'writers' is not one of stratified, grouped"),
        ("gamma = 2", "gamma = 2 is not a share"),
        ("patience = -1", "patience = -1 is not a whole number of at least 0"),
        ("mixup = 0.2", "'mixup' was removed after kalamos 0.1; leave it out"),
        ("cutmix = 1", "'cutmix' was removed after kalamos 0.1; leave it out"),
        ("keep = 'best'\ncheckpoint = 'best'", "'keep' and 'checkpoint' are one key; use 'checkpoint' alone"),
        (f"lr = {10**400}", "is not a finite number, not negative"),
        ("folds = 1", "fold = 0 of folds = 1 means nothing; cross-validation needs two folds or more"),
        ("folds = 5\nfold = 5", "fold = 5 of folds = 5 means nothing"),
        ("fold = 1", "fold = 1 of folds = 0 means nothing"),
        ("val_fraction = 0.5\ntest_fraction = 0.5", "val_fraction and test_fraction leave nothing to learn"),
        ("dataset = 3", "dataset = 3 is not a name"),
    ],
)
def test_what_a_recipe_may_not_say(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert message in str(caught.value)
    assert str(path) in caught.value.problem


def test_overriding_is_checked_as_well() -> None:
    with pytest.raises(RecipeError, match="lr = -1"):
        replace(Recipe(), lr=-1)
    with pytest.raises(RecipeError, match="augmentation = 'mnist' is not an Augmentation"):
        Recipe(augmentation="mnist")  # type: ignore[arg-type]


def test_what_lies_over_a_recipe_changes_what_it_names() -> None:
    base = from_toml('epochs = 3\naugmentation = "seed-arabic"')
    over = base.with_overrides({"lr": 0.5, "augmentation": {"rotate": 5}})
    assert over == replace(base, lr=0.5, augmentation=replace(AUGMENTATIONS["seed-arabic"], rotate=5))
    assert base.with_overrides({"augmentation": "none"}).augmentation == Augmentation()
    assert base.with_overrides({}) == base
    with pytest.raises(RecipeError, match="did you mean 'epochs'"):
        base.with_overrides({"epoch": 3})
    with pytest.raises(RecipeError, match=r"\[augmentation\] has no key 'rotat'"):
        base.with_overrides({"augmentation": {"rotat": 3}})


@pytest.mark.parametrize(
    "content", [b"epochs = = 3", b"\xff\xfe", b"epochs = " + b"9" * 5000, b"a = " + b"[" * 9999, None]
)
def test_an_unreadable_file_is_a_recipe_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "recipe.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RecipeError, match=r"recipe\.toml: cannot be read as TOML"):
        load_recipe(path)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*Recipe.__dataclass_fields__, "other"]), PLAIN, max_size=4))
def test_any_mapping_is_a_recipe_or_a_recipe_error(mapping: dict[str, Any]) -> None:
    try:
        recipe = Recipe.from_mapping(mapping)
    except RecipeError:
        return
    assert Recipe.from_mapping(recipe.to_mapping()) == recipe


@pytest.mark.parametrize("name", names())
def test_the_recipe_in_a_model_file_is_read_whatever_it_began_from(name: str) -> None:
    training = read_spec(model_path(name)).training
    assert training is not None
    recipe = Recipe.of_training(training)
    assert (recipe.dataset, recipe.seed) == (training.dataset, training.seed)
