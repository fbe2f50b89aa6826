"""Train the ink finder on drawn scenes, and write it as ONNX."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import asdict
from typing import Final

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset

from kalamos.errors import ExportError, TrainingError
from kalamos.learn.checkpoint import averaging, warm_cosine
from kalamos.learn.export.onnx_format import encode_as_half
from kalamos.learn.ink.glyphs import GlyphPool
from kalamos.learn.ink.network import InkNet
from kalamos.learn.ink.recipe import InkRecipe
from kalamos.learn.ink.scenes import draw_scene
from kalamos.learn.models.base import fold_batch_norms
from kalamos.preprocessing.ink import STRIDE, standardise

__all__ = ["SceneBatches", "encode_ink", "mask_loss", "measure_masks", "part_weights", "train_ink"]

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


def train_ink(
    recipe: InkRecipe,
    glyphs: GlyphPool,
    *,
    begin_with: Mapping[str, Tensor] | None = None,
    workers: int = 1,
    report: Callable[[int, float, float], None] = lambda step, loss, rate: None,
    keep: Callable[[int, InkNet], None] = lambda step, network: None,
    keep_every: int = 2_000,
) -> InkNet:
    """Train a network; the result has the moving average of the weights.

    Args:
        glyphs: the characters that scenes are drawn of.
        begin_with: weights by their names, as a network of this recipe has them; None begins at random.
        workers: processes that draw; the result does not depend on them.
        report: called now and then with the step, the mean loss since the last call, and scenes a second.
        keep: called every `keep_every` steps with the averaged network.

    Raises:
        TrainingError: the weights are of another network, or the loss is not finite any more.
    """
    torch.manual_seed(recipe.seed)
    network = InkNet(recipe.channels, recipe.blocks)
    if begin_with is not None:
        try:
            network.load_state_dict(begin_with)
        except RuntimeError as error:
            raise TrainingError(
                "the weights to begin with are those of another network", remedy="leave out --weights"
            ) from error
    network.to(memory_format=torch.channels_last)
    average = AveragedModel(network, multi_avg_fn=averaging(recipe.ema_decay), use_buffers=True)
    optimizer = torch.optim.AdamW(network.parameters(), recipe.lr, weight_decay=recipe.weight_decay)
    schedule = warm_cosine(optimizer, recipe.steps, recipe.warmup_steps)
    batches = SceneBatches(glyphs, recipe, seed=recipe.seed, count=recipe.steps)
    loader = DataLoader(batches, batch_size=None, num_workers=workers, prefetch_factor=8 if workers else None)
    total, seen, started = 0.0, 0, time.perf_counter()
    network.train()
    for step, (inputs, ink, weights) in enumerate(loader, start=1):
        x = inputs[:, None].to(memory_format=torch.channels_last)
        loss = mask_loss(network(x)[:, 0], ink.float() / 255, weights.float() / WEIGHT_UNIT)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        average.update_parameters(network)
        total, seen = total + float(loss.detach()), seen + len(inputs)
        if step % 100 == 0 or step == recipe.steps:
            mean = total / (step % 100 or 100)
            if not math.isfinite(mean):
                raise TrainingError(f"the loss became {mean} by step {step}", remedy="lower lr")
            report(step, mean, seen / (time.perf_counter() - started))
            total, seen, started = 0.0, 0, time.perf_counter()
        if step % keep_every == 0 or step == recipe.steps:
            keep(step, _network_of(average))
    return _network_of(average)


def _network_of(average: AveragedModel) -> InkNet:
    network = deepcopy(average.module).eval()
    assert isinstance(network, InkNet)  # noqa: S101  (what was averaged)
    return network


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
    folded = deepcopy(network).eval().to(memory_format=torch.contiguous_format)
    fold_batch_norms(folded)
    for parameter in folded.parameters():
        parameter.data = parameter.data.half().float()
    whole = nn.Sequential(folded, nn.Sigmoid()).eval()
    example = torch.randn(2, 1, 64, 48, generator=torch.Generator().manual_seed(0))
    height, width = torch.export.Dim("height16", max=512), torch.export.Dim("width16", max=512)
    content = encode_as_half(
        whole,
        example,
        names=("grey", "ink"),
        dynamic_shapes={0: torch.export.Dim("batch"), 2: STRIDE * height, 3: STRIDE * width},
        properties={"kalamos-ink": json.dumps(asdict(recipe), sort_keys=True)},
    )
    _check_export(content, whole, example)
    return content


def _check_export(content: bytes, network: nn.Module, example: Tensor) -> None:
    """Raise `ExportError` unless the encoded network answers as the network does."""
    import onnxruntime  # type: ignore[import-untyped]

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for shape in ((2, 1, 64, 48), (1, 1, 16, 32), (3, 1, 128, 128)):
        grey = example.repeat(2, 1, 2, 3)[: shape[0], :, : shape[2], : shape[3]]
        with torch.no_grad():
            expected = network(grey).numpy()
        [answer] = session.run(None, {"grey": grey.numpy()})
        gap = float(np.abs(answer - expected).max())
        if not gap <= MAX_EXPORT_GAP:
            raise ExportError(f"the exported ink finder answers otherwise than the network, by {gap:.2g}")
