from __future__ import annotations

import pytest
import torch
from kalamos_cx import SCALE, Block, LayerNorm, kalamos_cx

from kalamos.learn.models import StagedNetwork, count_parameters, create_model


@pytest.fixture
def network() -> StagedNetwork:
    torch.manual_seed(0)
    return kalamos_cx(num_classes=10).eval()


def test_it_is_as_large_as_what_it_is_compared_with(network: StagedNetwork) -> None:
    compared = count_parameters(create_model("kalamos_xs", num_classes=10))
    assert count_parameters(network) == 86_614 == pytest.approx(compared, rel=0.01)


def test_every_stage_answers_in_its_own_shape(network: StagedNetwork) -> None:
    _, *maps = network.forward_features(torch.rand(3, 1, 28, 28))
    assert [tuple(m.shape) for m in maps] == [(3, 20, 14, 14), (3, 40, 7, 7), (3, 64, 3, 3)]


def test_layer_norm_is_over_the_channels_of_one_place() -> None:
    normed = LayerNorm(24)(torch.randn(2, 24, 3, 3) * 5 + 7)
    assert torch.allclose(normed.mean(dim=1), torch.zeros(2, 3, 3), atol=1e-5)
    assert torch.allclose(normed.var(dim=1, unbiased=False), torch.ones(2, 3, 3), atol=1e-3)


def test_a_block_changes_its_input_by_a_scaled_part() -> None:
    torch.manual_seed(0)
    block, maps = Block(8).eval(), torch.rand(2, 8, 6, 6)
    change = (block(maps) - maps) / SCALE
    block.scale.data.fill_(0)
    assert torch.equal(block(maps), maps)
    assert 0 < change.abs().mean() < 5
