from __future__ import annotations

from dataclasses import asdict

import pytest

from kalamos.errors import RecipeError
from kalamos.training.policy import AUGMENTATIONS, Augmentation


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
