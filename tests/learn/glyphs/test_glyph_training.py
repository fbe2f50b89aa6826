"""The base model's training: it learns, its command writes what a model file needs, its recipe is checked."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kalamos.alphabets import BASE_LABELS
from kalamos.errors import RecipeError
from kalamos.learn.checkpoint import read_weights
from kalamos.learn.glyphs.__main__ import main
from kalamos.learn.glyphs.pool import GlyphImages
from kalamos.learn.glyphs.recipe import GlyphRecipe
from kalamos.learn.glyphs.train import N_OUTLIERS, glyph_trainer
from kalamos.model_file import open_model

ROOT = Path(__file__).parents[3]
SHORT = GlyphRecipe(steps=6, batch_size=6, warmup_steps=1, lr=1e-3)


@pytest.fixture(scope="module")
def data() -> GlyphImages:
    """Bars at three angles, half of them by hands."""
    images = np.zeros((24, 40, 40), np.uint8)
    images[0::3, 8:32, 18:22] = 255
    images[1::3, 18:22, 8:32] = 255
    images[2::3] = np.where(np.eye(40) + np.eye(40, k=1) > 0, 255, 0)
    hands = np.arange(24) % 2 == 0
    return GlyphImages(images, np.arange(24) % 3, hands, ("|", "-", "\\"))


def test_a_short_training_lowers_the_loss_and_repeats(data: GlyphImages) -> None:
    losses: list[float] = []
    for _ in range(2):
        trainer = replace(glyph_trainer(SHORT, data), report_every=3)
        trainer.train(report=lambda step, loss, rate: losses.append(loss))
    assert losses[:2] == losses[2:]
    assert losses[1] < 0.3 * losses[0]


def test_the_command_writes_the_model_and_what_others_are_told_by(
    data: GlyphImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    images, recipe, output = (tmp_path / name for name in ("images.npz", "own.toml", "own.onnx"))
    data.save(images)
    recipe.write_text("steps = 1\nwarmup_steps = 0\nbatch_size = 6\n", "utf-8")
    command = ["glyphs", recipe, "--images", images, "--fonts", tmp_path, "-o", output]
    monkeypatch.setattr(sys, "argv", [str(word) for word in command])
    threads = torch.get_num_threads()
    try:
        main()
    finally:
        torch.set_num_threads(threads)
    first, second = capsys.readouterr().out.splitlines()
    assert first == "24 images of 3 classes"
    assert second.endswith("images/s")
    spec = open_model(output).spec
    assert spec.alphabet.labels == BASE_LABELS
    assert spec.training.recipe["steps"] == spec.training.recipe["batch_size"] - 5 == 1
    assert read_weights(output.with_suffix(".safetensors"))["head.classifier.weight"].shape == (3, 192)
    with np.load(output.with_suffix(".npz")) as others:
        assert others["embeddings"].dtype == np.int8
        assert others["embeddings"].shape == (3 + N_OUTLIERS, 192)


def test_the_shipped_recipe_is_one() -> None:
    assert GlyphRecipe.load(ROOT / "recipes" / "glyphs.toml").steps > 1000


def test_a_recipe_has_no_policy_of_augmentation_by_name(tmp_path: Path) -> None:
    path = tmp_path / "glyphs.toml"
    path.write_text('augmentation = "pens"', "utf-8")
    with pytest.raises(RecipeError, match=r"glyphs\.toml: augmentation = 'pens' is not a table"):
        GlyphRecipe.load(path)
