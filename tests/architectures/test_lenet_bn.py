from __future__ import annotations

import torch

from kalamos.architectures import count_parameters, create_model


def test_the_parameters_as_keras_counts_them() -> None:
    network = create_model("lenet_bn", 47)
    assert count_parameters(network, trainable=False, statistics=True) == 284_335
    assert count_parameters(network) == 284_335 - 2 * (12 + 24 + 480 + 320) == 282_663


def test_the_stages() -> None:
    network = create_model("lenet_bn", 47).eval()
    logits, *maps = network.forward_features(torch.rand(2, 1, 28, 28))
    shapes = {name: tuple(m.shape[1:]) for name, m in zip(network.stages, maps, strict=True)}
    assert shapes == {"block_1": (12, 11, 11), "block_2": (24, 3, 3)}
    assert logits.shape == (2, 47)
    assert network.input_size == 28
