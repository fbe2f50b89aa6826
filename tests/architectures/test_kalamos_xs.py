from __future__ import annotations

import pytest
import torch

from kalamos.architectures import StagedNetwork, count_parameters, create_model


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
