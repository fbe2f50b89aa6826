from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from kalamos.datasets import Dataset
from kalamos.datasets.dataset import prepare_split
from kalamos.errors import DatasetError, KalamosError, RecipeError, TrainingError
from kalamos.learn import (
    Callback,
    EpochReport,
    Recipe,
    Run,
    choose_recipe,
    load_run,
    resume_run,
    run_recipe,
    train,
)
from kalamos.learn.models import ARCHITECTURES
from kalamos.learn.run import load_config, read_split
from kalamos.preprocessing import Preprocessor, default_steps

SHORT = Recipe(arch="cnn2", epochs=2, batch_size=64, amp="off")


class Notes(Callback):
    def __init__(self) -> None:
        self.epochs: list[EpochReport] = []

    def on_epoch(self, report: EpochReport) -> None:
        self.epochs.append(report)


class Interrupt(Callback):
    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch(self, report: EpochReport) -> None:
        if report.epoch == self.epoch:
            raise KeyboardInterrupt


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_same_weights(one: Run, other: Run) -> None:
    ours, theirs = one.network.state_dict(), other.network.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture
def copied(digits_folder: Path, tmp_path: Path) -> Path:
    """A copy of the data folder, to be changed."""
    return shutil.copytree(digits_folder, tmp_path / "data")


def test_the_run_tells_what_was_done(tiny_run: Run, quick_recipe: Recipe, digits: Dataset) -> None:
    assert tiny_run.recipe == replace(quick_recipe, preprocessing=default_steps(28))
    assert tiny_run.alphabet.labels == tuple("0123456789")
    assert (tiny_run.train_count, tiny_run.val_count) == (270, 30)
    assert tiny_run.data_sha256 == digits.train.sha256
    assert len(tiny_run.epochs) == tiny_run.kept_epoch == quick_recipe.epochs
    assert tiny_run.val_accuracy == tiny_run.epochs[-1].val_accuracy > 0.9
    assert 0.05 <= tiny_run.temperature <= 20
    assert tiny_run.environment["torch"] == torch.__version__.partition("+")[0]
    assert tiny_run.created.endswith("+00:00")
    assert not tiny_run.network.training


def test_the_accuracy_is_that_of_the_kept_weights_on_the_kept_split(
    tiny_run_folder: Path, digits: Dataset
) -> None:
    run, split = load_run(tiny_run_folder), read_split(tiny_run_folder)
    preprocessor = Preprocessor(run.recipe.preprocessing)
    held, _ = prepare_split(digits.train.take(split.val), preprocessor)
    with torch.inference_mode():
        logits = run.network(torch.from_numpy(preprocessor.batch(list(held.stack()))))
    right = logits.argmax(1).numpy() == held.labels
    assert float(right.mean()) == run.val_accuracy


def test_every_epoch_is_reported_as_it_ends(digits_folder: Path) -> None:
    notes = Notes()
    run = run_recipe(SHORT, data_dir=digits_folder, device="cpu", callback=notes)
    assert tuple(notes.epochs) == run.epochs


def test_a_folder_changes_nothing_in_the_training(digits_folder: Path, tmp_path: Path) -> None:
    one = run_recipe(SHORT, data_dir=digits_folder, device="cpu")
    two = run_recipe(SHORT, data_dir=digits_folder, device="cpu", run_dir=tmp_path / "run", workers=2)
    assert_same_weights(one, two)
    assert_same_weights(one, load_run(tmp_path / "run"))


def test_the_test_split_is_not_touched(copied: Path, digits_folder: Path) -> None:
    # Two data folders that differ in the test split alone give the same weights.
    for kind in ("images-idx3", "labels-idx1"):
        shutil.copy(copied / f"mnist/train-{kind}-ubyte.gz", copied / f"mnist/t10k-{kind}-ubyte.gz")
    one, two = (run_recipe(SHORT, data_dir=folder, device="cpu") for folder in (digits_folder, copied))
    assert_same_weights(one, two)
    assert one.temperature == two.temperature


def test_the_best_weights_are_kept_where_that_is_asked_for(digits_folder: Path, tmp_path: Path) -> None:
    # All are soon read, and the first epoch that does is the best.
    recipe = Recipe(epochs=5, batch_size=32, optimizer="sgd", lr=0.05, schedule="constant", checkpoint="best")
    run = run_recipe(recipe, data_dir=digits_folder, device="cpu", run_dir=tmp_path / "run")
    best = max(run.epochs, key=lambda r: r.val_accuracy)
    assert best.epoch < 5, "the last epoch was the best: nothing is tested"
    assert (run.kept_epoch, run.val_accuracy) == (best.epoch, best.val_accuracy)
    model, kept = (tmp_path / "run" / f"{name}.safetensors" for name in ("model", "best"))
    assert model.read_bytes() == kept.read_bytes()
    last = run_recipe(replace(recipe, checkpoint="last"), data_dir=digits_folder, device="cpu")
    assert (last.kept_epoch, last.val_accuracy) == (5, run.epochs[-1].val_accuracy)
    assert not torch.equal(next(run.network.parameters()), next(last.network.parameters()))


