"""A run folder keeps what a training made: weights without pickle, and the whole story beside them.

```
RUN/
  model.safetensors   the network's weights and batch-norm statistics
  run.json            recipe, dataset and its fingerprint, split, temperature, environment
  log.csv             one line an epoch
```
"""

from __future__ import annotations

import csv
import io
import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from kalamos._version import __version__
from kalamos.alphabets import Alphabet
from kalamos.architectures import StagedNetwork, build
from kalamos.atomic import atomic_write
from kalamos.errors import KalamosError, TrainingError
from kalamos.training.loop import EpochReport
from kalamos.training.recipe import Recipe

__all__ = ["Run", "claim_folder", "load_run", "save_run"]

_DAMAGES = (
    KalamosError,
    SafetensorError,
    csv.Error,
    AttributeError,
    KeyError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What reading a damaged run folder can raise: its values are used before anything checks their types."""

WEIGHTS, STORY, LOG = "model.safetensors", "run.json", "log.csv"


@dataclass(frozen=True)
class Run:
    """A finished training."""

    recipe: Recipe
    alphabet: Alphabet
    network: StagedNetwork
    temperature: float
    """Fitted on the validation part; see `kalamos.evaluation.calibration`."""
    data_sha256: str
    """Fingerprint of the whole official training split."""
    train_count: int
    val_count: int
    val_accuracy: float
    epochs: tuple[EpochReport, ...]
    created: str
    environment: dict[str, str]


def environment() -> dict[str, str]:
    """What else a result may depend on."""
    return {
        "kalamos": __version__,
        "torch": torch.__version__.partition("+")[0],
        "python": platform.python_version(),
        "machine": platform.machine(),
        "threads": str(torch.get_num_threads()),
    }


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def claim_folder(folder: Path) -> None:
    """Make the run folder before the work begins; an existing run is never overwritten.

    Raises:
        TrainingError: something is in the way.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        occupied = any(folder.iterdir())
    except OSError as error:
        raise TrainingError(f"{folder}: cannot be made ({error.strerror})") from error
    if occupied:
        raise TrainingError(f"{folder}: is not empty", remedy="choose another --run-dir, or remove it first")


def save_run(run: Run, folder: Path) -> None:
    """Write the three files; `run.json` comes last, so that its presence means a complete run."""
    tensors = {name: value.contiguous() for name, value in run.network.state_dict().items()}
    _write(folder / WEIGHTS, save(tensors))
    log = io.StringIO()
    writer = csv.writer(log, lineterminator="\n")
    writer.writerow([f.name for f in fields(EpochReport)])
    writer.writerows(asdict(epoch).values() for epoch in run.epochs)
    _write(folder / LOG, log.getvalue().encode())
    story = {
        "recipe": run.recipe.to_mapping(),
        "alphabet": {"name": run.alphabet.name, "labels": list(run.alphabet.labels)},
        "temperature": run.temperature,
        "data_sha256": run.data_sha256,
        "train_count": run.train_count,
        "val_count": run.val_count,
        "val_accuracy": run.val_accuracy,
        "created": run.created,
        "environment": run.environment,
    }
    _write(folder / STORY, (json.dumps(story, indent=2, ensure_ascii=False) + "\n").encode())


def load_run(folder: Path) -> Run:
    """Read a run folder back, the network in evaluation mode.

    Raises:
        TrainingError: not a complete run folder, or its files do not fit together.
    """
    try:
        story: dict[str, Any] = json.loads((folder / STORY).read_text(encoding="utf-8"))
        recipe = Recipe.from_mapping(story.pop("recipe"))
        alphabet = story.pop("alphabet")
        labels = Alphabet(alphabet["name"], tuple(alphabet["labels"]))
        network = build(recipe.arch, len(labels))
        network.load_state_dict(load((folder / WEIGHTS).read_bytes()))
        epochs = _read_log(folder / LOG)
        return Run(recipe, labels, network.eval(), epochs=epochs, **story)
    except FileNotFoundError as error:
        remedy = "give the folder that `kalamos train` wrote"
        raise TrainingError(f"{folder}: has no {Path(error.filename).name}", remedy=remedy) from error
    except _DAMAGES as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise TrainingError(f"{folder}: is not a run folder that fits together ({first})") from error


def _read_log(path: Path) -> tuple[EpochReport, ...]:
    with path.open(newline="", encoding="utf-8") as stream:
        rows: Sequence[dict[str, str]] = list(csv.DictReader(stream))
    return tuple(
        EpochReport(int(row["epoch"]), *(float(row[f.name]) for f in fields(EpochReport)[1:])) for row in rows
    )


def _write(path: Path, content: bytes) -> None:
    with atomic_write(path) as stream:
        stream.write(content)
