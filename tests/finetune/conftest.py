"""A model of seven digits, made of the shipped one; its other three are the new classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from kalamos.alphabets import Alphabet
from kalamos.finetune import Examples, FineTuned, fine_tune
from kalamos.finetune.head import Head, split_model, with_head
from kalamos.model_file import METADATA_KEY, open_model
from kalamos.zoo import model_path

OLD, NEW = "0123456", "789"


def drawn(label: str, generator: np.random.Generator) -> NDArray[np.uint8]:
    """A printed digit, slanted, turned, stretched and of some pen: uint8 [64, 64], dark on white."""
    page = np.full((64, 64), 255, np.uint8)
    pen = int(generator.integers(2, 6))
    cv2.putText(page, label, (18, 46), cv2.FONT_HERSHEY_SIMPLEX, 1.3, 0, pen, cv2.LINE_AA)
    slant, turn = generator.uniform(-0.25, 0.25), generator.uniform(-0.2, 0.2)
    shape = np.array([[generator.uniform(0.7, 1.2), slant], [turn, 1]])
    warp = np.hstack([shape, 32 - shape @ [[32], [32]]])
    return np.asarray(cv2.warpAffine(page, warp, (64, 64), borderValue=255), np.uint8)


@pytest.fixture(scope="session")
def seven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped `digits` with the rows of 0 to 6 alone. Read it only."""
    pytest.importorskip("onnx", reason="needs the extra 'teach'")
    content = model_path("digits").read_bytes()
    spec = open_model(content).spec
    _, head = split_model(content, spec, "digits")
    fewer = replace(
        spec,
        name="seven",
        alphabet=Alphabet("seven", tuple(OLD)),
        metrics=(),
        selective=None,
        robustness=(),
    )
    rows = Head(head.weight[: len(OLD)], head.bias[: len(OLD)])
    path = tmp_path_factory.mktemp("seven") / "seven.onnx"
    path.write_bytes(with_head(content, rows, {METADATA_KEY: fewer.to_json()}, "digits"))
    return path


@pytest.fixture(scope="session")
def new_digits() -> Examples:
    """Ten of each of 7, 8 and 9, none of them a copy of another."""
    generator = np.random.default_rng(2)
    labels = list(NEW * 10)
    return Examples.of([drawn(label, generator) for label in labels], labels, "new digits")


@pytest.fixture(scope="session")
def old_digits() -> Examples:
    generator = np.random.default_rng(2)
    labels = list(OLD * 5)
    return Examples.of([drawn(label, generator) for label in labels], labels, "old digits")


@pytest.fixture(scope="session")
def lesson(seven: Path, new_digits: Examples) -> FineTuned:
    """What `seven` becomes by 7, 8 and 9."""
    return fine_tune(seven, new_digits)
