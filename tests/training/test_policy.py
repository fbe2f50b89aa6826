from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Literal

import pytest
from msgspec import Meta

from kalamos.errors import RecipeError
from kalamos.training.policy import (
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
