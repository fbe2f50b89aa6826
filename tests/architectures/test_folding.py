from __future__ import annotations

import pytest
import torch
from torch import nn

from kalamos.architectures import create_model
from kalamos.architectures.folding import fold_batch_norms


@pytest.mark.parametrize("name", ["kalamos_xs", "kalamos_m"])
def test_the_answers_stay_the_same(name: str) -> None:
    torch.manual_seed(0)
    network = create_model(name, num_classes=7)
    images = torch.rand(16, 1, 28, 28)
    for _ in range(3):
        network(images)  # statistics of their own
    network.eval()
    with torch.no_grad():
        before = network(images)
        fold_batch_norms(network)
        assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
        assert torch.allclose(network(images), before, atol=1e-4)


def test_a_batch_norm_that_follows_no_convolution_stays() -> None:
    chain = nn.Sequential(nn.BatchNorm2d(1), nn.Conv2d(1, 2, 3), nn.ReLU(), nn.BatchNorm2d(2)).eval()
    fold_batch_norms(chain)
    assert [type(module) for module in chain] == [nn.BatchNorm2d, nn.Conv2d, nn.ReLU, nn.BatchNorm2d]


def test_a_network_in_training_is_refused() -> None:
    with pytest.raises(AssertionError):
        fold_batch_norms(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).train())
