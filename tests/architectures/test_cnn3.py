from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kalamos.architectures import count_parameters, create_model


def test_the_parameters() -> None:
    convolutions = 9 * (32 + 32 * 64 + 64 * 128)
    batch_norms = 2 * (32 + 64 + 128)
    dense = (1152 * 256 + 256) + (256 * 128 + 128) + (128 * 10 + 10)
    assert count_parameters(create_model("cnn3", 10)) == convolutions + batch_norms + dense == 422_250


def test_the_stages() -> None:
    network = create_model("cnn3", 10).eval()
    _, *maps = network.forward_features(torch.rand(2, 1, 28, 28))
    shapes = {name: tuple(m.shape[1:]) for name, m in zip(network.stages, maps, strict=True)}
    assert shapes == {"block_1": (32, 14, 14), "block_2": (64, 7, 7), "block_3": (128, 3, 3)}
    assert network.input_size == 28


def test_relu_may_follow_the_pooling_in_values_and_gradients() -> None:
    torch.manual_seed(0)
    network = create_model("cnn3", 10).train()
    for layer in network.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0  # so that two passes can be compared
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, -1, 1)
    images = torch.rand(8, 1, 28, 28)

    def textbook(maps: Tensor) -> Tensor:
        for stage in network.stages.values():
            convolution, batch_norm, *_ = stage
            maps = F.max_pool2d(F.relu(batch_norm(convolution(maps))), 2)
        return network.head(maps)

    gradients = []
    for answer in (network(images), textbook(images)):
        network.zero_grad()
        answer.square().sum().backward()
        gradients.append((answer, *(p.grad for p in network.parameters())))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_the_dropout() -> None:
    assert [layer.p for layer in create_model("cnn3", 10).modules() if isinstance(layer, nn.Dropout)] == [
        0.25
    ] * 3 + [0.5]
