from __future__ import annotations

import math
from dataclasses import dataclass, fields

import pytest

from kalamos.errors import RecipeError
from kalamos.training.checks import check, choice, name, number, probability, share, whole


@dataclass(frozen=True)
class Everything:
    count: int = whole(1)
    seed: int = whole(0, least=0)
    rate: float = number(0.5)
    part: float = share(0.0)
    half: float = share(0.0, below=0.5)
    chance: float = probability(1.0)
    kind: str = choice("a", "a", "bee")
    title: str = name("")
    free: object = None

    def __post_init__(self) -> None:
        check(self)


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
