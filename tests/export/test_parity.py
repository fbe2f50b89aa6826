from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from kalamos.architectures import build
from kalamos.errors import ExportError
from kalamos.export.parity import TOLERANCE, check_parity
from kalamos.model_file import LoadedModel, open_model
from kalamos.training import Run


@pytest.fixture(scope="module")
def exported(tiny_model: Path) -> LoadedModel:
    return open_model(tiny_model)


def test_the_network_it_came_from_passes(exported: LoadedModel, tiny_run: Run) -> None:
    worst = check_parity(tiny_run.network, exported)
    assert 0 <= worst <= TOLERANCE


def test_another_network_does_not(exported: LoadedModel) -> None:
    torch.manual_seed(1)
    with pytest.raises(ExportError, match=r"differs from the network by .*, where 0\.0001 is allowed"):
        check_parity(build("kalamos_xs", 10), exported)


@pytest.mark.parametrize("name", ["stages.stem.0.weight", "stages.deep.2.1.bias", "head.1.bias"])
def test_a_weight_changed_a_little_is_noticed(exported: LoadedModel, tiny_run: Run, name: str) -> None:
    network = copy.deepcopy(tiny_run.network)
    with torch.no_grad():
        network.get_parameter(name).add_(0.01)  # all of it: a single channel may be dead
    with pytest.raises(ExportError, match="nothing was written"):
        check_parity(network, exported)


def test_a_network_left_in_training_mode_is_judged_as_it_will_be_used(
    exported: LoadedModel, tiny_run: Run
) -> None:
    check_parity(copy.deepcopy(tiny_run.network).train(), exported)


def test_not_a_number_is_a_difference(exported: LoadedModel, tiny_run: Run) -> None:
    network = copy.deepcopy(tiny_run.network)
    with torch.no_grad():
        network.get_parameter("head.1.bias")[3] = float("nan")
    with pytest.raises(ExportError, match="by nan"):
        check_parity(network, exported)
