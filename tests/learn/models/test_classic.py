from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kalamos.learn.models import StagedNetwork, count_parameters, create_model
from kalamos.learn.models.base import MeanMaxPool


def test_cnn2_the_parameters() -> None:
    assert count_parameters(create_model("cnn2", 10)) == 225_034


def test_cnn2_the_stages() -> None:
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


def test_cnn3_the_parameters() -> None:
    convolutions = 9 * (32 + 32 * 64 + 64 * 128)
    batch_norms = 2 * (32 + 64 + 128)
    dense = (1152 * 256 + 256) + (256 * 128 + 128) + (128 * 10 + 10)
    assert count_parameters(create_model("cnn3", 10)) == convolutions + batch_norms + dense == 422_250


def test_cnn3_the_stages() -> None:
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


def test_cnn64_the_parameters() -> None:
    first, second, dense = 10 * (3 * 25 + 1), 10 * (10 * 25 + 1), 10 * (10 * 13 * 13 + 1)
    assert count_parameters(create_model("cnn64", 10)) == first + second + dense == 20_180


def test_cnn64_the_stages() -> None:
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


def test_kalamos_m_the_parameters() -> None:
    assert count_parameters(create_model("kalamos_m", 10)) == 854_106
    assert count_parameters(create_model("kalamos_m", 256)) <= 1_000_000


def test_kalamos_m_the_stages() -> None:
    network = create_model("kalamos_m", 10).eval()
    assert network.input_size == 28
    _, *maps = network.forward_features(torch.rand(2, 1, 28, 28))
    assert {name: tuple(m.shape[1:]) for name, m in zip(network.stages, maps, strict=True)} == {
        "stem": (48, 24, 24),
        "wide": (48, 12, 12),
        "middle": (96, 6, 6),
        "deep": (160, 3, 3),
    }


def test_kalamos_s_the_parameters() -> None:
    assert count_parameters(create_model("kalamos_s", 10)) == 252_522
    assert count_parameters(create_model("kalamos_s", 62)) <= 300_000


@pytest.mark.parametrize(("size", "sides"), [(28, (24, 12, 6, 3)), (64, (60, 30, 15, 7))])
def test_kalamos_s_the_stages(size: int, sides: tuple[int, ...]) -> None:
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


@pytest.fixture
def network() -> StagedNetwork:
    torch.manual_seed(0)
    return create_model("kalamos_xs", num_classes=10).eval()


def test_the_parameters_are_few_and_known(network: StagedNetwork) -> None:
    convolutions = 16 * 25 + 32 * 16 * 9 + 32 * 32 * 9 + 64 * 32 * 9 + 88 * 64 * 9
    batch_norms = 2 * (16 + 32 + 32 + 64 + 88)
    head = 10 * 2 * (32 + 88) + 10
    assert count_parameters(network) == convolutions + batch_norms + head == 86_218
    assert count_parameters(network) <= 100_000


def test_every_stage_answers_in_its_own_shape(network: StagedNetwork) -> None:
    logits, *maps = network.forward_features(torch.rand(3, 1, 28, 28))
    assert logits.shape == (3, 10)
    assert dict(zip(network.stages, (tuple(m.shape) for m in maps), strict=True)) == {
        "stem": (3, 16, 24, 24),
        "middle": (3, 32, 8, 8),
        "deep": (3, 88, 2, 2),
    }


def test_looking_at_the_maps_changes_nothing(network: StagedNetwork) -> None:
    images = torch.rand(3, 1, 28, 28)
    logits, *maps = network.forward_features(images)
    assert torch.equal(network(images), logits)
    # The activations work in place: a map must be what the next stage really got.
    assert torch.equal(network.head(*maps[1:]), logits)
    assert all((m >= 0).all() for m in maps)


@pytest.mark.parametrize("size", [28, 32, 40])
@pytest.mark.parametrize("classes", [2, 10, 47])
def test_other_alphabets_and_input_sizes(classes: int, size: int) -> None:
    network = create_model("kalamos_xs", num_classes=classes).eval()
    assert network(torch.rand(2, 1, size, size)).shape == (2, classes)


def test_47_classes_stay_within_the_limit() -> None:
    assert count_parameters(create_model("kalamos_xs", num_classes=47)) <= 100_000


def test_each_image_is_judged_alone(network: StagedNetwork) -> None:
    images = torch.rand(4, 1, 28, 28)
    assert torch.allclose(network(images)[2:3], network(images[2:3]), atol=1e-5)


def test_gradients_reach_every_parameter(network: StagedNetwork) -> None:
    network.train()
    network(torch.rand(8, 1, 28, 28)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_the_parameters_as_keras_counts_them() -> None:
    network = create_model("lenet_bn", 47)
    assert count_parameters(network, trainable=False, statistics=True) == 284_335
    assert count_parameters(network) == 284_335 - 2 * (12 + 24 + 480 + 320) == 282_663


def test_lenet_bn_the_stages() -> None:
    network = create_model("lenet_bn", 47).eval()
    logits, *maps = network.forward_features(torch.rand(2, 1, 28, 28))
    shapes = {name: tuple(m.shape[1:]) for name, m in zip(network.stages, maps, strict=True)}
    assert shapes == {"block_1": (12, 11, 11), "block_2": (24, 3, 3)}
    assert logits.shape == (2, 47)
    assert network.input_size == 28


@pytest.mark.parametrize(
    ("arch", "most"), [("kalamos_xs", 100_000), ("kalamos_s", 300_000), ("kalamos_m", 1_000_000)]
)
def test_the_limits_hold_with_the_output_known(arch: str, most: int) -> None:
    for classes in (10, 28, 30, 31, 47):
        network = create_model(arch, classes)
        network.add_known_head()
        assert count_parameters(network) <= most
