from __future__ import annotations

import pytest
import torch

from kalamos.architectures import ARCHITECTURES, StagedNetwork, build, count_parameters
from kalamos.errors import RecipeError


def test_every_architecture_obeys_the_contract() -> None:
    assert "kalamos_xs" in ARCHITECTURES.names()
    for name in ARCHITECTURES.names():
        network = build(name, num_classes=7).eval()
        assert isinstance(network, StagedNetwork)
        logits, *maps = network.forward_features(torch.zeros(2, 1, 28, 28))
        assert logits.shape == (2, 7)
        assert len(maps) == len(network.stages) >= 1
        assert all(m.ndim == 4 and len(m) == 2 for m in maps)


def test_a_misspelt_architecture_is_answered_with_the_nearest() -> None:
    with pytest.raises(RecipeError, match="there is no architecture 'kalamos-xs'; did you mean 'kalamos_xs'"):
        build("kalamos-xs", num_classes=10)


def test_frozen_parameters_and_statistics_do_not_count() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    assert count_parameters(network) == 16 + 8
    network[0].bias.requires_grad = False
    assert count_parameters(network) == 12 + 8
