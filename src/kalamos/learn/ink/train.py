"""Train the ink finder on drawn scenes, and write it as ONNX."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Final, TypeAlias

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from kalamos.learn.export.onnx_format import encode_as_half
from kalamos.learn.ink.glyphs import GlyphPool
from kalamos.learn.ink.network import InkNet
from kalamos.learn.ink.recipe import InkRecipe
from kalamos.learn.ink.scenes import draw_scene
from kalamos.learn.step_trainer import StepTrainer
from kalamos.preprocessing.ink import STRIDE, standardise

__all__ = ["SceneBatches", "encode_ink", "ink_trainer", "mask_loss", "measure_masks", "part_weights"]

Scenes: TypeAlias = tuple[Tensor, Tensor, Tensor]
"""What `SceneBatches` holds, as the loader passes it on."""

SHAPES: Final = (
    *[(64, 64)] * 8,
    (64, 48),
    (48, 64),
    (64, 32),
    (32, 64),
    (64, 16),
    (16, 64),
    (96, 96),
    (128, 128),
)
"""Heights and widths of the batches, in turn: the finder meets them all, squares most often."""

MAX_PART_WEIGHT: Final = 6.0
"""A dot counts at most so many times as much, pixel for pixel, as the strokes beside it."""

WEIGHT_UNIT: Final = 32
"""Weights are passed on in 32nds."""

MAX_EXPORT_GAP: Final = 1e-4
"""Of a probability, between the network and its export."""


class SceneBatches(Dataset[tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint8]]]):
    """Batch i of drawn scenes, the same whoever asks for it: input, ink and weights, each [B, h, w].

    The input is standardised, float32; the ink is uint8, 255 where all of a pixel is ink; the weights are
    uint8 in 32nds.
    """

    def __init__(self, glyphs: GlyphPool, recipe: InkRecipe, *, seed: int, count: int) -> None:
        self._glyphs, self._recipe, self._seed, self._count = glyphs, recipe, seed, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint8]]:
        cv2.setNumThreads(1)  # each process that draws has one processor
        shape = SHAPES[index % len(SHAPES)]
        # Batches of larger scenes hold fewer of them.
        size = max(4, round(self._recipe.batch_size * 64 * 64 / math.prod(shape)))
        size = min(size, self._recipe.batch_size)
        inputs = np.empty((size, *shape), np.float32)
        ink = np.empty((size, *shape), np.uint8)
        weights = np.empty((size, *shape), np.uint8)
        for row in range(size):
            rng = np.random.default_rng((self._seed, index, row))
            scene = draw_scene(self._glyphs, self._recipe.scenes, shape, rng)
            inputs[row] = standardise(scene.photo, shape)
            ink[row] = np.rint(255 * _resized(scene.ink, shape))
            weights[row] = part_weights(ink[row])
        return inputs, ink, weights


def _resized(mask: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    method = cv2.INTER_AREA if mask.shape[0] > shape[0] else cv2.INTER_LINEAR
    return np.clip(cv2.resize(mask, shape[::-1], interpolation=method), 0, 1)


def part_weights(ink: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Weigh each part of the ink by one over the root of its size, and its surroundings with it.

    Args:
        ink: uint8 [h, w].

    Returns:
        uint8 [h, w] in 32nds: 1 for the largest part and for paper, up to `MAX_PART_WEIGHT` for small ones.
    """
    mask = (ink > 127).view(np.uint8)
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask)
    weights = np.full(ink.shape, WEIGHT_UNIT, np.uint8)
    if count <= 2:
        return weights
    areas = stats[1:, cv2.CC_STAT_AREA].astype(np.float64)
    each = np.clip(np.sqrt(areas.max() / areas), 1, MAX_PART_WEIGHT)
    table = np.concatenate([[1.0], each]) * WEIGHT_UNIT
    around = cv2.dilate(table[parts].astype(np.uint8), np.ones((5, 5), np.uint8))
    return np.maximum(weights, around)


def mask_loss(logits: Tensor, ink: Tensor, weights: Tensor) -> Tensor:
    """Cross-entropy of each pixel, weighted, plus Dice of each scene: all are [B, h, w]."""
    pixel = F.binary_cross_entropy_with_logits(logits, ink, weight=weights)
    likely = logits.sigmoid()
    common, total = (likely * ink).sum((1, 2)), (likely + ink).sum((1, 2))
    # The 8 keeps scenes without ink from counting as wholly wrong for a pixel of doubt.
    dice = 1 - (2 * common + 8) / (total + 8)
    return pixel + 0.5 * dice.mean()


def ink_trainer(recipe: InkRecipe, glyphs: GlyphPool, *, workers: int = 1) -> StepTrainer[InkNet, Scenes]:
    """Make a network ready to be trained.

    Args:
        glyphs: the characters that scenes are drawn of.
        workers: processes that draw; the result does not depend on them.
    """
    torch.manual_seed(recipe.seed)
    network = InkNet(recipe.channels, recipe.blocks)
    batches = SceneBatches(glyphs, recipe, seed=recipe.seed, count=recipe.steps)
    loader = DataLoader(batches, batch_size=None, num_workers=workers, prefetch_factor=8 if workers else None)

    def batch_loss(scenes: Scenes) -> tuple[Tensor, int]:
        inputs, ink, weights = scenes
        x = inputs[:, None].to(memory_format=torch.channels_last)
        return mask_loss(network(x)[:, 0], ink.float() / 255, weights.float() / WEIGHT_UNIT), len(inputs)

    return StepTrainer(recipe, network, loader, batch_loss, clip_norm=1.0, keep_every=2_000)


@torch.no_grad()
def measure_masks(network: InkNet, batches: SceneBatches) -> NDArray[np.float64]:
    """Compare a network's masks with the true ones: the intersection over union of each scene, float64 [N].

    A scene without ink counts 1 where none is found, 0 elsewhere.
    """
    found: list[NDArray[np.float64]] = []
    for index in range(len(batches)):
        inputs, ink, _ = batches[index]
        mask = network(torch.from_numpy(inputs)[:, None])[:, 0].numpy() > 0
        true = ink > 127
        common, either = (mask & true).sum((1, 2)), (mask | true).sum((1, 2))
        found.append(np.where(either > 0, common / np.maximum(either, 1), 1.0))
    return np.concatenate(found)


def encode_ink(network: InkNet, recipe: InkRecipe) -> bytes:
    """Encode a network as ONNX: `grey` float32 [N, 1, h, w], standardised -> `ink` in [0, 1].

    Raises:
        ExportError: PyTorch's exporter fails, or what it returns answers otherwise than the network.
    """
    draw = torch.Generator().manual_seed(0)
    height, width = torch.export.Dim("height16", max=512), torch.export.Dim("width16", max=512)
    return encode_as_half(
        nn.Sequential(network, nn.Sigmoid()),
        [torch.randn(n, 1, h, w, generator=draw) for n, h, w in ((2, 64, 48), (1, 16, 32), (3, 128, 128))],
        names=("grey", "ink"),
        dynamic_shapes={0: torch.export.Dim("batch"), 2: STRIDE * height, 3: STRIDE * width},
        properties={"kalamos-ink": json.dumps(asdict(recipe), sort_keys=True)},
        max_gap=MAX_EXPORT_GAP,
    )
