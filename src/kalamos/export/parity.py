"""The gate: an exported model must answer as the network it came from."""

from __future__ import annotations

import numpy as np
from torch import nn

from kalamos.errors import ExportError
from kalamos.model_file import LoadedModel
from kalamos.preprocessing import Preprocessor
from kalamos.training.loop import infer

__all__ = ["check_parity"]

TOLERANCE = 1e-4
"""Largest difference of any logit."""

BATCH_SIZES = (1, 2, 7)
"""One shows a lost batch dimension, two and seven a frozen one."""


def check_parity(network: nn.Module, exported: LoadedModel, *, seed: int = 0) -> float:
    """Compare logits on random strokes, at several batch sizes.

    Returns:
        The largest difference that was seen.

    Raises:
        ExportError: a logit differs by more than `TOLERANCE`, or a best class differs.
    """
    prepare = Preprocessor(exported.spec.preprocessing)
    generator = np.random.default_rng(seed)
    size = exported.spec.input_size
    worst = 0.0
    for count in BATCH_SIZES:
        scribbles = generator.integers(0, 256, (count, size, size), np.uint8)
        scribbles[generator.random(scribbles.shape) < 0.8] = 0  # ink is sparse
        images = prepare.batch(scribbles)
        expected = infer(network, images)
        try:
            [answered] = exported.session.run(["logits"], {exported.input_name: images})
        except Exception as error:
            raise ExportError(f"the exported model fails at batch size {count}: {error}") from error
        difference = float(np.abs(expected - answered).max())
        worst = max(worst, difference)
        if not difference <= TOLERANCE or (expected.argmax(1) != answered.argmax(1)).any():
            raise ExportError(
                f"the exported model differs from the network by {difference:.2g} at batch size {count}, "
                f"where {TOLERANCE:g} is allowed",
                remedy="nothing was written; the network may hold an operator that ONNX renders otherwise",
            )
    return worst
