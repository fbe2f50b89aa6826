from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from kalamos.architectures import create_model
from kalamos.errors import ExportError
from kalamos.export.parity import BATCH_SIZES, TOLERANCE, answer_of, check_parity, strokes
from kalamos.model_file import LoadedModel, open_model
from kalamos.training import Run


@pytest.fixture(scope="module")
def exported(tiny_model: Path) -> LoadedModel:
    return open_model(tiny_model)


def test_the_network_it_came_from_passes(exported: LoadedModel, tiny_run: Run) -> None:
    worst = check_parity(tiny_run.network, answer_of(exported), exported.spec)
    assert 0 <= worst <= TOLERANCE


def test_another_network_does_not(exported: LoadedModel) -> None:
    torch.manual_seed(1)
    with pytest.raises(ExportError, match=r"^the pt2 file differs from the network by .*, where 0\.0001 and"):
        check_parity(create_model("kalamos_xs", 10), answer_of(exported), exported.spec, "the pt2 file")


@pytest.mark.parametrize("name", ["stages.stem.0.weight", "stages.deep.2.1.bias", "head.bias"])
def test_a_weight_changed_a_little_is_noticed(exported: LoadedModel, tiny_run: Run, name: str) -> None:
    network = copy.deepcopy(tiny_run.network)
    with torch.no_grad():
        network.get_parameter(name).add_(0.01)  # all of it: a single channel may be dead
    with pytest.raises(ExportError, match="nothing was written"):
        check_parity(network, answer_of(exported), exported.spec)


def test_a_network_left_in_training_mode_is_judged_as_it_will_be_used(
    exported: LoadedModel, tiny_run: Run
) -> None:
    check_parity(copy.deepcopy(tiny_run.network).train(), answer_of(exported), exported.spec)


def test_not_a_number_is_a_difference(exported: LoadedModel, tiny_run: Run) -> None:
    network = copy.deepcopy(tiny_run.network)
    with torch.no_grad():
        network.get_parameter("head.bias")[3] = float("nan")
    with pytest.raises(ExportError, match="by nan"):
        check_parity(network, answer_of(exported), exported.spec)


def test_another_best_class_is_noticed_within_the_tolerance(exported: LoadedModel, tiny_run: Run) -> None:
    network = copy.deepcopy(tiny_run.network)
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.copy_(torch.arange(10) * 1e-6)  # all but a tie

    def reversed_answer(images: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.tile(np.arange(9, -1, -1, np.float32) * np.float32(1e-6), (len(images), 1))

    with pytest.raises(ExportError, match="the same best class"):
        check_parity(network, reversed_answer, exported.spec)


@pytest.mark.parametrize("frozen", BATCH_SIZES)
def test_a_frozen_batch_is_noticed(exported: LoadedModel, tiny_run: Run, frozen: int) -> None:
    whole = answer_of(exported)

    def answer(images: NDArray[np.float32]) -> NDArray[np.float32]:
        if len(images) != frozen:
            raise RuntimeError(f"Expected {frozen} images\nand a long tail")
        return whole(images)

    other = next(size for size in BATCH_SIZES if size != frozen)
    with pytest.raises(ExportError, match=f"fails at batch size {other}: Expected {frozen} images$"):
        check_parity(tiny_run.network, answer, exported.spec)


def test_a_lost_batch_dimension_is_noticed(exported: LoadedModel, tiny_run: Run) -> None:
    whole = answer_of(exported)
    with pytest.raises(
        ExportError, match=r"answers \[10\] at batch size 1, where the network answers \[1, 10\]"
    ):
        check_parity(tiny_run.network, lambda images: whole(images).squeeze(), exported.spec)


@pytest.mark.parametrize("size", [1, 8, 28, 128])
def test_strokes_look_like_ink(size: int) -> None:
    images = strokes(7, size, np.random.default_rng(0))
    assert (images.shape, images.dtype) == ((7, size, size), np.uint8)
    if size >= 8:
        assert all(image.max() > 100 for image in images)
        assert (images == 0).mean() > 0.3
        assert len({image.tobytes() for image in images}) == 7
