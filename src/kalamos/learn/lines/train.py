"""Train a line recogniser on drawn lines, and write it as ONNX."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Final

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from kalamos.learn.distributed import Engine, choose_precision
from kalamos.learn.export.onnx_format import encode_as_half
from kalamos.learn.lines.drawing import DrawnLine, Hands, draw_lines
from kalamos.learn.lines.network import LineNet
from kalamos.learn.lines.recipe import LineRecipe
from kalamos.learn.step_trainer import StepTrainer
from kalamos.pages.line_recognizer import LABELS, STRIDE
from kalamos.pages.strips import STRIP_PX

__all__ = ["LineBatches", "encode_lines", "line_loss", "line_trainer", "lines_right", "varied"]

OWN_FRAMES, NEAR_FRAMES = 0.75, 2.0
"""Rows of logits from a character's middle: so far its own label is asked for; then, for a while, none."""

IGNORED: Final = -100
"""PyTorch's label of what does not count."""

KEPT_LINES: Final = 12_000
"""Lines drawn before that steps take again: memory for some 100 MB."""

MAX_EXPORT_GAP: Final = 2e-3
"""Of a log probability, between the network and its export, whose weights are float16."""


class LineBatches(Dataset[list[DrawnLine]]):
    """Batch i of drawn lines of about one length, the same whoever asks for it."""

    def __init__(self, hands: Hands, recipe: LineRecipe, *, seed: int, count: int) -> None:
        self._hands, self._recipe, self._seed, self._count = hands, recipe, seed, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> list[DrawnLine]:
        cv2.setNumThreads(1)  # each process that draws has one processor
        longest = self._recipe.lines.longest
        characters = round(1 + np.random.default_rng((self._seed, index)).random() * (longest - 1))
        lines: list[DrawnLine] = []
        for page in range(self._recipe.pages):
            generator = np.random.default_rng((self._seed, index, page))
            lines += draw_lines(self._hands, self._recipe.lines, characters, generator)
        return lines


def varied(line: DrawnLine, generator: np.random.Generator) -> DrawnLine:
    """Stretch, lean and move a line a little, and change how strong its ink is."""
    width = line.strip.shape[1]
    stretch, tall = generator.uniform(0.85, 1.2), generator.uniform(0.92, 1.09)
    lean = generator.normal(0, 0.07)
    shift = generator.normal(0, 0.9)
    middle = (STRIP_PX - 1) / 2
    there = np.array([[stretch, -lean, lean * middle], [0.0, tall, middle * (1 - tall) + shift]])
    strip = cv2.warpAffine(line.strip, there, (math.ceil(stretch * width), STRIP_PX), flags=cv2.INTER_LINEAR)
    power = math.exp(generator.normal(0, 0.25))
    table = np.rint(255 * (np.arange(256) / 255) ** power).astype(np.uint8)
    return DrawnLine(
        np.asarray(cv2.LUT(strip, table), np.uint8), line.text, line.places * np.float32(stretch)
    )


