from __future__ import annotations

import torch

from kalamos.architectures import count_parameters, create_model


def test_the_parameters() -> None:
    assert count_parameters(create_model("kalamos_m", 10)) == 854_106
    assert count_parameters(create_model("kalamos_m", 256)) <= 1_000_000


def test_the_stages() -> None:
    network = create_model("kalamos_m", 10).eval()
    assert network.input_size == 28
    _, *maps = network.forward_features(torch.rand(2, 1, 28, 28))
    assert {name: tuple(m.shape[1:]) for name, m in zip(network.stages, maps, strict=True)} == {
        "stem": (48, 24, 24),
        "wide": (48, 12, 12),
        "middle": (96, 6, 6),
        "deep": (160, 3, 3),
    }
