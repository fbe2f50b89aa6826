"""A training that begins with a model file's weights answers, at first, as the file does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from kalamos.alphabets import DIGITS, Alphabet
from kalamos.datasets import Dataset
from kalamos.errors import ModelNotFoundError, RecipeError
from kalamos.learn import Recipe, train
from kalamos.learn.models import create_model
from kalamos.learn.models.model_file_weights import (
    average_model_file,
    load_model_file,
    read_folded,
    restore_batch_norms,
)
from kalamos.model_file import open_model
from kalamos.zoo import model_path

ARCHITECTURES = {"digits": "kalamos_xs", "digits-large": "kalamos_s"}


@pytest.mark.parametrize(("model", "gap"), [("digits", 1e-4), ("digits-large", 0.6)])
def test_a_network_with_a_file_s_weights_answers_as_the_file_does(
    digits: Dataset, model: str, gap: float
) -> None:
    network = create_model(ARCHITECTURES[model], num_classes=10)
    some = torch.from_numpy(np.stack(list(digits.test.images[:200]))[:, None] / np.float32(255))
    load_model_file(network, model, DIGITS)
    expected = open_model(model_path(model)).logits(some.numpy())
    with torch.no_grad():
        begun = network.eval()(some).numpy()
    restore_batch_norms(network, some)
    with torch.no_grad():
        frozen, learning = network.eval()(some).numpy(), network.train()(some).numpy()
    # int8 files round what goes from layer to layer, which the network does not.
    np.testing.assert_allclose(begun, expected, atol=gap)
    np.testing.assert_allclose(frozen, expected, atol=gap)
    assert np.abs(expected).max() > 10 * gap
    assert (frozen.argmax(1) == expected.argmax(1)).mean() > 0.98
    np.testing.assert_allclose(learning, frozen, atol=2e-2, rtol=2e-3)


def test_other_classes_have_a_fresh_last_layer() -> None:
    network = create_model("kalamos_xs", num_classes=7)
    before = network.state_dict()["head.weight"].clone()
    folded = read_folded(model_path("digits").read_bytes())
    load_model_file(network, "digits", Alphabet("seven", tuple("0123456")))
    assert torch.equal(network.state_dict()["head.weight"], before)
    assert torch.equal(network.state_dict()["stages.stem.0.weight"], folded["stages.stem.0"][0])


def test_another_architecture_is_refused_by_name() -> None:
    network = create_model("kalamos_s", num_classes=10)
    with pytest.raises(RecipeError, match=r"digits: does not fit this architecture: layer stages\.\S+ is"):
        load_model_file(network, "digits", DIGITS)


def test_a_training_goes_on_from_a_shipped_model(digits_folder: Path) -> None:
    recipe = Recipe(weights="digits", epochs=1, lr=0.0, optimizer="sgd", val_fraction=0.3)
    run = train(recipe=recipe, data_dir=digits_folder)
    assert run.alphabet.labels == DIGITS.labels
    assert run.val_accuracy > 0.9


def test_what_does_not_fit_leaves_no_run_folder(digits_folder: Path, tmp_path: Path) -> None:
    recipe = Recipe(weights="latin", arch="kalamos_s", epochs=1)
    with pytest.raises(RecipeError, match="latin: does not fit"):
        train(recipe=recipe, data_dir=digits_folder, run_dir=tmp_path / "run")
    assert not list((tmp_path / "run").glob("*"))


def test_a_file_that_is_not_there_is_named(digits_folder: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"gone\.onnx: no such model file"):
        train(recipe=Recipe(weights="gone.onnx", epochs=1), data_dir=digits_folder)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_averaged_weights_stand_between_the_network_s_and_the_file_s(digits: Dataset, share: float) -> None:
    some = torch.from_numpy(np.stack(list(digits.test.images[:200]))[:, None] / np.float32(255))
    network = create_model("kalamos_xs", num_classes=10)
    load_model_file(network, "digits", DIGITS)
    restore_batch_norms(network, some)
    with torch.no_grad():
        network.eval()
        of_file = network(some)
        network.get_parameter("head.bias").add_(8.0)  # as if training had moved the last layer ...
        network.get_parameter("stages.stem.1.weight").mul_(-1.0)  # ... and an early one
        trained = network(some)
        average_model_file(network, "digits", DIGITS, share)
        averaged = network(some)
    if share == 0.25:
        assert (averaged - trained).abs().mean() > 0.5
        assert (averaged - of_file).abs().mean() > 0.5
        torch.testing.assert_close(
            network.get_parameter("head.bias"),
            read_folded(model_path("digits").read_bytes())["head"][1] + 6.0,
        )
    else:
        torch.testing.assert_close(averaged, of_file if share else trained, atol=1e-3, rtol=1e-3)


def test_a_run_averages_with_what_it_began_from(digits_folder: Path) -> None:
    settings = {"weights": "digits", "epochs": 1, "lr": 0.5, "optimizer": "sgd", "val_fraction": 0.3}
    trained, half = (
        train(recipe=Recipe(**settings, weights_share=share), data_dir=digits_folder).network
        for share in (0.0, 0.5)
    )
    begun = read_folded(model_path("digits").read_bytes())["head"][0]
    assert (trained.get_parameter("head.weight") - begun).abs().mean() > 1e-3
    torch.testing.assert_close(
        half.get_parameter("head.weight"), (trained.get_parameter("head.weight") + begun) / 2
    )


def test_an_average_with_what_is_no_model_file_is_refused(digits_folder: Path) -> None:
    with pytest.raises(RecipeError, match=r"weights_share = 0\.5 averages with a model file"):
        train(recipe=Recipe(weights_share=0.5, epochs=1), data_dir=digits_folder)
