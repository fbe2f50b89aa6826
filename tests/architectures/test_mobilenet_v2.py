from __future__ import annotations

import torch
from torchvision import models

from kalamos.architectures import count_parameters, create_model


def test_the_parameters() -> None:
    transfer = create_model("mobilenet_v2_transfer", 10)
    assert count_parameters(transfer) == 165_258
    assert count_parameters(transfer, trainable=False) == 2_389_130
    assert count_parameters(create_model("mobilenet_v2", 10)) == 2_389_130


def test_the_stages_are_the_features_of_torchvision() -> None:
    original = models.mobilenet_v2().eval()
    network = create_model("mobilenet_v2", 10).eval()
    features = {f"features.{key}": value for key, value in original.features.state_dict().items()}
    fitting = {network.map_key(key): value for key, value in features.items()}
    assert network.load_state_dict(fitting, strict=False).unexpected_keys == []
    colour = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        _, *maps = network.forward_features(colour)
        assert torch.equal(maps[-1], original.features(colour))
    assert len(maps) == 19
    assert maps[-1].shape == (2, 1280, 2, 2)


def test_both_are_one_network() -> None:
    learnt, frozen = create_model("mobilenet_v2", 10), create_model("mobilenet_v2_transfer", 10)
    frozen.load_state_dict(learnt.state_dict())
    images = torch.rand(2, 1, 28, 28)
    with torch.inference_mode():
        assert torch.equal(learnt.eval()(images), frozen.eval()(images))


def test_colour_and_grey() -> None:
    network = create_model("mobilenet_v2", 10).eval()
    grey = torch.rand(2, 1, 28, 28)
    with torch.inference_mode():
        assert torch.allclose(network(grey), network(grey.expand(-1, 3, -1, -1)), atol=1e-4)


def test_what_is_frozen_stays_as_it_was() -> None:
    torch.manual_seed(0)
    network = create_model("mobilenet_v2_transfer", 10).train()
    assert network.training
    assert network.head.training
    before = {key: value.clone() for key, value in network.state_dict().items()}
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1, weight_decay=0.5)
    for _ in range(2):
        network(torch.rand(4, 1, 28, 28)).square().sum().backward()
        optimizer.step()
    after = network.state_dict()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed == {key for key in before if key.startswith("head.")}


def test_the_unfrozen_learns_whole() -> None:
    network = create_model("mobilenet_v2", 10).train()
    before = network.state_dict()["stages.features_0.1.running_mean"].clone()
    network(torch.rand(4, 1, 28, 28))
    assert not torch.equal(network.state_dict()["stages.features_0.1.running_mean"], before)


def test_it_may_be_moved_between_training_and_evaluation() -> None:
    network = create_model("mobilenet_v2_transfer", 10)
    assert not network.eval().head.training
    assert network.train().head.training
    assert not any(layer.training for layer in network.stages.modules())