def _batch(lines: Sequence[DrawnLine]) -> tuple[Tensor, Tensor]:
    """Stack strips: inputs float32 [N, 1, 40, w], and how many rows of logits each has, int64 [N]."""
    widths = [line.strip.shape[1] for line in lines]
    strips = np.zeros((len(lines), 1, STRIP_PX, 8 * math.ceil(max(widths) / 8)), np.uint8)
    for row, line in enumerate(lines):
        strips[row, 0, :, : line.strip.shape[1]] = line.strip
    frames = torch.tensor([(width + 1) // STRIDE for width in widths])
    return torch.from_numpy(strips).float() / 255, frames


def line_loss(logits: Tensor, frames: Tensor, lines: Sequence[DrawnLine], place_weight: float) -> Tensor:
    """CTC (Graves et al. 2006), and the cross-entropy of each character at its own place.

    Places need not be known for CTC, but are: with them the network learns sooner, and its spikes lie in
    the middle of what they stand for.

    Args:
        logits: float32 [N, classes, T].
        frames: int64 [N], how many rows of them count.
    """
    likely = logits.log_softmax(1)
    texts = [[1 + LABELS.index(character) for character in line.text] for line in lines]
    lengths = torch.tensor([len(text) for text in texts])
    ctc = F.ctc_loss(
        likely.permute(2, 0, 1),
        torch.tensor([each for text in texts for each in text]),
        frames,
        lengths,
        zero_infinity=True,
    )
    targets = np.full((len(lines), logits.shape[2]), IGNORED, np.int64)
    for row, (line, text) in enumerate(zip(lines, texts, strict=True)):
        count = int(frames[row])
        places = np.maximum.accumulate(line.places) / STRIDE - 0.5
        distances = np.abs(np.arange(count)[:, None] - places)
        nearest, distance = distances.argmin(axis=1), distances.min(axis=1)
        targets[row, :count] = np.where(distance <= OWN_FRAMES, np.array(text)[nearest], IGNORED)
        targets[row, :count][distance > NEAR_FRAMES] = 0
    placed = F.nll_loss(likely, torch.from_numpy(targets), ignore_index=IGNORED)
    return ctc + place_weight * placed


def line_trainer(
    recipe: LineRecipe, hands: Hands, *, workers: int = 1
) -> StepTrainer[LineNet, list[DrawnLine]]:
    """Make a network ready to be trained.

    Args:
        hands: who writes.
        workers: processes that draw; the result does not depend on them.
    """
    torch.manual_seed(recipe.seed)
    network = LineNet(1 + len(LABELS))
    engine = Engine(precision=choose_precision("auto", "cpu", network))
    fresh = LineBatches(hands, recipe, seed=recipe.seed, count=math.ceil(recipe.steps / (1 + recipe.repeats)))
    loader = DataLoader(
        fresh, batch_size=None, num_workers=workers, prefetch_factor=4 if workers else None, collate_fn=_same
    )

    def batch_loss(lines: list[DrawnLine]) -> tuple[Tensor, int]:
        inputs, frames = _batch(lines)
        with engine.autocast():
            logits = network(inputs.to(memory_format=torch.channels_last))
        return line_loss(logits.float(), frames, lines, recipe.place_weight), len(lines)

    batches = _with_repeats(loader, recipe)
    return StepTrainer(recipe, network, batches, batch_loss, clip_norm=2.0, report_every=50, keep_every=500)


def _same(lines: list[DrawnLine]) -> list[DrawnLine]:
    return lines


def _with_repeats(loader: DataLoader[list[DrawnLine]], recipe: LineRecipe) -> Iterator[list[DrawnLine]]:
    """Yield each batch, and after it batches of lines like them that were drawn before."""
    kept: list[DrawnLine] = []
    for index, batch in enumerate(loader):
        if not batch:
            continue
        yield batch
        generator = np.random.default_rng((recipe.seed, 1, index))
        kept = [*kept, *batch][-KEPT_LINES:]
        for _ in range(recipe.repeats):
            # Of about one width, as batches are padded to the widest.
            width = kept[int(generator.integers(len(kept)))].strip.shape[1]
            apart = np.abs(np.log([line.strip.shape[1] / width for line in kept]))
            near = np.argsort(apart, kind="stable")[: max(4 * len(batch), len(kept) // 8)]
            rows = generator.choice(near, min(len(batch), len(near)), replace=False)
            yield [varied(kept[row], generator) for row in rows.tolist()]


@torch.no_grad()
def lines_right(network: LineNet, batches: Sequence[Sequence[DrawnLine]]) -> tuple[int, int]:
    """Count the lines that a network reads without a mistake, by each place's likeliest class; and all."""
    right = count = 0
    for lines in batches:
        inputs, frames = _batch(lines)
        classes = network(inputs).argmax(1).numpy()
        for row, line in enumerate(lines):
            own = classes[row, : int(frames[row])]
            spikes = own[(own > 0) & (np.diff(own, prepend=0) != 0)]
            right += "".join(LABELS[each - 1] for each in spikes.tolist()) == line.text
            count += 1
    return right, count


class _Scores(nn.Module):
    def __init__(self, network: LineNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, strips: Tensor) -> Tensor:
        logits: Tensor = self.network(strips)
        return logits.transpose(1, 2)


def encode_lines(network: LineNet, recipe: LineRecipe) -> bytes:
    """Encode a network as ONNX: `strips` float32 [N, 1, 40, w] -> `logits` [N, (w + 1) // 2, classes].

    Raises:
        ExportError: PyTorch's exporter fails, or what it returns answers otherwise than the network.
    """
    draw = torch.Generator().manual_seed(0)
    return encode_as_half(
        _Scores(network),
        [torch.rand(n, 1, STRIP_PX, w, generator=draw) for n, w in ((2, 96), (1, 57), (3, 24))],
        names=("strips", "logits"),
        dynamic_shapes={0: torch.export.Dim("batch"), 3: torch.export.Dim("width", min=4)},
        properties={"kalamos-lines": json.dumps(asdict(recipe), sort_keys=True)},
        max_gap=MAX_EXPORT_GAP,
    )
