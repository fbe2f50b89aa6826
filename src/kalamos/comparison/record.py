"""`comparison.json`, which has always these keys; a figure that there is none of is null.

dataset, split, n     on what, and how many images; `split` is "test", "held-out test" or "held-out val"
passed_over           files of the dataset that hold no image that could be used; not in n
systems               in the order given, each with
  name, architecture
  accuracy            mean over the seeds, in [0, 1]; null where every seed failed, and so is what follows
  accuracy_std        standard deviation (n - 1) over the seeds; null for one seed
  interval_95         Wilson interval of the mean, for n images: [low, high]
  seeds               those that were measured
  parameters_trainable, parameters_total
  file_bytes          of the exported .onnx
  ms_per_image        one image at a time, one onnxruntime thread, the network alone: median over rounds in
                      which all systems were timed in turn; `ms_quartiles`: [first, third]
  ms_ratio            to the first system that there is a model of
  train_seconds       of all epochs with their validation, mean over the seeds
  train_images_per_second   median over the epochs, mean over the seeds
  runs                [{"seed", "folder", "model", "sha256", "n", "accuracy", "interval_95", "val_accuracy",
                      "train_count", "epochs", "train_seconds", "train_images_per_second", "error"}, ...];
                      `sha256` is that of the images measured on; after an `error` only seed and folder tell
pairs                 every two systems with a model each:
  a, b                their names, in the order of `systems`
  accuracy_a, accuracy_b   means over the seeds that both have
  difference          accuracy_a - accuracy_b
  p_value             of McNemar's tests, two-sided; of K seeds (K / k) times the k-th smallest, k the
                      smallest majority of K
  p_corrected         p_value corrected by Holm for the number of pairs
  significant         p_corrected is below `level`
  better              the name of the better system where it is; else null
  words               the sentence
  tests               [{"only_a", "only_b", "p_value", "exact"}, ...], seed by seed: images that only
                      one of the two reads right
level                 0.05
date, kalamos_version
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from kalamos._version import __version__
from kalamos.comparison.outcomes import Comparison, Failure, Measured, SystemOutcome
from kalamos.comparison.verdicts import LEVEL, PairwiseTest
from kalamos.writers.escape import encodable, one_line

__all__ = ["as_plain"]

FIGURES = (
    "model", "sha256", "n", "accuracy", "interval_95", "val_accuracy", "train_count", "epochs",
    "train_seconds", "train_images_per_second",
)  # fmt: skip
"""Of a run that did not fail."""


def as_plain(found: Comparison) -> dict[str, Any]:
    """Everything found, as plain JSON types under the keys that this module's docstring lists."""
    return {
        "dataset": one_line(found.dataset),
        "split": found.part,
        "n": found.n,
        "passed_over": found.passed_over,
        "systems": [_system(system) for system in found.systems],
        "pairs": [_pair(verdict) for verdict in found.verdicts],
        "level": LEVEL,
        "date": datetime.now(UTC).date().isoformat(),
        "kalamos_version": __version__,
    }


def _system(system: SystemOutcome) -> dict[str, Any]:
    first = next(iter(system.measured), None)
    speed = system.speed
    return {
        "name": system.name,
        "architecture": system.architecture,
        "accuracy": system.accuracy if first else None,
        "accuracy_std": system.deviation,
        "interval_95": list(system.interval) if first else None,
        "seeds": [member.seed for member in system.measured],
        "parameters_trainable": first.trainable if first else None,
        "parameters_total": first.parameters if first else None,
        "file_bytes": first.file_bytes if first else None,
        "ms_per_image": speed.milliseconds if speed else None,
        "ms_quartiles": list(speed.quartiles) if speed else None,
        "ms_ratio": speed.ratio if speed else None,
        "train_seconds": system.mean(lambda member: member.seconds) if first else None,
        "train_images_per_second": system.mean(lambda member: member.images_per_second) if first else None,
        "runs": [_run(member) for member in system.members],
    }


def _run(member: Measured | Failure) -> dict[str, Any]:
    common = {"seed": member.seed, "folder": encodable(member.folder.as_posix())}
    if isinstance(member, Failure):
        return {**common, **dict.fromkeys(FIGURES), "error": member.message}
    return {
        **common,
        "model": encodable(member.model.as_posix()),
        "sha256": member.sha256,
        "n": member.n,
        "accuracy": member.accuracy,
        "interval_95": list(member.interval),
        "val_accuracy": member.val_accuracy,
        "train_count": member.train_count,
        "epochs": len(member.epochs),
        "train_seconds": member.seconds,
        "train_images_per_second": member.images_per_second,
        "error": None,
    }


def _pair(verdict: PairwiseTest) -> dict[str, Any]:
    return {
        "a": verdict.a,
        "b": verdict.b,
        "accuracy_a": verdict.accuracy_a,
        "accuracy_b": verdict.accuracy_b,
        "difference": verdict.accuracy_a - verdict.accuracy_b,
        "p_value": verdict.p_value,
        "p_corrected": verdict.p_corrected,
        "significant": verdict.better is not None,
        "better": verdict.better,
        "words": str(verdict),
        "tests": [asdict(test) for test in verdict.tests],
    }
