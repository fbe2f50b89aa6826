"""A run folder keeps what a training made: weights without pickle, and the whole story beside them.

```
RUN/
  run.json            recipe, dataset and its fingerprint, environment; at the end also the outcome
  split.safetensors   the rows of the dataset that were learnt from, watched, and held out
  model.safetensors   the network's weights and batch-norm statistics; there when the run is finished
  last.safetensors    the state after the last epoch, to go on from
  best.safetensors    the weights of the epoch with the best validation accuracy
  extras.safetensors  while it goes on: the photographs and outliers that it learns from
  log.csv, tensorboard/, curves.png
```
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from kalamos._version import __version__
from kalamos.alphabets import Alphabet
from kalamos.architectures import StagedNetwork, create_model
from kalamos.atomic import write_text
from kalamos.errors import TrainingError
from kalamos.model_file import SelectiveAccuracy, open_model
from kalamos.recognizer import Recognizer
from kalamos.stale_files import remove_all_stale
from kalamos.training.checkpoint import read_weights, write_weights
from kalamos.training.logs import CsvLog, read_log
from kalamos.training.recipe import Recipe
from kalamos.training.reports import EpochReport
from kalamos.training.splitting import SPLIT, SplitPlan, read_split, write_split
from kalamos.training.story import METADATA_FILE, read_metadata

__all__ = [
    "Run",
    "RunConfig",
    "claim_folder",
    "is_finished",
    "load_config",
    "load_run",
    "save_config",
    "save_run",
]

WEIGHTS = "model.safetensors"
OUTCOME = ("temperature", "val_accuracy", "kept_epoch")


@dataclass(frozen=True)
class RunConfig:
    """What is known of a run before its first epoch."""

    recipe: Recipe
    alphabet: Alphabet
    data_sha256: str
    """Fingerprint of the dataset's whole training split."""
    split: SplitPlan
    created: str
    environment: dict[str, str]

    @classmethod
    def now(cls, recipe: Recipe, alphabet: Alphabet, data_sha256: str, split: SplitPlan) -> RunConfig:
        created = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(recipe, alphabet, data_sha256, split, created, environment())


@dataclass(frozen=True)
class Run:
    """A finished training."""

    recipe: Recipe
    alphabet: Alphabet
    network: StagedNetwork
    """In evaluation mode, on the CPU."""
    temperature: float
    """Fitted on the validation part; see `kalamos.evaluation.calibration`."""
    data_sha256: str
    train_count: int
    val_count: int
    val_accuracy: float
    """Of the weights that were kept."""
    kept_epoch: int
    """Whose weights these are, from 1."""
    selective: SelectiveAccuracy | None
    """Measured on the validation part, after the temperature; None for a run of an earlier kalamos."""
    epochs: tuple[EpochReport, ...]
    created: str
    environment: dict[str, str]
    split: SplitPlan | None = field(default=None, compare=False)
    """Which rows of the dataset it learnt from, watched and held out; None if its folder lacks the file."""
    folder: Path | None = field(default=None, compare=False)
    """Its run folder; None if nothing was kept on disk."""

    def export(
        self,
        destination: str | os.PathLike[str],
        *,
        int8: bool = False,
        licence: str | None = None,
        data_dir: str | os.PathLike[str] | None = None,
    ) -> Recognizer:
        """Write this run as a model file (ONNX), and open it.

        Args:
            destination: the `.onnx` file; its name without the suffix becomes the model's name.
            int8: whether to quantise the weights; needs the dataset, see `kalamos.export.int8`.
            licence: an SPDX identifier for the file; None states none.
            data_dir: the folder that holds the named datasets, for `int8`.

        Raises:
            UsageError: the file's name ends otherwise, or it is an image or a file of this run.
            ExportError: the file would answer otherwise than the network, or int8 would lose accuracy.
            OutputError: the file cannot be written.

        >>> run = load_run(Path("runs/digits"))  # doctest: +SKIP
        >>> run.export("digits.onnx").predict("7.png").label  # doctest: +SKIP
        '7'
        """
        # Late, as export reads runs.
        formats = import_module("kalamos.export.formats")
        done = formats.export_model(self, destination, int8=int8, licence=licence, data_dir=data_dir)
        return Recognizer(open_model(done.path))

    @property
    def seconds(self) -> float:
        """Time spent in the epochs, validation included."""
        return sum(epoch.seconds for epoch in self.epochs)


