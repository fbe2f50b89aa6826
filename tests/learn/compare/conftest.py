"""A comparison that nothing had to be trained for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra 'train'")

from kalamos.learn import EpochReport
from kalamos.learn.compare.outcomes import Comparison, Failure, Measured, Speed, SystemOutcome, compare_pairs


def member(seed: int, right: int, *, n: int = 1000, parameters: int = 1000) -> Measured:
    """Reads the first `right` of n images rightly."""
    reports = tuple(
        EpochReport(e, 1.0 / e, 1.0 / e, 1 - 0.5 / e, 0.1, 100.0 * e, seconds=20.0) for e in (1, 2, 3)
    )
    folder = Path(f"runs/any-{seed}")
    return Measured(
        seed=seed, folder=folder, model=folder.with_suffix(".onnx"), correct=np.arange(n) < right,
        sha256="ab", file_bytes=2_389_130, trainable=parameters // 2, parameters=parameters,
        train_count=500, val_accuracy=0.9, epochs=reports, seconds=60.0,
    )  # fmt: skip


@pytest.fixture
def found() -> Comparison:
    """Three systems: two seeds, two seeds with one that failed, and one that failed altogether."""
    members = [
        (member(1, 990, parameters=225_034), member(2, 970, parameters=225_034)),
        (member(1, 660, parameters=2_389_130), Failure(2, Path("runs/b-2"), "the loss became nan")),
        (Failure(1, Path("runs/c-1"), "no weights"), Failure(2, Path("runs/c-2"), "no weights")),
    ]
    names = ["cnn2", "mobilenet_v2_transfer", "a|b*c"]
    speeds = [Speed(0.125, (0.12, 0.13), 1.0), Speed(1.5, (1.4, 1.6), 12.0), None]
    answers = [[m.correct if isinstance(m, Measured) else None for m in both] for both in members]
    return Comparison(
        dataset="mnist",
        part="test",
        n=1000,
        passed_over=0,
        systems=tuple(
            SystemOutcome(name, name, both, speed)
            for name, both, speed in zip(names, members, speeds, strict=True)
        ),
        verdicts=compare_pairs(names, answers),
    )


@pytest.fixture
def lone(found: Comparison) -> Comparison:
    """Nothing but a failure."""
    return replace(found, systems=found.systems[2:], verdicts=())