def test_images_are_prepared_for_the_networks_own_size(digits_folder: Path) -> None:
    recipe = replace(SHORT, arch="cnn64", epochs=1)
    if "cnn64" not in ARCHITECTURES.names():
        pytest.skip("there is no cnn64 yet")
    run = run_recipe(recipe, data_dir=digits_folder, device="cpu")
    assert run.recipe.preprocessing == default_steps(64)
    small = default_steps(20)
    with pytest.raises(RecipeError, match="cnn2 does not take 20x20 images; resize them to 28x28"):
        run_recipe(replace(SHORT, preprocessing=small), data_dir=digits_folder, device="cpu")


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": "minst"},
        {"arch": "cnn22"},
        {"amp": "fp16"},
        {"val_fraction": 0},
        {"arch": "lenet_bn", "batch_size": 1},
    ],
)
def test_what_cannot_begin_leaves_an_empty_folder_at_most(
    digits_folder: Path, tmp_path: Path, change: dict[str, object]
) -> None:
    with pytest.raises(KalamosError):
        run_recipe(replace(SHORT, **change), data_dir=digits_folder, device="cpu", run_dir=tmp_path / "run")
    assert not list((tmp_path / "run").iterdir())


def test_a_missing_dataset_is_said_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"mnist: there is no .*train-images-idx3-ubyte"):
        run_recipe(Recipe(), data_dir=tmp_path)
    with pytest.raises(DatasetError, match="unknown dataset 'minst'"):
        run_recipe(replace(Recipe(), dataset="minst"), data_dir=tmp_path)


def test_seeds_have_no_upper_end(digits_folder: Path) -> None:
    one, two = (
        run_recipe(replace(SHORT, epochs=1, seed=seed), data_dir=digits_folder, device="cpu")
        for seed in (2**64 + 1, 2**64 + 2)
    )
    assert not torch.equal(next(one.network.parameters()), next(two.network.parameters()))


def test_an_existing_run_is_never_overwritten(digits_folder: Path, tiny_run_folder: Path) -> None:
    before = contents(tiny_run_folder)
    with pytest.raises(TrainingError, match="is not empty"):
        run_recipe(SHORT, data_dir=digits_folder, device="cpu", run_dir=tiny_run_folder)
    assert contents(tiny_run_folder) == before


@pytest.fixture
def interrupted(digits_folder: Path, tmp_path: Path) -> Path:
    """A run folder after one epoch of two."""
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        run_recipe(SHORT, data_dir=digits_folder, device="cpu", run_dir=folder, callback=Interrupt(1))
    return folder


def test_an_interrupted_run_has_its_logs_and_goes_on(digits_folder: Path, interrupted: Path) -> None:
    assert {"curves.png", "log.csv", "last.safetensors", "best.safetensors"} <= {
        path.name for path in interrupted.iterdir()
    }
    plan = load_config(interrupted)
    notes = Notes()
    run = resume_run(interrupted, data_dir=digits_folder, device="cpu", workers=2, callback=notes)
    assert [report.epoch for report in notes.epochs] == [2]
    assert [report.epoch for report in run.epochs] == [1, 2]
    whole = run_recipe(SHORT, data_dir=digits_folder, device="cpu")
    assert_same_weights(run, whole)
    assert (run.temperature, run.val_accuracy) == (whole.temperature, whole.val_accuracy)
    assert (run.created, run.data_sha256) == (plan.created, plan.data_sha256)
    np.testing.assert_array_equal(read_split(interrupted).val, plan.split.val)
    with (interrupted / "log.csv").open() as stream:
        assert [row["epoch"] for row in csv.DictReader(stream)] == ["1", "2"]


def test_a_finished_run_is_returned_as_it_is(tiny_run: Run, tiny_run_folder: Path, tmp_path: Path) -> None:
    before = contents(tiny_run_folder)
    run = resume_run(tiny_run_folder, data_dir=tmp_path / "gone", device="cpu")
    assert_same_weights(run, tiny_run)
    assert run.epochs == tiny_run.epochs
    assert contents(tiny_run_folder) == before


def swap_labels(data: Path) -> None:
    (data / "mnist/train-labels-idx1-ubyte.gz").unlink()
    shutil.copy(data / "mnist/t10k-labels-idx1-ubyte.gz", data / "mnist/train-labels-idx1-ubyte.gz")
    shutil.copy(data / "mnist/t10k-images-idx3-ubyte.gz", data / "mnist/train-images-idx3-ubyte.gz")


def test_other_data_are_refused(interrupted: Path, copied: Path) -> None:
    swap_labels(copied)
    before = contents(interrupted)
    with pytest.raises(TrainingError, match="is not what it was when this run began; bring the old"):
        resume_run(interrupted, data_dir=copied, device="cpu")
    assert contents(interrupted) == before


