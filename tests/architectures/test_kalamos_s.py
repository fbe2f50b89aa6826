from __future__ import annotations

import pytest
import torch
from torch import nn

from kalamos.architectures import count_parameters, create_model
from kalamos.architectures.blocks import MeanMaxPool


def test_the_parameters() -> None:
    assert count_parameters(create_model("kalamos_s", 10)) == 252_522
    assert count_parameters(create_model("kalamos_s", 62)) <= 300_000


@pytest.mark.parametrize(("size", "sides"), [(28, (24, 12, 6, 3)), (64, (60, 30, 15, 7))])
def test_the_stages(size: int, sides: tuple[int, ...]) -> None:
    network = create_model("kalamos_s", 10).eval()
    assert network.input_size == 28
    _, *maps = network.forward_features(torch.rand(2, 1, size, size))
    assert {name: tuple(m.shape[1:]) for name, m in zip(network.stages, maps, strict=True)} == {
        name: (channels, side, side)
        for name, channels, side in zip(
            ("stem", "wide", "middle", "deep"), (32, 32, 64, 96), sides, strict=True
        )
    }


@pytest.mark.parametrize("name", ["kalamos_s", "kalamos_m"])
def test_int8_and_bf16_like_every_layer(name: str) -> None:
    layers = {type(layer) for layer in create_model(name, 10).modules() if not list(layer.children())}
    assert layers == {nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d, MeanMaxPool, nn.Linear}
    assert all(c.groups == 1 for c in create_model(name, 10).modules() if isinstance(c, nn.Conv2d))
