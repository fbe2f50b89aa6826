"""The ink finder's training: it learns, its export answers as it does, its recipe is checked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from kalamos.errors import RecipeError, TrainingError
from kalamos.learn.checkpoint import read_weights, write_weights
from kalamos.learn.ink.glyphs import GlyphPool, draw_bars, draw_scribble
from kalamos.learn.ink.network import InkNet
from kalamos.learn.ink.recipe import InkRecipe
from kalamos.learn.ink.train import (
    WEIGHT_UNIT,
    SceneBatches,
    encode_ink,
    ink_trainer,
    mask_loss,
    measure_masks,
    part_weights,
)

SMALL = InkRecipe(steps=60, batch_size=8, warmup_steps=10, lr=5e-3, channels=(8, 8, 16, 16), blocks=(0, 1, 1))
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def pool() -> GlyphPool:
    sources = {"scribbles": draw_scribble, "bars": draw_bars}
    return GlyphPool(sources, {"scribbles": 1.0, "bars": 1.0}, count=50, seed=0)


def test_a_short_training_finds_ink(pool: GlyphPool) -> None:
    losses: list[float] = []
    kept: list[int] = []
    network = replace(ink_trainer(SMALL, pool, workers=0), keep_every=40).train(
        report=lambda step, loss, rate: losses.append(loss), keep=lambda step, network: kept.append(step)
    )
    assert kept == [40, 60]
    assert losses == [pytest.approx(losses[0])]
    validation = SceneBatches(pool, SMALL, seed=5, count=12)
    untrained = InkNet(SMALL.channels, SMALL.blocks).eval()
    assert measure_masks(network, validation).mean() > measure_masks(untrained, validation).mean() + 0.05


def test_the_same_recipe_learns_the_same(pool: GlyphPool) -> None:
    short = InkRecipe(steps=4, batch_size=4, warmup_steps=1, channels=(8, 8, 8, 8), blocks=(0, 0, 0))
    one, other = (ink_trainer(short, pool, workers=workers).train() for workers in (0, 2))
    for first, second in zip(one.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(first, second)


def test_a_training_goes_on_from_earlier_weights(pool: GlyphPool) -> None:
    still = InkRecipe(steps=2, batch_size=4, warmup_steps=1, lr=0.0, channels=(8, 8, 8, 8), blocks=(0, 0, 0))
    earlier = InkNet(still.channels, still.blocks).state_dict()
    later = ink_trainer(still, pool, workers=0).train(begin_with=earlier).state_dict()
    assert torch.equal(later["head.0.weight"], earlier["head.0.weight"])
    with pytest.raises(TrainingError, match="another network"):
        ink_trainer(still, pool, workers=0).train(begin_with=InkNet().state_dict())


def test_weights_are_kept_as_they_come_from_a_training(pool: GlyphPool, tmp_path: Path) -> None:
    short = InkRecipe(steps=2, batch_size=4, warmup_steps=1, channels=(8, 8, 8, 8), blocks=(0, 0, 0))
    learnt = dict(ink_trainer(short, pool, workers=0).train().state_dict())
    write_weights(tmp_path / "ink.safetensors", learnt)
    again = ink_trainer(replace(short, lr=0.0), pool, workers=0).train(
        begin_with=read_weights(tmp_path / "ink.safetensors")
    )
    assert torch.equal(again.state_dict()["down4.0.0.weight"], learnt["down4.0.0.weight"])


def test_the_export_answers_as_the_network_with_rounded_weights() -> None:
    torch.manual_seed(0)
    network = InkNet().eval()
    content = encode_ink(network, InkRecipe())
    assert len(content) < 500_000
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    grey = np.random.default_rng(0).standard_normal((3, 1, 48, 80)).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(grey)).sigmoid().numpy()
    np.testing.assert_allclose(session.run(None, {"grey": grey})[0], expected, atol=5e-3)
    assert "steps" in session.get_modelmeta().custom_metadata_map["kalamos-ink"]


def test_a_dot_weighs_more_than_the_stroke_beside_it() -> None:
    ink = np.zeros((64, 64), np.uint8)
    ink[20:60, 30:34], ink[8:12, 30:34] = 255, 255
    weights = part_weights(ink) / WEIGHT_UNIT
    assert weights[40, 31] == weights[5, 5] == 1
    assert weights[10, 31] == pytest.approx(np.sqrt(10), rel=0.05)
    assert (part_weights(np.zeros_like(ink)) == WEIGHT_UNIT).all()


def test_the_loss_is_least_where_the_answer_is_right() -> None:
    ink = torch.zeros(2, 16, 16)
    ink[0, 4:12, 6:9] = 1
    sure = (ink * 2 - 1) * 8
    weights = torch.ones_like(ink)
    right, wrong = mask_loss(sure, ink, weights), mask_loss(-sure, ink, weights)
    assert right < 0.02
    assert wrong > 1


def test_the_shipped_recipe_is_one() -> None:
    assert InkRecipe.load(ROOT / "recipes" / "ink.toml").steps > 1000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[scenes]\nframes = 0.1", r"ink\.toml: \[scenes\] has no key 'frames'; did you mean 'frame'"),
        ("scenes = 3", r"ink\.toml: scenes = 3 is not a table"),
        ("[shares]\nbars = -1", r"ink\.toml: bars = -1"),
    ],
)
def test_what_a_recipe_may_not_say(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "ink.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(RecipeError, match=message):
        InkRecipe.load(path)
