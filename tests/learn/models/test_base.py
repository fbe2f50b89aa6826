from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from kalamos.errors import RecipeError, TrainingError
from kalamos.learn import Run
from kalamos.learn.models import (
    ARCHITECTURES,
    StagedNetwork,
    check_input_size,
    count_parameters,
    create_model,
)
from kalamos.learn.models.base import (
    MeanMaxPool,
    PooledLinear,
    Residual,
    RGBConv2d,
    conv_bn_relu,
    fold_batch_norms,
    read_tensors,
)
from kalamos.preprocessing import default_steps


def test_mean_and_maximum() -> None:
    maps = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]], [[-4.0, -4.0], [-4.0, 0.0]]]])
    assert MeanMaxPool()(maps).tolist() == [[3.0, -3.0, 6.0, 0.0]]


def test_maps_of_several_sizes_meet_in_one_dense_layer() -> None:
    layer = PooledLinear((2, 3), 4)
    early, late = torch.randn(5, 2, 8, 8), torch.randn(5, 3, 2, 2)
    pooled = torch.cat([MeanMaxPool()(early), MeanMaxPool()(late)], dim=1)
    assert torch.equal(layer(early, late), nn.functional.linear(pooled, layer.weight, layer.bias))


def test_grey_is_colour_with_three_equal_channels() -> None:
    convolution = RGBConv2d(3, 4, 3, stride=2, padding=1)
    grey = torch.rand(2, 1, 11, 11)
    colour = nn.Conv2d(3, 4, 3, stride=2, padding=1)
    colour.load_state_dict(convolution.state_dict())
    assert torch.allclose(convolution(grey), colour(grey.repeat(1, 3, 1, 1)), atol=1e-6)
    tinted = torch.rand(2, 3, 11, 11)
    assert torch.equal(convolution(tinted), colour(tinted))


@pytest.mark.parametrize("channels", [2, 4])
def test_other_channels_are_an_error(channels: int) -> None:
    with pytest.raises(RuntimeError):
        RGBConv2d(3, 4, 3)(torch.rand(1, channels, 9, 9))


@pytest.mark.parametrize("depth", [1, 2])
def test_a_residual_that_changes_nothing_is_relu(depth: int) -> None:
    block = Residual(4, depth).eval()
    last = block.change[-1]
    assert isinstance(last, nn.BatchNorm2d)
    nn.init.zeros_(last.weight)
    maps = torch.randn(2, 4, 5, 5)
    assert torch.equal(block(maps), maps.relu())
    assert sum(isinstance(layer, nn.Conv2d) for layer in block.modules()) == depth


def test_its_input_is_left_alone() -> None:
    maps = torch.randn(2, 4, 5, 5)
    before = maps.clone()
    Residual(4)(maps)
    assert torch.equal(maps, before)


def test_the_convolution_has_no_bias_that_batch_norm_would_undo() -> None:
    assert sum(p.numel() for p in conv_bn_relu(2, 3, 5).parameters()) == 3 * 2 * 25 + 2 * 3


@pytest.mark.parametrize("name", ["kalamos_xs", "kalamos_m"])
def test_the_answers_stay_the_same(name: str) -> None:
    torch.manual_seed(0)
    network = create_model(name, num_classes=7)
    images = torch.rand(16, 1, 28, 28)
    for _ in range(3):
        network(images)  # statistics of their own
    network.eval()
    with torch.no_grad():
        before = network(images)
        fold_batch_norms(network)
        assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
        assert torch.allclose(network(images), before, atol=1e-4)


def test_a_batch_norm_that_follows_no_convolution_stays() -> None:
    chain = nn.Sequential(nn.BatchNorm2d(1), nn.Conv2d(1, 2, 3), nn.ReLU(), nn.BatchNorm2d(2)).eval()
    fold_batch_norms(chain)
    assert [type(module) for module in chain] == [nn.BatchNorm2d, nn.Conv2d, nn.ReLU, nn.BatchNorm2d]


def test_a_network_in_training_is_refused() -> None:
    with pytest.raises(AssertionError):
        fold_batch_norms(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).train())


NAMES = (
    "cnn2", "cnn3", "cnn64", "kalamos_glyphs", "kalamos_m", "kalamos_s", "kalamos_xs", "lenet_bn",
    "mobilenet_v2", "mobilenet_v2_transfer", "mobilenet_v3_small",
)  # fmt: skip


def test_the_names() -> None:
    assert ARCHITECTURES.names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_architecture_obeys_the_contract(name: str) -> None:
    network = create_model(name, num_classes=7).eval()
    assert isinstance(network, StagedNetwork)
    images = torch.rand(3, 1, network.input_size, network.input_size)
    with torch.no_grad():
        logits, *maps = network.forward_features(images)
        assert torch.equal(network(images), logits)
        assert torch.allclose(network(images[1:2]), logits[1:2], atol=1e-5)
        # Activations work in place: a map must be what the next stage really got.
        seen = dict(zip(network.stages, maps, strict=True))
        assert torch.equal(network.head(*[seen[stage] for stage in network.head_inputs]), logits)
    assert (logits.shape, logits.dtype) == ((3, 7), torch.float32)
    assert len(maps) == len(network.stages) >= 1
    assert all(m.ndim == 4 and len(m) == 3 for m in maps)
    check_input_size(network, name, network.input_size)
    assert not network.training


