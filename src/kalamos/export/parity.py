"""The gate: what was written must answer as the network that it was written from."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import nn

from kalamos.errors import ExportError
from kalamos.model_file import LoadedModel, ModelSpec
from kalamos.preprocessing import Preprocessor
from kalamos.training.loop import infer

__all__ = ["BATCH_SIZES", "TOLERANCE", "Answer", "answer_of", "check_parity", "strokes"]

TOLERANCE = 1e-4
"""Largest difference of any logit."""

BATCH_SIZES = (1, 2, 7)
"""One shows a lost batch dimension, two and seven a frozen one."""

Answer: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Images float32 [N, 1, S, S], normalised -> logits float32 [N, C]."""


def check_parity(
    network: nn.Module, answer: Answer, spec: ModelSpec, what: str = "the exported file", *, seed: int = 0
) -> float:
    """Compare logits on drawn strokes, at several batch sizes.

    Args:
        network: the truth; put into evaluation mode.
        answer: what was read back, run as whoever opens the file would run it.
        spec: tells the images' size and normalisation.
        what: what to call it in messages.

    Returns:
        The largest difference that was seen.

    Raises:
        ExportError: a logit differs by more than `TOLERANCE`, or a best class differs.
    """
    prepare = Preprocessor(spec.preprocessing)
    generator = np.random.default_rng(seed)
    worst = 0.0
    for count in BATCH_SIZES:
        images = prepare.batch(strokes(count, spec.input_size, generator))
        expected = infer(network, images)
        try:
            answered = answer(images)
        except Exception as error:  # whatever runs it has errors of its own
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise ExportError(f"{what} fails at batch size {count}: {first}") from error
        if answered.shape != expected.shape:
            raise ExportError(
                f"{what} answers {list(answered.shape)} at batch size {count}, "
                f"where the network answers {list(expected.shape)}"
            )
        difference = float(np.abs(expected - answered).max())
        worst = max(worst, difference)
        if not difference <= TOLERANCE or (expected.argmax(1) != answered.argmax(1)).any():
            raise ExportError(
                f"{what} differs from the network by {difference:.2g} at batch size {count}, "
                f"where {TOLERANCE:g} and the same best class are asked for",
                remedy="nothing was written; the network may hold an operator that this format changes",
            )
    return worst


def answer_of(model: LoadedModel) -> Answer:
    """How an open model file answers."""
    return model.logits


def strokes(count: int, size: int, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Curves as a pen draws them, bright on black: uint8 [count, size, size].

    >>> images = strokes(2, 28, np.random.default_rng(0))
    >>> images.shape, bool((images == 0).mean() > 0.5), int(images.max())
    ((2, 28, 28), True, 255)
    """
    images = np.zeros((count, size, size), np.uint8)
    along = np.linspace(0, 1, 20)[:, np.newaxis]  # [20, 1]
    fraction = 4  # bits of sub-pixel position in OpenCV's coordinates
    for image in images:
        for _ in range(generator.integers(1, 4)):
            start, bend, end = generator.uniform(0.15, 0.85, (3, 2)) * size
            curve = (1 - along) ** 2 * start + 2 * along * (1 - along) * bend + along**2 * end  # [20, 2]
            points = np.round(curve * 2**fraction).astype(np.int32)
            cv2.polylines(image, [points], False, 255, max(1, size // 12), cv2.LINE_AA, fraction)
    return images
