from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kalamos.datasets import Dataset
from kalamos.errors import DatasetError, TrainingError
from kalamos.training import Recipe, Run, run_recipe
from kalamos.training.loop import EpochReport
from kalamos.training.session import choose_device


def test_the_run_tells_what_was_done(tiny_run: Run, quick_recipe: Recipe, digits: Dataset) -> None:
    assert tiny_run.recipe == quick_recipe
    assert tiny_run.alphabet.labels == tuple("0123456789")
    assert (tiny_run.train_count, tiny_run.val_count) == (270, 30)
    assert tiny_run.data_sha256 == digits.train.sha256
    assert len(tiny_run.epochs) == quick_recipe.epochs
    assert tiny_run.val_accuracy == tiny_run.epochs[-1].val_accuracy > 0.9
    assert 0.05 <= tiny_run.temperature <= 20
    assert tiny_run.environment["torch"] == torch.__version__.partition("+")[0]
    assert tiny_run.created.endswith("+00:00")
    assert not tiny_run.network.training


def test_every_epoch_is_reported_as_it_ends(digits_folder: Path) -> None:
    reports: list[EpochReport] = []
    recipe = Recipe(epochs=2, batch_size=128, lr=0.01)
    run = run_recipe(recipe, data_dir=digits_folder, device="cpu", on_epoch=reports.append)
    assert tuple(reports) == run.epochs


def test_the_test_split_is_not_touched(digits_folder: Path, tmp_path: Path) -> None:
    # Two data folders that differ in the test split alone give the same weights.
    other = tmp_path / "mnist"
    other.mkdir()
    for source in (digits_folder / "mnist").iterdir():
        (other / source.name).write_bytes(source.read_bytes())
    for kind in ("images-idx3", "labels-idx1"):
        (other / f"t10k-{kind}-ubyte.gz").write_bytes((other / f"train-{kind}-ubyte.gz").read_bytes())
    recipe = Recipe(epochs=1, batch_size=128)
    one, two = (run_recipe(recipe, data_dir=folder, device="cpu") for folder in (digits_folder, tmp_path))
    for a, b in zip(one.network.parameters(), two.network.parameters(), strict=True):
        assert torch.equal(a, b)
    assert one.temperature == two.temperature


def test_a_missing_dataset_is_said_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such file"):
        run_recipe(Recipe(), data_dir=tmp_path)
    with pytest.raises(DatasetError, match="there is no dataset 'minst'"):
        run_recipe(replace(Recipe(), dataset="minst"), data_dir=tmp_path)


def test_the_device_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == "cpu"
    with pytest.raises(TrainingError, match="sees no CUDA device; use --device cpu"):
        choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == choose_device("cuda") == "cuda"
    assert choose_device("cpu") == "cpu"
