"""Train a line recogniser on drawn lines, and write it as ONNX."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict
from itertools import islice
from typing import Final

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset

from kalamos.errors import ExportError, TrainingError
from kalamos.learn.checkpoint import averaging, warm_cosine
from kalamos.learn.distributed import choose_precision
from kalamos.learn.export.onnx_format import encode_as_half
from kalamos.learn.lines.drawing import DrawnLine, Hands, draw_lines
from kalamos.learn.lines.network import LineNet
from kalamos.learn.lines.recipe import LineRecipe
from kalamos.learn.models.base import fold_batch_norms
from kalamos.pages.line_recognizer import LABELS, STRIDE
from kalamos.pages.strips import STRIP_PX

__all__ = ["LineBatches", "encode_lines", "line_loss", "lines_right", "train_lines", "varied"]

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


def train_lines(
    recipe: LineRecipe,
    hands: Hands,
    *,
    begin_with: Mapping[str, Tensor] | None = None,
    workers: int = 1,
    report: Callable[[int, float, float], None] = lambda step, loss, rate: None,
    keep: Callable[[int, LineNet], None] = lambda step, network: None,
    keep_every: int = 500,
) -> LineNet:
    """Train a network; the result has the moving average of the weights.

    Args:
        hands: who writes.
        begin_with: weights by their names, as a network of this recipe has them; None begins at random.
        workers: processes that draw; the result does not depend on them.
        report: called now and then with the step, the mean loss since the last call, and lines a second.
        keep: called every `keep_every` steps with the averaged network.

    Raises:
        TrainingError: the weights are of another network, or the loss is not finite any more.
    """
    torch.manual_seed(recipe.seed)
    network = LineNet(1 + len(LABELS))
    if begin_with is not None:
        try:
            network.load_state_dict(begin_with)
        except RuntimeError as error:
            raise TrainingError(
                "the weights to begin with are those of another network", remedy="leave out --weights"
            ) from error
    network.to(memory_format=torch.channels_last)
    half = choose_precision("auto", "cpu", network) is not None
    average = AveragedModel(network, multi_avg_fn=averaging(recipe.ema_decay), use_buffers=True)
    optimizer = torch.optim.AdamW(network.parameters(), recipe.lr, weight_decay=recipe.weight_decay)
    schedule = warm_cosine(optimizer, recipe.steps, recipe.warmup_steps)
    fresh = LineBatches(hands, recipe, seed=recipe.seed, count=math.ceil(recipe.steps / (1 + recipe.repeats)))
    loader = DataLoader(
        fresh, batch_size=None, num_workers=workers, prefetch_factor=4 if workers else None, collate_fn=_same
    )
    total, seen, started = 0.0, 0, time.perf_counter()
    network.train()
    for step, batch in enumerate(islice(_with_repeats(loader, recipe), recipe.steps), start=1):
        inputs, frames = _batch(batch)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            logits = network(inputs.to(memory_format=torch.channels_last))
        loss = line_loss(logits.float(), frames, batch, recipe.place_weight)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimizer.step()
        schedule.step()
        average.update_parameters(network)
        total, seen = total + float(loss.detach()), seen + len(batch)
        if step % 50 == 0 or step == recipe.steps:
            mean = total / (step % 50 or 50)
            if not math.isfinite(mean):
                raise TrainingError(f"the loss became {mean} by step {step}", remedy="lower lr")
            report(step, mean, seen / (time.perf_counter() - started))
            total, seen, started = 0.0, 0, time.perf_counter()
        if step % keep_every == 0 or step == recipe.steps:
            keep(step, _network_of(average))
    return _network_of(average)


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


def _network_of(average: AveragedModel) -> LineNet:
    network = deepcopy(average.module).eval()
    assert isinstance(network, LineNet)  # noqa: S101  (what was averaged)
    return network


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

    Weights are rounded to float16, half the file.

    Raises:
        ExportError: PyTorch's exporter fails, or what it returns answers otherwise than the network.
    """
    folded = deepcopy(network).eval().to(memory_format=torch.contiguous_format)
    fold_batch_norms(folded)
    for parameter in folded.parameters():
        parameter.data = parameter.data.half().float()
    whole = _Scores(folded).eval()
    example = torch.rand(2, 1, STRIP_PX, 96, generator=torch.Generator().manual_seed(0))
    content = encode_as_half(
        whole,
        example,
        names=("strips", "logits"),
        dynamic_shapes={0: torch.export.Dim("batch"), 3: torch.export.Dim("width", min=4)},
        properties={"kalamos-lines": json.dumps(asdict(recipe), sort_keys=True)},
    )
    _check_export(content, whole, example)
    return content


def _check_export(content: bytes, network: nn.Module, example: Tensor) -> None:
    """Raise `ExportError` unless the encoded network answers as the network does, at any width."""
    import onnxruntime  # type: ignore[import-untyped]

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for count, width in ((2, 96), (1, 57), (3, 24)):
        strips = example.repeat(2, 1, 1, 1)[:count, :, :, :width]
        with torch.no_grad():
            expected = network(strips).numpy()
        [answer] = session.run(None, {"strips": strips.numpy()})
        gap = float(np.abs(answer - expected).max())
        if not gap <= MAX_EXPORT_GAP:
            raise ExportError(
                f"the exported line recogniser answers otherwise than the network, by {gap:.2g}"
            )