def environment() -> dict[str, str]:
    """What else a result may depend on."""
    return {
        "kalamos": __version__,
        "torch": torch.__version__.partition("+")[0],
        "python": platform.python_version(),
        "machine": platform.machine(),
        "threads": str(torch.get_num_threads()),
    }


def claim_folder(folder: Path) -> None:
    """Make the run folder before the work begins; an existing run is never overwritten.

    Raises:
        TrainingError: something is in the way.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_all_stale(folder)
        occupied = any(folder.iterdir())
    except OSError as error:
        raise TrainingError(f"{folder}: cannot be made ({error.strerror})") from error
    if occupied:
        remedy = "choose another --run-dir, or remove it first"
        if (folder / METADATA_FILE).exists() and not is_finished(folder):
            remedy = f"go on with it (--resume {folder}), or choose another --run-dir"
        raise TrainingError(f"{folder}: is not empty", remedy=remedy)


def is_finished(folder: Path) -> bool:
    """Whether a folder holds a run that came to its end."""
    return (folder / WEIGHTS).exists()


def save_config(plan: RunConfig, folder: Path) -> None:
    """Write what is known before the first epoch; `run.json` last, since with it the run can go on."""
    write_split(folder, plan.split)
    _write_metadata(folder, plan, len(plan.split.train), len(plan.split.val), None)


def load_config(folder: Path) -> RunConfig:
    """Read back what a run, finished or not, set out to do.

    Raises:
        TrainingError: not a run folder, or its files do not fit together.
    """
    with _damage_told(folder):
        story = read_metadata(folder)
        return RunConfig(
            recipe=story.recipe,
            alphabet=story.alphabet,
            data_sha256=story.data_sha256,
            split=read_split(folder),
            created=story.created,
            environment=story.environment,
        )


def save_run(run: Run, folder: Path) -> None:
    """Write the outcome; the weights last, since with them the run is finished."""
    CsvLog(folder, run.epochs).write()
    outcome = {name: getattr(run, name) for name in OUTCOME}
    outcome["selective"] = None if run.selective is None else asdict(run.selective)
    _write_metadata(folder, run, run.train_count, run.val_count, outcome)
    write_weights(folder / WEIGHTS, dict(run.network.state_dict()))


def load_run(folder: Path) -> Run:
    """Read a finished run back, the network in evaluation mode.

    Raises:
        TrainingError: not a finished run, or its files do not fit together.
    """
    with _damage_told(folder):
        story = read_metadata(folder)
        outcome = story.outcome
        if outcome is None:
            raise _UnfinishedError
        network = create_model(story.recipe.arch, len(story.alphabet))
        network.load_state_dict(read_weights(folder / WEIGHTS))
        return Run(
            recipe=story.recipe,
            alphabet=story.alphabet,
            network=network.eval(),
            temperature=outcome.temperature,
            data_sha256=story.data_sha256,
            train_count=story.train_count,
            val_count=story.val_count,
            val_accuracy=outcome.val_accuracy,
            kept_epoch=outcome.kept_epoch,
            selective=outcome.selective,
            epochs=read_log(folder),
            created=story.created,
            environment=story.environment,
            split=read_split(folder) if (folder / SPLIT).exists() else None,
            folder=folder,
        )


class _UnfinishedError(Exception):
    pass


def _write_metadata(
    folder: Path, of: RunConfig | Run, train: int, val: int, outcome: dict[str, Any] | None
) -> None:
    story = {
        "recipe": of.recipe.to_mapping(),
        "alphabet": {"name": of.alphabet.name, "labels": list(of.alphabet.labels)},
        "data_sha256": of.data_sha256,
        "counts": {"train": train, "val": val},
        "created": of.created,
        "environment": of.environment,
        "outcome": outcome,
    }
    write_text(folder / METADATA_FILE, json.dumps(story, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def _damage_told(folder: Path) -> Iterator[None]:
    try:
        yield
    except _UnfinishedError as error:
        remedy = f"go on with it: kalamos train --resume {folder}"
        raise TrainingError(f"{folder}: this run is not finished", remedy=remedy) from error
    except FileNotFoundError as error:
        remedy = "give the folder that `kalamos train` wrote"
        raise TrainingError(f"{folder}: has no {Path(error.filename).name}", remedy=remedy) from error
    except Exception as error:  # what libraries raise for a file that somebody else wrote is anybody's guess
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise TrainingError(f"{folder}: is not a run folder that fits together ({first})") from error