@pytest.mark.parametrize("name", ["last.safetensors", "best.safetensors", "split.safetensors", "run.json"])
@pytest.mark.parametrize("spoil", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"\0" * len(b)])
def test_a_damaged_run_is_told_and_left_as_it_is(
    digits_folder: Path, interrupted: Path, name: str, spoil: Callable[[bytes], bytes]
) -> None:
    path = interrupted / name
    path.write_bytes(spoil(path.read_bytes()))
    before = contents(interrupted)
    with pytest.raises(TrainingError, match="run") as caught:
        resume_run(interrupted, data_dir=digits_folder, device="cpu")
    assert str(interrupted) in str(caught.value)
    if name in {"last.safetensors", "best.safetensors"}:
        assert caught.value.remedy == "remove last.safetensors to begin this run again from its first epoch"
    assert contents(interrupted) == before


def test_what_is_no_run_cannot_go_on(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"has no run\.json; give the folder that `kalamos train` wrote"):
        resume_run(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_loss_that_is_not_a_number_leaves_a_run_that_can_be_looked_at(
    digits_folder: Path, tmp_path: Path
) -> None:
    wild = replace(SHORT, optimizer="sgd", lr=1e6)
    with pytest.raises(TrainingError, match="in epoch 1"):
        run_recipe(wild, data_dir=digits_folder, device="cpu", run_dir=tmp_path / "run")
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"run.json", "split.safetensors", "tensorboard"}
    assert load_config(tmp_path / "run").recipe.lr == 1e6


def test_train_is_one_call(digits_folder: Path, quick_recipe: Recipe, tmp_path: Path) -> None:
    run = train(recipe=quick_recipe, run_dir=tmp_path / "run", data_dir=digits_folder, device="cpu", epochs=1)
    assert (len(run.epochs), run.recipe.lr, run.folder) == (1, quick_recipe.lr, tmp_path / "run")
    assert run.split is not None
    assert len(run.split.val) == run.val_count
    again = load_run(tmp_path / "run")
    assert again.folder == run.folder
    assert np.array_equal(again.split.val, run.split.val)
    model = run.export(tmp_path / "mine.onnx", licence="CC-BY-4.0")
    assert (model.spec.name, model.spec.licence) == ("mine", "CC-BY-4.0")


@pytest.mark.parametrize(
    ("dataset", "recipe", "override", "message"),
    [
        (None, None, {}, "there is nothing to train on; name a dataset or give a recipe"),
        ("mine.toml", None, {}, r"mine\.toml: a recipe, not a dataset"),
        ("mnist", None, {"epoch": 3}, "did you mean 'epochs'"),
        ("mnist", None, {"arch": "cnn4"}, "unknown architecture 'cnn4'"),
    ],
)
def test_what_cannot_be_trained(
    dataset: str | None, recipe: str | None, override: dict[str, object], message: str
) -> None:
    with pytest.raises(KalamosError, match=message):
        choose_recipe(dataset, recipe, override)


@pytest.fixture
def letters(tmp_path: Path, draw) -> Path:
    """A folder of two classes, in which runs can be begun."""
    for number, label in enumerate("ab"):
        folder = tmp_path / "home" / "letters" / label
        folder.mkdir(parents=True)
        for index, image in enumerate(draw(number, 12, seed=9)):
            cv2.imwrite(str(folder / f"{index}.png"), image)
    return tmp_path / "home" / "letters"


def test_a_run_goes_on_from_any_folder_and_with_moved_data(
    letters: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, elsewhere = letters.parent, tmp_path / "elsewhere"
    elsewhere.mkdir()
    recipe = replace(SHORT, dataset="letters", batch_size=8)
    monkeypatch.chdir(home)
    whole = run_recipe(recipe, device="cpu")
    with pytest.raises(KeyboardInterrupt):
        run_recipe(recipe, run_dir=Path("runs/own"), device="cpu", callback=Interrupt(1))
    shutil.copytree("runs/own", "runs/moved")
    monkeypatch.chdir(elsewhere)
    assert_same_weights(resume_run(home / "runs" / "own", device="cpu"), whole)
    letters.rename(elsewhere / "new")
    with pytest.raises(DatasetError, match=r"begun with letters; .*--data NEW"):
        resume_run(home / "runs" / "moved", device="cpu")
    finished = resume_run(home / "runs" / "moved", data="new", device="cpu")
    assert_same_weights(finished, whole)
    assert finished.recipe.dataset == "new"


def test_weights_of_an_unfinished_run_are_its_best_and_a_missing_file_is_named(
    letters: Path, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    recipe = replace(SHORT, dataset=str(letters), batch_size=8)
    with pytest.raises(KeyboardInterrupt):
        run_recipe(recipe, run_dir=begun, device="cpu", callback=Interrupt(1))
    assert not (begun / "model.safetensors").exists()
    assert len(run_recipe(replace(recipe, weights=str(begun), epochs=1), device="cpu").epochs) == 1
    (begun / "best.safetensors").unlink()
    with pytest.raises(RecipeError, match=r"begun: has neither model\.safetensors.* nor best\.safetensors"):
        run_recipe(replace(recipe, weights=str(begun)), device="cpu")


def test_one_image_a_class_is_for_teach(letters: Path) -> None:
    for image in letters.glob("*/*.png"):
        if image.stem != "0":
            image.unlink()
    with pytest.raises(DatasetError, match="kalamos teach glyphs FOLDER"):
        run_recipe(replace(SHORT, dataset=str(letters)), device="cpu")
