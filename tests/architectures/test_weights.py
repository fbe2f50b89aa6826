from __future__ import annotations

import os
import pickle
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torchvision import models

from kalamos.architectures import StagedNetwork, create_model
from kalamos.architectures.weights import read_tensors
from kalamos.errors import RecipeError, TrainingError

V3 = "mobilenet_v3_small"


def save_run(network: StagedNetwork, folder: Path) -> Path:
    folder.mkdir()
    save_file(network.state_dict(), folder / "model.safetensors")
    return folder


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> set[str]:
    return {key for key in one.keys() & other.keys() if torch.equal(one[key], other[key])}


# --- what is taken -------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".misnamed"])
def test_torchvision_weights_become_grey_and_lose_their_classes(tmp_path: Path, suffix: str) -> None:
    torch.manual_seed(0)
    original = models.mobilenet_v3_small(num_classes=1000).state_dict()
    path = tmp_path / f"weights{suffix}"
    save_file(original, path) if suffix == ".safetensors" else torch.save(original, path)
    torch.manual_seed(1)
    fresh = create_model(V3, num_classes=10).state_dict()
    torch.manual_seed(1)
    network = create_model(V3, num_classes=10, weights=path)
    loaded = network.state_dict()
    own = {network.map_key(key): value for key, value in original.items()}
    first, last = "stages.features_0.0.weight", {"head.classifier.3.weight", "head.classifier.3.bias"}
    assert same(own, loaded) == loaded.keys() - last - {first}
    assert torch.equal(loaded[first], original["features.0.0.weight"].mean(dim=1, keepdim=True))
    assert all(torch.equal(loaded[key], fresh[key]) for key in last)


def test_torchvision_weights_for_colour_stay_in_colour(tmp_path: Path) -> None:
    original = models.mobilenet_v2().state_dict()
    torch.save(original, tmp_path / "weights.pth")
    network = create_model("mobilenet_v2_transfer", num_classes=10, weights=tmp_path / "weights.pth")
    stages = {key for key in network.state_dict() if key.startswith("stages.")}
    own = {network.map_key(key): value for key, value in original.items()}
    assert same(own, network.state_dict()) == stages


@pytest.mark.parametrize("by", ["folder", "file", "text"])
def test_a_run_on_another_alphabet_gives_its_body(tmp_path: Path, by: str) -> None:
    torch.manual_seed(0)
    donor = create_model("mobilenet_v2", num_classes=47)
    folder = save_run(donor, tmp_path / "run")
    weights = {"folder": folder, "file": folder / "model.safetensors", "text": str(folder)}[by]
    network = create_model("mobilenet_v2_transfer", num_classes=10, weights=weights)
    stages = {key for key in network.state_dict() if key.startswith("stages.")}
    assert same(donor.state_dict(), network.state_dict()) == stages
    assert not any(parameter.requires_grad for parameter in network.stages.parameters())


def test_a_head_of_the_same_shape_is_fresh_all_the_same(tmp_path: Path) -> None:
    donor = create_model("kalamos_xs", num_classes=10)
    network = create_model("kalamos_xs", num_classes=10, weights=save_run(donor, tmp_path / "run"))
    differing = donor.state_dict().keys() - same(donor.state_dict(), network.state_dict())
    assert differing == {"head.weight", "head.bias"}


def test_a_run_in_grey_keeps_its_first_convolution(tmp_path: Path) -> None:
    donor = create_model(V3, num_classes=5)
    network = create_model(V3, num_classes=10, weights=save_run(donor, tmp_path / "run"))
    first = "stages.features_0.0.weight"
    assert torch.equal(network.state_dict()[first], donor.state_dict()[first])


def test_half_precision_is_widened_and_counts_of_batches_may_lack(tmp_path: Path) -> None:
    donor = create_model("cnn3", num_classes=10).state_dict()
    state = {key: value.half() for key, value in donor.items() if not key.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "half.pth")
    loaded = create_model("cnn3", num_classes=10, weights=tmp_path / "half.pth").state_dict()
    assert loaded["stages.block_1.0.weight"].dtype == torch.float32
    assert torch.equal(loaded["stages.block_1.0.weight"].half(), state["stages.block_1.0.weight"])


# --- what is refused -----------------------------------------------------------------------------


def test_a_wider_layer_is_named_with_both_shapes(tmp_path: Path) -> None:
    state = create_model("cnn2", num_classes=10).state_dict()
    state["stages.block_2.0.weight"] = torch.zeros(64, 16, 3, 3)
    save_file(state, tmp_path / "x.safetensors")
    message = (
        r"it has other shapes: stages.block_2.0.weight is 64x16x3x3, not 64x32x3x3; give weights of cnn2"
    )
    with pytest.raises(RecipeError, match=message):
        create_model("cnn2", num_classes=10, weights=tmp_path / "x.safetensors")


def test_weights_of_another_network_name_what_lacks(tmp_path: Path) -> None:
    folder = save_run(create_model("kalamos_xs", num_classes=10), tmp_path / "run")
    with pytest.raises(RecipeError, match=r"it lacks stages.features_0.0.weight, .* and \d+ more"):
        create_model(V3, num_classes=10, weights=folder)


