from __future__ import annotations

import torch
from torch import nn
from torchvision import models

from kalamos.architectures import count_parameters, create_model

STAGES = [
    (16, 64, 64), (16, 32, 32), *[(24, 16, 16)] * 2, *[(40, 8, 8)] * 3, *[(48, 8, 8)] * 2,
    *[(96, 4, 4)] * 3, (576, 4, 4),
]  # fmt: skip


def test_the_parameters() -> None:
    original = count_parameters(models.mobilenet_v3_small(num_classes=10))
    assert count_parameters(create_model("mobilenet_v3_small", 10)) == original - 2 * 16 * 9 == 1_527_818


def test_the_stages_are_the_features_of_torchvision() -> None:
    network = create_model("mobilenet_v3_small", 28).eval()
    assert network.input_size == 128
    assert list(network.stages) == [f"features_{index}" for index in range(13)]
    with torch.inference_mode():
        logits, *maps = network.forward_features(torch.rand(2, 1, 128, 128))
    assert [tuple(m.shape[1:]) for m in maps] == STAGES
    assert logits.shape == (2, 28)


def test_it_answers_as_torchvision_does() -> None:
    original = models.mobilenet_v3_small(num_classes=10).eval()
    with torch.no_grad():
        grey = nn.Conv2d(1, 16, 3, stride=2, padding=1, bias=False)
        original.features[0][0] = grey
    network = create_model("mobilenet_v3_small", 10).eval()
    state = {network.map_key(key): value for key, value in original.state_dict().items()}
    network.load_state_dict(state)
    images = torch.rand(2, 1, 128, 128)
    with torch.inference_mode():
        assert torch.equal(network(images), original(images))


def test_the_new_first_convolution_begins_as_the_others() -> None:
    torch.manual_seed(0)
    first = next(create_model("mobilenet_v3_small", 10).parameters())
    assert first.shape == (16, 1, 3, 3)
    expected = (2 / (16 * 9)) ** 0.5  # kaiming, by the fan out
    assert abs(float(first.detach().std()) / expected - 1) < 0.2
