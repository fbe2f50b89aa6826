from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from kalamos.errors import MissingExtraError, RecipeError, TrainingError
from kalamos.learn.models import check_input_size, count_parameters, create_model, find_architecture

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
