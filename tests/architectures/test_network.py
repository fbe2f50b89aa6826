from __future__ import annotations

import copy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kalamos.architectures import (
    ARCHITECTURES,
    StagedNetwork,
    check_input_size,
    count_parameters,
    create_model,
)
from kalamos.errors import RecipeError
from kalamos.preprocessing import default_steps
from kalamos.training import Run

NAMES = (
    "cnn2", "cnn3", "cnn64", "kalamos_m", "kalamos_s", "kalamos_xs", "lenet_bn",
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
    with pytest.raises(RecipeError, match="there is no architecture 'kalamos-xs'; did you mean 'kalamos_xs'"):
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
        "import sys, kalamos.architectures\n"
        "print([m for m in ('torchvision', 'timm', 'onnx', 'PIL') if m in sys.modules])"
    )
    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert outcome.stdout == "[]\n"


def test_the_exported_file_answers_as_the_network(tiny_run: Run, tmp_path: Path) -> None:
    from kalamos.export.onnx_file import export_run
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
