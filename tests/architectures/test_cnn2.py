from __future__ import annotations

import torch
import torch.nn.functional as F

from kalamos.architectures import count_parameters, create_model


def test_the_parameters() -> None:
    assert count_parameters(create_model("cnn2", 10)) == 225_034


def test_the_stages() -> None:
    network = create_model("cnn2", 10).eval()
    _, *maps = network.forward_features(torch.rand(2, 1, 28, 28))
    shapes = {name: tuple(m.shape[1:]) for name, m in zip(network.stages, maps, strict=True)}
    assert shapes == {"block_1": (32, 13, 13), "block_2": (64, 5, 5)}
    assert network.input_size == 28


def test_it_is_the_network_of_the_textbooks() -> None:
    network = create_model("cnn2", 10).eval()
    images = torch.rand(2, 1, 28, 28)
    one, two, first, last = (
        layer for layer in network.modules() if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear)
    )
    maps = F.max_pool2d(F.relu(one(images)), 2)
    maps = F.max_pool2d(F.relu(two(maps)), 2)
    assert torch.equal(network(images), last(F.relu(first(maps.flatten(1)))))
