from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from kalamos.errors import MissingExtraError, RecipeError, TrainingError
from kalamos.learn.models import check_input_size, count_parameters, create_model, find_architecture


def test_mobilenet_v2_the_parameters() -> None:
    transfer = create_model("mobilenet_v2_transfer", 10)
    assert count_parameters(transfer) == 165_258
    assert count_parameters(transfer, trainable=False) == 2_389_130
    assert count_parameters(create_model("mobilenet_v2", 10)) == 2_389_130


def test_mobilenet_v2_the_stages_are_the_features_of_torchvision() -> None:
    from torchvision import models

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


STAGES = [
    (16, 64, 64), (16, 32, 32), *[(24, 16, 16)] * 2, *[(40, 8, 8)] * 3, *[(48, 8, 8)] * 2,
    *[(96, 4, 4)] * 3, (576, 4, 4),
]  # fmt: skip


def test_mobilenet_v3_small_the_parameters() -> None:
    from torchvision import models

    original = count_parameters(models.mobilenet_v3_small(num_classes=10))
    assert count_parameters(create_model("mobilenet_v3_small", 10)) == original - 2 * 16 * 9 == 1_527_818


def test_mobilenet_v3_small_the_stages_are_the_features_of_torchvision() -> None:
    network = create_model("mobilenet_v3_small", 28).eval()
    assert network.input_size == 128
    assert list(network.stages) == [f"features_{index}" for index in range(13)]
    with torch.inference_mode():
        logits, *maps = network.forward_features(torch.rand(2, 1, 128, 128))
    assert [tuple(m.shape[1:]) for m in maps] == STAGES
    assert logits.shape == (2, 28)


def test_it_answers_as_torchvision_does() -> None:
    from torchvision import models

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


SMALL = "timm:test_resnet"


def test_without_timm_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtraError, match=r"needs timm.*pip install 'kalamos\[timm\]'"):
        find_architecture("timm:resnet18")


@pytest.fixture
def timm() -> object:
    return pytest.importorskip("timm", reason="needs the extra 'timm'")


@pytest.mark.usefixtures("timm")
class TestWithTimm:
    def test_the_network_and_its_stages(self) -> None:
        network = create_model(SMALL, num_classes=7).eval()
        images = torch.rand(2, 1, network.input_size, network.input_size)
        with torch.inference_mode():
            logits, *maps = network.forward_features(images)
            assert torch.equal(network(images), logits)
            assert torch.equal(network.model(images), logits)
        assert logits.shape == (2, 7)
        assert {name: tuple(m.shape[1:]) for name, m in zip(network.stages, maps, strict=True)} == {
            "act1": (32, 80, 80),
            "layer1": (32, 40, 40),
            "layer2": (48, 20, 20),
            "layer3": (192, 10, 10),
            "layer4": (96, 5, 5),
        }
        assert count_parameters(network) == 373_079
        assert network.head.out_features == 7

    def test_a_transformer_has_its_own_size(self) -> None:
        network = create_model("timm:test_vit", num_classes=3)
        assert network.input_size == 160
        assert list(network.stages) == [f"blocks_{index}" for index in range(6)]
        with pytest.raises(
            RecipeError, match="timm:test_vit does not take 28x28 images; resize them to 160x160"
        ):
            check_input_size(network, "timm:test_vit", 28)

    @pytest.mark.parametrize(
        ("name", "remedy"),
        [
            ("timm:resnet_18", "did you mean 'timm:resnet18'"),
            ("timm:", r"timm.list_models\(\)"),
            ("timm:hf-hub:someone/something", r"timm.list_models\(\)"),
            ("timm:../x", r"timm.list_models\(\)"),
        ],
    )
    def test_a_name_that_timm_does_not_know(self, name: str, remedy: str) -> None:
        with pytest.raises(RecipeError, match=f"timm has no network .*{remedy}"):
            create_model(name, num_classes=10)

    def test_the_seed_alone_decides_the_first_weights(self) -> None:
        def weights() -> torch.Tensor:
            torch.manual_seed(5)
            return torch.cat([p.flatten() for p in create_model(SMALL, num_classes=3).parameters()])

        assert torch.equal(weights(), weights())

    def test_weights_of_another_alphabet_and_of_timm_itself(self, tmp_path: Path) -> None:
        donor = create_model(SMALL, num_classes=5)
        for prefix in ("", "model."):
            state = {prefix + key: value for key, value in donor.model.state_dict().items()}
            save_file(state, tmp_path / "weights.safetensors")
            network = create_model(SMALL, num_classes=3, weights=tmp_path / "weights.safetensors")
            ours, theirs = network.state_dict(), donor.state_dict()
            fresh = {"model.fc.weight", "model.fc.bias"}
            assert ours.keys() == theirs.keys() >= fresh
            assert all(torch.equal(ours[key], theirs[key]) for key in ours.keys() - fresh)

    def test_without_a_network_its_download_fails_in_one_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        with pytest.raises(
            TrainingError, match=r"timm:test_resnet: timm's weights cannot be had .*--weights FILE"
        ):
            create_model(SMALL, num_classes=3, weights="imagenet")