def test_tensors_too_many_are_named(tmp_path: Path) -> None:
    state = create_model("cnn2", num_classes=10).state_dict() | {"stages.block_3.0.weight": torch.zeros(3)}
    save_file(state, tmp_path / "x.safetensors")
    with pytest.raises(RecipeError, match=r"it also has stages.block_3.0.weight;"):
        create_model("cnn2", num_classes=10, weights=tmp_path / "x.safetensors")


@pytest.mark.parametrize("path", ["absent.pth", "", "no/such/folder/x.pth", "nul\0.pth", "وزن.safetensors"])
def test_a_file_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError, match=r"cnn2: .*cannot be read as weights"):
        create_model("cnn2", num_classes=10, weights=path)


class _Trap:
    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("sprung",)


def damaged_files() -> dict[str, bytes]:
    return {
        "empty": b"",
        "text": b"these are no weights at all, my friend",
        "one byte": b"\x80",
        "zip": b"PK\x03\x04" + bytes(60),
        "safetensors": b"\x20\0\0\0\0\0\0\0{" + b"x" * 40,
        "header too long": b"\xff\xff\xff\xff\xff\xff\xff\x7f{",
        "pickle": pickle.dumps(_Trap()),
        "old pickle": pickle.dumps({"a": 1}, protocol=2),
    }


@pytest.mark.parametrize("kind", damaged_files())
def test_a_damaged_or_unsafe_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights").write_bytes(damaged_files()[kind])
    with pytest.raises(TrainingError, match=r"cnn2: .*weights: is (a )?damaged"):
        create_model("cnn2", num_classes=10, weights=tmp_path / "weights")
    assert not (tmp_path / "sprung").exists()


def test_a_truncated_file(tmp_path: Path) -> None:
    state = create_model("cnn2", num_classes=10).state_dict()
    for name, save in (("x.pth", torch.save), ("x.safetensors", save_file)):
        save(state, tmp_path / name)
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(TrainingError, match=f"{name}: is (a )?damaged"):
            create_model("cnn2", num_classes=10, weights=tmp_path / name)


def test_a_whole_network_is_refused_unopened(tmp_path: Path) -> None:
    torch.save(create_model("cnn2", num_classes=10), tmp_path / "network.pth")
    with pytest.raises(TrainingError, match=r"holds more than tensors; save the network's state_dict\(\)"):
        create_model("cnn2", num_classes=10, weights=tmp_path / "network.pth")


@pytest.mark.parametrize(
    "content", [[torch.zeros(2)], {"epoch": 3}, torch.zeros(3), {"a": {"b": torch.zeros(1)}}]
)
def test_tensors_that_are_no_state_dict(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(TrainingError, match="is not a state dict"):
        read_tensors(tmp_path / "x.pth")


def test_a_refused_file_leaves_the_network_as_it_was(tmp_path: Path) -> None:
    from kalamos.architectures.weights import load_weights

    network = create_model("cnn2", num_classes=10)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    state = {key: value + 1 for key, value in before.items()}
    state["stages.block_2.0.bias"] = torch.zeros(3)
    save_file(state, tmp_path / "x.safetensors")
    with pytest.raises(RecipeError):
        load_weights(network, "cnn2", tmp_path / "x.safetensors")
    assert same(before, network.state_dict()) == before.keys()


# --- ImageNet ------------------------------------------------------------------------------------


def test_most_have_no_imagenet_weights() -> None:
    with pytest.raises(RecipeError, match="cnn2: this architecture has no ImageNet weights; leave"):
        create_model("cnn2", num_classes=10, weights="imagenet")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """PyTorch's cache, empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "hub" / "checkpoints"


@pytest.mark.parametrize(
    "error", [URLError("no route"), TimeoutError("timed out"), ConnectionResetError(104, "reset")]
)
@pytest.mark.parametrize("name", [V3, "mobilenet_v2_transfer"])
def test_a_download_that_cannot_be_had(
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    error: Exception,
) -> None:
    def no_network(*_: object) -> None:
        raise error

    monkeypatch.setattr("torch.hub.urlopen", no_network)
    with pytest.raises(TrainingError, match=f"{name}: the ImageNet weights cannot be had .*--weights FILE"):
        create_model(name, num_classes=10, weights="imagenet")
    assert list(cache.iterdir()) == []  # nothing half written that a later try would trust
    assert capsys.readouterr().out == ""


def test_cached_imagenet_weights_need_no_network(cache: Path) -> None:
    cache.mkdir(parents=True)
    original = models.mobilenet_v3_small().state_dict()
    torch.save(original, cache / Path(models.MobileNet_V3_Small_Weights.IMAGENET1K_V1.url).name)
    loaded = create_model(V3, num_classes=10, weights="imagenet").state_dict()
    assert torch.equal(loaded["stages.features_12.0.weight"], original["features.12.0.weight"])


def test_a_damaged_cache_is_told(cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / Path(models.MobileNet_V3_Small_Weights.IMAGENET1K_V1.url).name).write_bytes(b"not weights")
    with pytest.raises(TrainingError, match="the downloaded ImageNet weights are damaged"):
        create_model(V3, num_classes=10, weights="imagenet")