@pytest.mark.parametrize("name", NAMES)
def test_training_reaches_every_trainable_parameter(name: str) -> None:
    torch.manual_seed(0)
    network = create_model(name, num_classes=3).train()
    images = torch.rand(8, 1, network.input_size, network.input_size)
    network(images).square().sum().backward()
    for key, parameter in network.named_parameters():
        reached = parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
        assert reached == parameter.requires_grad, key


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_alone_decides_the_first_weights(name: str) -> None:
    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return torch.cat([p.flatten() for p in create_model(name, num_classes=3).parameters()])

    assert torch.equal(weights(5), weights(5))
    assert not torch.equal(weights(5), weights(6))


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_is_a_network_of_its_own(name: str) -> None:
    network = create_model(name, num_classes=3)
    twin = copy.deepcopy(network)
    twin.load_state_dict(network.state_dict())
    storages = [v.data_ptr() for n in (network, twin) for v in n.state_dict().values()]
    assert len(set(storages)) == len(storages)  # safetensors refuses shared ones, too


def test_a_misspelt_architecture_is_answered_with_the_nearest() -> None:
    with pytest.raises(RecipeError, match="unknown architecture 'kalamos-xs'; did you mean 'kalamos_xs'"):
        create_model("kalamos-xs", num_classes=10)


@pytest.mark.parametrize("classes", [0, -1])
def test_a_network_has_classes(classes: int) -> None:
    with pytest.raises(RecipeError, match=f"at least one class, not {classes}"):
        create_model("kalamos_xs", num_classes=classes)


def test_frozen_parameters_and_statistics_do_not_count() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    assert count_parameters(network) == 16 + 8
    network[0].bias.requires_grad = False
    assert count_parameters(network) == 12 + 8


def test_unless_they_are_asked_for() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    network[0].bias.requires_grad = False
    assert count_parameters(network, trainable=False) == 16 + 8
    assert count_parameters(network, trainable=False, statistics=True) == 16 + 8 + 8
    assert count_parameters(torch.nn.BatchNorm1d(4), statistics=True) == 8 + 8


@pytest.mark.parametrize("name", ["cnn2", "cnn3", "cnn64", "lenet_bn"])
def test_a_size_that_it_does_not_take_is_seen_before_training(name: str) -> None:
    network = create_model(name, num_classes=3).train()
    side = network.input_size
    with pytest.raises(
        RecipeError, match=rf"{name} does not take 40x40 images; resize them to {side}x{side}"
    ):
        check_input_size(network, name, 40)
    assert network.training


@pytest.mark.parametrize(
    "name", ["kalamos_xs", "kalamos_s", "kalamos_m", "mobilenet_v2", "mobilenet_v3_small"]
)
@pytest.mark.parametrize("size", [28, 33, 64])
def test_the_others_take_many_sizes(name: str, size: int) -> None:
    check_input_size(create_model(name, num_classes=3), name, size)


def test_importing_the_architectures_imports_no_vision_library() -> None:
    program = (
        "import sys, kalamos.learn.models\n"
        "print([m for m in ('torchvision', 'timm', 'onnx', 'PIL') if m in sys.modules])"
    )
    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert outcome.stdout == "[]\n"


def test_the_exported_file_answers_as_the_network(tiny_run: Run, tmp_path: Path) -> None:
    from kalamos.learn.export import export_run
    from kalamos.model_file import open_model

    torch.manual_seed(0)
    network = create_model(
        "cnn64", num_classes=10
    ).eval()  # its first convolution sums its filters on the way
    recipe = replace(tiny_run.recipe, arch="cnn64", preprocessing=default_steps(64))
    run = replace(tiny_run, recipe=recipe, network=network)
    export_run(run, "sixty-four", tmp_path / "model.onnx")  # its gate compares batches of 1, 2 and 7
    model = open_model(tmp_path / "model.onnx")
    assert model.spec.feature_maps == ("block_1", "block_2")
    images = np.random.default_rng(0).random((2, 1, 64, 64), np.float32)
    answers = model.session.run(None, {model.input_name: images})
    with torch.inference_mode():
        expected = network.forward_features(torch.from_numpy(images))
    for ours, theirs in zip(answers, expected, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-4)


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
    from torchvision import models

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
    from torchvision import models

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
    with pytest.raises(
        RecipeError, match=r"cnn2: .*(cannot be read as weights|has neither model.safetensors)"
    ):
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


def test_a_damaged_file_is_not_opened_by_what_its_name_says(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(damaged_files()["text"])
    with pytest.raises(TrainingError, match=r"x\.safetensors: is damaged"):
        create_model("cnn2", num_classes=10, weights=tmp_path / "x.safetensors")


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
    from kalamos.learn.models.base import load_weights

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
    from torchvision import models

    cache.mkdir(parents=True)
    original = models.mobilenet_v3_small().state_dict()
    torch.save(original, cache / Path(models.MobileNet_V3_Small_Weights.IMAGENET1K_V1.url).name)
    loaded = create_model(V3, num_classes=10, weights="imagenet").state_dict()
    assert torch.equal(loaded["stages.features_12.0.weight"], original["features.12.0.weight"])


def test_a_damaged_cache_is_told(cache: Path) -> None:
    from torchvision import models

    cache.mkdir(parents=True)
    (cache / Path(models.MobileNet_V3_Small_Weights.IMAGENET1K_V1.url).name).write_bytes(b"not weights")
    with pytest.raises(TrainingError, match="the downloaded ImageNet weights are damaged"):
        create_model(V3, num_classes=10, weights="imagenet")
