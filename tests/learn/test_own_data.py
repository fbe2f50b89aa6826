"""Training on the user's own images, with nothing else said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from kalamos.alphabets import Alphabet
from kalamos.datasets import Dataset, Split
from kalamos.datasets.dataset import prepare_split
from kalamos.learn import Recipe, choose_recipe, run_recipe
from kalamos.learn.data import Examples
from kalamos.learn.loop import infer_examples
from kalamos.learn.models import create_model
from kalamos.learn.models.model_file_weights import load_model_file
from kalamos.learn.own_data import MAX_EPOCHS, MIN_EPOCHS, imprint_classes, settle
from kalamos.learn.run import plan_split
from kalamos.preprocessing import Preprocessor

LETTERS = "letters/"


def own(draw, each: int, names: str) -> Dataset:
    """Four classes of so many images each, named by class and number."""
    images = np.concatenate([draw(label, each, seed=3) for label in range(4)])
    labels = np.repeat(np.arange(4), each)
    files = tuple(names.format(label="abcd"[label], number=row % each) for row, label in enumerate(labels))
    alphabet = Alphabet("own", tuple("abcd"))
    return Dataset("own", alphabet, Split(images, labels, names=files), None, "mine", local=True)


def test_nothing_said_means_the_base_model_and_a_budget_by_the_data() -> None:
    recipe = choose_recipe(LETTERS, None)
    assert (recipe.arch, recipe.weights, recipe.outliers) == ("kalamos_glyphs", "glyphs", "auto")
    assert (recipe.split, recipe.budget, recipe.checkpoint) == ("auto", "data", "last")
    assert Preprocessor(recipe.preprocessing).output_size() == 40
    assert recipe.augmentation.elastic > 0


@pytest.mark.parametrize("over", [{"weights": "none"}, {"arch": "cnn2"}, {"arch": "cnn2", "weights": "none"}])
def test_who_chooses_the_network_trains_as_before(over: dict[str, str]) -> None:
    before = Recipe(dataset=LETTERS, outliers="auto", arch=over.get("arch", "kalamos_xs"))
    assert choose_recipe(LETTERS, None, over) == before


def test_published_data_and_recipes_train_as_before() -> None:
    assert choose_recipe("usps", None) == Recipe(dataset="usps")
    assert choose_recipe(LETTERS, Recipe(lr=0.5)) == Recipe(lr=0.5, dataset=LETTERS)
    for path in sorted(Path("recipes").glob("*.toml")):
        if path.stem not in {"digit-lines", "glyphs", "ink"}:
            recipe = choose_recipe(None, path)
            assert (recipe.budget, recipe.split) in {("epochs", "stratified"), ("epochs", "grouped")}, path


def test_epochs_that_are_given_are_kept(draw) -> None:
    recipe = choose_recipe(LETTERS, None, {"epochs": 3})
    assert settle(recipe, own(draw, 10, "{label}/x.png")).epochs == 3


@pytest.mark.parametrize(("each", "epochs"), [(2, MAX_EPOCHS), (300, 9), (4000, MIN_EPOCHS)])
def test_few_images_are_seen_more_often(draw, each: int, epochs: int) -> None:
    dataset = own(draw, 2, "{label}/x.png")
    rows = np.zeros(4 * each, np.int64)
    many = replace(dataset, train=dataset.train.take(rows))
    assert settle(choose_recipe(LETTERS, None), many).epochs == epochs


def test_hands_are_held_out_whole_where_the_names_tell_them(draw) -> None:
    dataset = own(draw, 10, "{label}/x_{number:02d}.png")
    recipe = settle(choose_recipe(LETTERS, None), dataset)
    assert recipe.split == "grouped"
    plan = plan_split(dataset, recipe)
    held, trained = ({int(row) % 10 for row in rows} for rows in (plan.val, plan.train))
    assert held
    assert not held & trained
    assert settle(choose_recipe(LETTERS, None), own(draw, 10, "{label}/x.png")).split == "stratified"


def test_a_fresh_head_begins_where_its_images_are(draw) -> None:
    dataset = own(draw, 6, "{label}/{number}.png")
    preprocessor = Preprocessor(choose_recipe(LETTERS, None).preprocessing)
    prepared, _ = prepare_split(dataset.train, preprocessor)
    data = Examples.of(prepared.stack(), prepared.labels, 4, preprocessor)
    network = create_model("kalamos_glyphs", 4)
    load_model_file(network, "glyphs", dataset.alphabet)
    imprint_classes(network, data)
    assert torch.equal(infer_examples(network, data).argmax(1), data.labels)


def test_a_folder_is_learnt_in_one_epoch(draw, tmp_path: Path) -> None:
    for label in range(4):
        (tmp_path / "abcd"[label]).mkdir()
        for number, image in enumerate(draw(label, 8, seed=3)):
            cv2.imwrite(str(tmp_path / "abcd"[label] / f"{number}.png"), image)
    recipe = choose_recipe(tmp_path, None, {"epochs": 1, "batch_size": 16, "outliers": 0})
    run = run_recipe(recipe, run_dir=tmp_path.parent / f"{tmp_path.name}-run", device="cpu")
    assert (run.recipe.split, run.recipe.epochs) == ("grouped", 1)
    assert run.val_accuracy == 1.0
