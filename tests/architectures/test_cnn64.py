from __future__ import annotations

import torch
from torch import nn

from kalamos.architectures import count_parameters, create_model


def test_the_parameters() -> None:
    first, second, dense = 10 * (3 * 25 + 1), 10 * (10 * 25 + 1), 10 * (10 * 13 * 13 + 1)
    assert count_parameters(create_model("cnn64", 10)) == first + second + dense == 20_180


def test_the_stages() -> None:
    network = create_model("cnn64", 10).eval()
    _, *maps = network.forward_features(torch.rand(2, 1, 64, 64))
    shapes = {name: tuple(m.shape[1:]) for name, m in zip(network.stages, maps, strict=True)}
    assert shapes == {"block_1": (10, 30, 30), "block_2": (10, 13, 13)}
    assert network.input_size == 64


def test_it_takes_colour_and_grey() -> None:
    network = create_model("cnn64", 10).eval()
    grey = torch.rand(2, 1, 64, 64)
    assert torch.allclose(network(grey), network(grey.expand(-1, 3, -1, -1)), atol=1e-5)


def test_dropout_takes_whole_maps() -> None:
    torch.manual_seed(0)
    network = create_model("cnn64", 10).train()
    assert sum(isinstance(layer, nn.Dropout2d) for layer in network.modules()) == 1
    block: nn.Module = network.stages["block_2"]
    dropped = block[:2](torch.rand(4, 10, 30, 30))  # type: ignore[index]
    empty = (dropped == 0).all(dim=(2, 3))
    assert 0 < empty.sum() < 40
    assert (dropped[~empty] != 0).all()
