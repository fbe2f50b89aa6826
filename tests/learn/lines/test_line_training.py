"""The line recogniser's training: what is drawn, that it is learnt, that its export answers as it does."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from kalamos.datasets.strokes import StrokeSet
from kalamos.errors import DatasetError, RecipeError, TrainingError
from kalamos.learn.lines.drawing import DrawnLine, Hands, LineRanges, draw_lines
from kalamos.learn.lines.hands import DIGITS, SIGNS, ImageHand, Pen, StrokeHands, draw_sign
from kalamos.learn.lines.network import LineNet
from kalamos.learn.lines.recipe import LineRecipe
from kalamos.learn.lines.train import (
    LineBatches,
    encode_lines,
    line_loss,
    line_trainer,
    lines_right,
    varied,
)
from kalamos.pages.line_recognizer import LABELS
from kalamos.pages.strips import STRIP_PX

ROOT = Path(__file__).parents[3]
PLAIN = LineRanges(mnist=1.0, fonts=0.0, touching=0.0, signs=0.0, found=0.0, slant=0.0, longest=3)
SMALL = LineRecipe(steps=12, pages=1, repeats=1, warmup_steps=2, lr=4e-3, lines=PLAIN)


def printed(digit: str, thick: int = 2) -> NDArray[np.uint8]:
    image = np.zeros((36, 28), np.uint8)
    cv2.putText(image, digit, (4, 30), cv2.FONT_HERSHEY_SIMPLEX, 1.0, 255, thick, cv2.LINE_AA)
    return image


def bars(writers: int, each: int) -> StrokeSet:
    """Digits as upright strokes, so many of each by each writer."""
    labels = [digit for _ in range(writers) for digit in DIGITS for _ in range(each)]
    count = len(labels)
    points = np.tile(np.array([[0, 0], [90, 1000]], np.int16), (count, 1))
    return StrokeSet(
        points,
        np.arange(0, 2 * count + 1, 2),
        np.arange(1, count + 1),
        tuple(labels),
        np.repeat(np.arange(1, writers + 1), 10 * each),
    )


@pytest.fixture(scope="module")
def hands() -> Hands:
    images = {digit: [printed(digit, thick) for thick in (2, 3)] for digit in DIGITS}
    return Hands(ImageHand(images), ImageHand(images), StrokeHands(bars(2, 4)))


@pytest.mark.parametrize("seed", range(4))
def test_lines_have_their_characters_where_their_places_say(hands: Hands, seed: int) -> None:
    ranges = replace(PLAIN, touching=float(seed % 2))
    lines = draw_lines(hands, ranges, 5, np.random.default_rng(seed))
    assert len(lines) == 3
    for strip, text, places in lines:
        assert strip.dtype == np.uint8
        assert len(strip) == STRIP_PX
        assert len(places) == len(text) >= 1
        assert set(text) <= set(DIGITS)
        assert (np.diff(places) > 0).all()
        for place in places.tolist():
            near = strip[4:-4, max(0, round(place) - 4) : round(place) + 5]
            assert near.max() > 100


def test_a_line_depends_on_its_number_alone(hands: Hands) -> None:
    one, again, other = (
        draw_lines(hands, LineRanges(), 4, np.random.default_rng(seed)) for seed in (3, 3, 4)
    )
    assert [line.text for line in one] == [line.text for line in again] != [line.text for line in other]
    for first, second in zip(one, again, strict=True):
        np.testing.assert_array_equal(first.strip, second.strip)


def test_touching_digits_are_in_one_piece_more_often(hands: Hands) -> None:
    def pieces(touching: float) -> float:
        ranges = replace(PLAIN, touching=touching, longest=8)
        shares = [
            (cv2.connectedComponents((line.strip > 60).astype(np.uint8))[0] - 1) / len(line.text)
            for seed in range(6)
            for line in draw_lines(hands, ranges, 8, np.random.default_rng(seed))
        ]
        return float(np.mean(shares))

    assert pieces(1.0) < 0.7 * pieces(0.0)


def test_signs_come_between_digits(hands: Hands) -> None:
    texts = [
        line.text
        for seed in range(8)
        for line in draw_lines(hands, replace(PLAIN, signs=1.0), 9, np.random.default_rng(seed))
    ]
    assert set("".join(texts)) & set(SIGNS)
    assert all(text[0] in DIGITS and text[-1] in DIGITS for text in texts)


@pytest.mark.parametrize("sign", SIGNS)
def test_signs_are_smaller_than_digits_or_lean(sign: str) -> None:
    cover, rise = draw_sign(sign, 60.0, Pen(5.0, 0.3), np.random.default_rng(0))
    assert cover.max() > 0.9
    assert (cover.shape[0] > 50) == (sign == "/")
    assert (rise < 0) == (sign in ",/") or sign == "."


def test_writers_that_are_held_out_are_others() -> None:
    strokes = replace(bars(14, 4))
    learnt, held = StrokeHands(strokes), StrokeHands(strokes, held_out=True)
    assert len(learnt._writers) == 12
    assert len(held._writers) == 2
    with pytest.raises(DatasetError, match="no writer has enough"):
        StrokeHands(bars(2, 1))


def test_a_varied_line_says_the_same(hands: Hands) -> None:
    [line, *_] = draw_lines(hands, PLAIN, 4, np.random.default_rng(1))
    other = varied(line, np.random.default_rng(2))
    assert other.text == line.text
    assert len(other.strip) == STRIP_PX
    stretch = other.strip.shape[1] / line.strip.shape[1]
    np.testing.assert_allclose(other.places, line.places * stretch, rtol=0.05)
    assert not np.array_equal(other.strip, line.strip)


def test_a_short_training_lowers_the_loss(hands: Hands) -> None:
    kept: list[int] = []
    network = replace(line_trainer(SMALL, hands, workers=0), keep_every=8).train(
        keep=lambda step, network: kept.append(step)
    )
    assert kept == [8, 12]
    lines = LineBatches(hands, SMALL, seed=5, count=2)[0]
    losses = [_loss(each, lines) for each in (network, LineNet(1 + len(LABELS)).eval())]
    assert losses[0] < 0.7 * losses[1]


@torch.no_grad()
def _loss(network: LineNet, lines: list[DrawnLine]) -> float:
    total = 0.0
    for line in lines:
        logits = network(torch.from_numpy(line.strip)[None, None].float() / 255)
        total += float(line_loss(logits, torch.tensor([logits.shape[2]]), [line], 1.0))
    return total / len(lines)


def test_the_same_recipe_learns_the_same(hands: Hands) -> None:
    short = replace(SMALL, steps=2, pages=1, warmup_steps=1)
    one, other = (line_trainer(short, hands, workers=workers).train() for workers in (0, 1))
    for first, second in zip(one.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(first, second)


def test_a_training_goes_on_from_earlier_weights(hands: Hands) -> None:
    still = replace(SMALL, steps=1, pages=1, repeats=0, warmup_steps=0, lr=0.0)
    earlier = LineNet(1 + len(LABELS)).state_dict()
    later = line_trainer(still, hands, workers=0).train(begin_with=earlier).state_dict()
    assert torch.equal(later["layers.11.weight"], earlier["layers.11.weight"])
    with pytest.raises(TrainingError, match="another network"):
        line_trainer(still, hands, workers=0).train(begin_with=LineNet(3).state_dict())


def test_the_loss_is_least_where_each_character_has_its_place() -> None:
    line = DrawnLine(np.zeros((STRIP_PX, 40), np.uint8), "17", np.float32([11, 29]))
    logits = torch.zeros(1, 1 + len(LABELS), 20)
    logits[:, 0] = 9
    placed, swapped = logits.clone(), logits.clone()
    for scores, text in ((placed, "17"), (swapped, "71")):
        for frame, character in zip((5, 14), text, strict=True):
            scores[0, :, frame] = 0
            scores[0, 1 + LABELS.index(character), frame] = 9
    frames = torch.tensor([20])
    right, wrong, nothing = (
        float(line_loss(each, frames, [line], 2.0)) for each in (placed, swapped, logits)
    )
    assert right < 0.1
    assert wrong > 5 < nothing


def test_lines_right_are_counted() -> None:
    line = DrawnLine(np.zeros((STRIP_PX, 40), np.uint8), "1", np.float32([11]))
    network = LineNet(1 + len(LABELS)).eval()
    last = network.layers[-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.zero_()
        last.bias[0] = 1  # nothing but blanks
    assert lines_right(network, [[line, line._replace(text="")]]) == (1, 2)


def test_the_export_answers_as_the_network_at_any_width() -> None:
    torch.manual_seed(0)
    network = LineNet(1 + len(LABELS)).eval()
    content = encode_lines(network, LineRecipe())
    assert len(content) < 1_000_000
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for width in (9, 64, 333):
        strips = np.random.default_rng(0).random((1, 1, STRIP_PX, width), np.float32)
        with torch.no_grad():
            expected = network(torch.from_numpy(strips)).transpose(1, 2).numpy()
        np.testing.assert_allclose(session.run(None, {"strips": strips})[0], expected, atol=2e-2)
    assert "steps" in session.get_modelmeta().custom_metadata_map["kalamos-lines"]


def test_the_shipped_recipe_is_one() -> None:
    assert LineRecipe.load(ROOT / "recipes" / "digit-lines.toml").steps > 1000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[lines]\ntouch = 0.1", r"lines\.toml: \[lines\] has no key 'touch'"),
        ("lines = 3", r"lines\.toml: lines = 3 is not a table"),
        ("[lines]\nsigns = 2", r"lines\.toml: signs = 2"),
    ],
)
def test_what_a_recipe_may_not_say(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "lines.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(RecipeError, match=message):
        LineRecipe.load(path)


def test_ranges_are_shares() -> None:
    assert {field.name for field in fields(LineRanges)} >= {"touching", "signs"}
    with pytest.raises(RecipeError, match="touching"):
        LineRanges(touching=1.5)
