from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kalamos.errors import InvalidArrayError, UsageError
from kalamos.evaluation.robustness import CORRUPTIONS, STRENGTHS, corrupt

EVERY = [(name, strength) for name in CORRUPTIONS for strength in STRENGTHS]
MNIST_C = {
    "shot_noise", "impulse_noise", "glass_blur", "motion_blur", "shear", "scale", "rotate", "brightness",
    "translate", "stripe", "fog", "spatter", "dotted_line", "zigzag", "canny_edges",
}  # fmt: skip
FIXED = {"scale", "brightness", "stripe 2", "stripe 3", "canny_edges 1", "canny_edges 2"}
"""What leaves nothing to chance."""


def test_the_fifteen_of_the_paper_come_first_then_ours() -> None:
    groups = [chosen.group for chosen in CORRUPTIONS.values()]
    assert set(list(CORRUPTIONS)[:15]) == MNIST_C
    assert groups == ["MNIST-C"] * 15 + ["photograph"] * 15
    assert all(name == chosen.name and chosen.description for name, chosen in CORRUPTIONS.items())
    assert all("\n" not in chosen.description for chosen in CORRUPTIONS.values())


@pytest.mark.parametrize(("name", "strength"), EVERY)
def test_the_same_seed_makes_the_same_image(seven: np.ndarray, name: str, strength: int) -> None:
    before = seven.copy()
    first, again, *others = (corrupt(seven, name, strength, (3, row)) for row in (5, 5, *range(6, 16)))
    assert np.array_equal(seven, before)
    assert (first.dtype, first.ndim) == (np.uint8, 2)
    assert np.array_equal(first, again)
    alike = all(np.array_equal(first, other) for other in others)
    assert alike == bool({name, f"{name} {strength}"} & FIXED)
    assert not np.array_equal(first, seven)


def test_the_seed_may_be_one_number_or_several(seven: np.ndarray) -> None:
    one, also, two = (corrupt(seven, "fog", 1, seed) for seed in (3, [3], (3, 0)))
    assert np.array_equal(one, also)
    assert not np.array_equal(one, two)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_strengths_differ(seven: np.ndarray, name: str) -> None:
    images = [corrupt(seven, name, strength, 1) for strength in STRENGTHS]
    assert not np.array_equal(images[0], images[1])
    assert not np.array_equal(images[1], images[2])


@settings(max_examples=60)
@given(
    image=st.tuples(st.integers(1, 70), st.integers(1, 70)).flatmap(lambda shape: arrays(np.uint8, shape)),
    case=st.sampled_from(EVERY),
)
def test_any_image_can_be_corrupted(image: np.ndarray, case: tuple[str, int]) -> None:
    corrupted = corrupt(image, *case)
    assert corrupted.dtype == np.uint8
    assert 28 <= min(corrupted.shape) <= max(corrupted.shape) <= 256


@pytest.mark.parametrize(("name", "strength"), EVERY)
@pytest.mark.parametrize("level", [0, 255])
def test_blank_and_full_images_too(name: str, strength: int, level: int) -> None:
    assert corrupt(np.full((28, 28), level, np.uint8), name, strength).size


def test_a_photograph_of_any_size_is_reduced() -> None:
    image = np.zeros((900, 1400), np.uint8)
    image[100:800, 600:700] = 255
    assert corrupt(image, "rotate", 1).shape == (64, 64)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("shotnoise", 1), "unknown corruption 'shotnoise'; did you mean 'shot_noise'?"),
        (("fog", 0), "strength 0 of fog; choose 1, 2 or 3"),
        (("fog", 4), "strength 4 of fog"),
        (("fog", 1, -1), "seed -1 is negative"),
        (("fog", 1, (3, -1)), "is negative"),
    ],
)
def test_wrong_usage(seven: np.ndarray, arguments: tuple, told: str) -> None:
    with pytest.raises(UsageError, match="^" + told.replace("?", r"\?") if told[0] != "i" else told):
        corrupt(seven, *arguments)


@pytest.mark.parametrize(
    "image",
    [np.zeros((28, 28)), np.zeros((28, 28, 3), np.uint8), np.zeros((0, 5), np.uint8), [[1, 2]], None],
    ids=["float", "colour", "empty", "list", "None"],
)
def test_what_is_no_grey_image_is_refused(image: object) -> None:
    with pytest.raises(InvalidArrayError, match=r"fog corrupts uint8 \[H, W\], not"):
        corrupt(image, "fog", 1)  # type: ignore[arg-type]


def test_neither_the_training_nor_a_learning_library_is_loaded() -> None:
    code = (
        "import sys, kalamos.evaluation.robustness;"
        "print(*sorted({m.split('.')[0] for m in sys.modules} | set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stdout.split())
    assert "kalamos.evaluation.robustness.suite" in loaded
    assert loaded & {"torch", "torchvision", "kornia", "sklearn", "matplotlib", "PIL", "onnx"} == set()
    assert not {module for module in loaded if module.startswith("kalamos.learn")}
