"""The run folder: configuration, split, weights and outcome of a training, without pickle.

```
RUN/
  run.json            recipe, dataset and its fingerprint, environment; at the end also the outcome
  split.safetensors   the rows of the dataset that were trained on, validated on, and held out
  model.safetensors   the network's weights and batch-norm statistics; exists once the run is finished
  last.safetensors    the state after the last epoch, to resume from
  best.safetensors    the weights of the epoch with the best validation accuracy
  extras.safetensors  until it is finished: the synthetic photos and outliers that it trains on
  log.csv, tensorboard/, curves.png
```

A folder is read as untrusted: sizes are bounded, and every value must have the type that a run writes.
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
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import torch
from msgspec import Meta
from numpy.typing import NDArray

from kalamos._version import __version__
from kalamos.alphabets import Alphabet
from kalamos.datasets import Dataset
from kalamos.datasets.copies import copy_sets, drop_copies, first_equals
from kalamos.datasets.splits import grouped_split, k_fold, stratified_split
from kalamos.errors import DatasetError, TrainingError, first_line
from kalamos.finetune.examples import hands_of_names
from kalamos.learn.callbacks import CsvLog, EpochReport, read_log
from kalamos.learn.checkpoint import read_weights, write_weights
from kalamos.learn.models import StagedNetwork, create_model
from kalamos.learn.recipe import Recipe
from kalamos.model_file import KnownRecord, SelectiveAccuracy, open_model
from kalamos.recognizer import Recognizer
from kalamos.utils.atomic_write import remove_all_stale, write_text

__all__ = [
    "METADATA_FILE",
    "SPLIT_FILE",
    "Run",
    "RunConfig",
    "SplitPlan",
    "claim_folder",
    "hands",
    "is_finished",
    "load_config",
    "load_run",
    "parse_metadata",
    "plan_split",
    "read_split",
    "save_config",
    "save_run",
    "write_split",
]

METADATA_FILE: Final = "run.json"

SPLIT_FILE: Final = "split.safetensors"

WEIGHTS_FILE: Final = "model.safetensors"

MAX_METADATA_BYTES: Final = 4 << 20
"""A model file's spec, which holds recipe and alphabet too, may have a million characters."""

MAX_LABELS: Final = 100_000
"""The network's last layer has a row for each."""

Rows = NDArray[np.int64]

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]


@dataclass(frozen=True)
class SplitPlan:
    """Rows of the dataset's training images, int64, sorted and disjoint; `test` is empty where the
    dataset has a test split of its own, or none was asked for.
    """

    train: Rows
    val: Rows
    test: Rows
    near_held: int = 0
    """Images of `val` that seem copies of others, as all that could be held out are; no run keeps it."""


def plan_split(dataset: Dataset, recipe: Recipe) -> SplitPlan:
    """Split the dataset's training images as the recipe says; the same recipe gives the same rows.

    An official validation split is kept to, unless folds are asked for. Of the user's own images, no copy of
    one that is trained on is held out: such rows are in no part.

    Raises:
        DatasetError: a grouped split of a dataset without groups, or nothing held out.
    """
    labels, groups = dataset.train.labels, dataset.train.groups
    if recipe.split == "grouped" and groups is None:
        groups = hands(dataset)
    if recipe.split == "grouped" and groups is None:
        raise DatasetError(
            f"{dataset.name} does not say which images belong together",
            remedy='use split = "stratified", or a CSV manifest with a column "group"',
        )
    grouped = groups if recipe.split == "grouped" else None
    rest, test = np.arange(len(labels)), np.zeros(0, np.int64)
    if recipe.test_fraction:
        rest, test = _split(labels, grouped, recipe.test_fraction, recipe.seed)
    among = None if grouped is None else grouped[rest]
    if recipe.folds:
        train, val = k_fold(labels[rest], recipe.folds, recipe.fold, recipe.seed, groups=among)
    elif dataset.val_rows is not None:
        held = np.isin(rest, dataset.val_rows)
        train, val = np.flatnonzero(~held), np.flatnonzero(held)
    elif recipe.val_fraction:
        fraction = recipe.val_fraction / (1 - recipe.test_fraction)
        train, val = _split(labels[rest], among, fraction, recipe.seed)
    else:
        train, val = rest, test[:0]
    if not len(val):
        asked = recipe.folds or recipe.val_fraction
        raise DatasetError(
            f"{dataset.name}: nothing is held out to validate on",
            remedy=_to_hold_out(dataset) if asked else "set val_fraction or folds",
        )
    plan = SplitPlan(rest[train], rest[val], test)
    return _without_copies(dataset, plan) if dataset.local else plan


def hands(dataset: Dataset) -> NDArray[np.int64] | None:
    """Tell whose hand each training image is by the files' names, int64 [N]; None if they do not tell."""
    names = dataset.train.names
    if not dataset.local or names is None:
        return None
    labels = [dataset.alphabet.labels[code] for code in dataset.train.labels.tolist()]
    found, _ = hands_of_names(names, labels)
    return None if found is None else np.unique(found, return_inverse=True)[1].astype(np.int64)


def _to_hold_out(dataset: Dataset) -> str:
    if not dataset.local or len(np.unique(dataset.train.labels)) < len(dataset.train):
        return "give a class two images or more"
    return "teach from one image a class: kalamos teach glyphs FOLDER -o mine.onnx"


def _without_copies(dataset: Dataset, plan: SplitPlan) -> SplitPlan:
    """Hold out nothing that is one picture with an image of another part; near copies where all are such."""
    images, near_held = list(dataset.train.images), 0
    test, val = _distinct(copy_sets(images), plan)
    if all(images[row].min() == images[row].max() for row in val.tolist()):  # nothing, or blank ones alone
        test, val = _distinct(first_equals(images), plan)
        near_held = len(val)
    if not len(val):
        raise DatasetError(
            f"{dataset.name}: all that would be held out to validate on are copies of images to train on",
            remedy="collect images that are not copies (kalamos data inspect lists them)",
        )
    return SplitPlan(plan.train, val, test, near_held)


def _distinct(sets: NDArray[np.int64], plan: SplitPlan) -> tuple[Rows, Rows]:
    """The rows to test and to validate on that are no copy of an image of another part."""
    test = drop_copies(sets, plan.train, plan.test)
    return test, drop_copies(sets, np.concatenate([plan.train, test]), plan.val)


def write_split(folder: Path, plan: SplitPlan) -> None:
    rows = {"train": plan.train, "val": plan.val, "test": plan.test}
    write_weights(folder / SPLIT_FILE, {name: torch.from_numpy(part) for name, part in rows.items()})


def read_split(folder: Path) -> SplitPlan:
    """Read the rows back.

    Raises:
        What safetensors raises for a damaged file; TrainingError for one that holds something else.
    """
    kept = read_weights(folder / SPLIT_FILE)
    train, val, test = (kept[name].numpy() for name in ("train", "val", "test"))
    for rows in (train, val, test):
        if rows.ndim != 1 or rows.dtype != np.int64 or (rows < 0).any():
            raise TrainingError(f"{SPLIT_FILE} does not hold rows of a dataset")
    every = np.concatenate([train, val, test])
    if not len(train) or not len(val) or len(np.unique(every)) < len(every):
        raise TrainingError(f"{SPLIT_FILE} does not split anything")
    return SplitPlan(train, val, test)


def _split(labels: Rows, groups: Rows | None, fraction: float, seed: int) -> tuple[Rows, Rows]:
    if groups is None:
        return stratified_split(labels, fraction, seed)
    return grouped_split(labels, groups, fraction, seed)


class _Record(msgspec.Struct, forbid_unknown_fields=True):
    """An object in `run.json`."""


class _AlphabetRecord(_Record):
    name: str
    labels: Annotated[list[str], Meta(max_length=MAX_LABELS)]


class _Counts(_Record):
    train: Count
    val: Count


class _Outcome(_Record):
    temperature: Annotated[float, Meta(gt=0)]
    val_accuracy: Annotated[float, Meta(ge=0, le=1)]
    kept_epoch: Count
    selective: SelectiveAccuracy | None = None  # runs of an earlier kalamos have none
    known: KnownRecord | None = None


class RunMetadata(_Record):
    """The content of `run.json`; its outcome is None until the run is finished."""

    recipe: dict[str, Any]
    alphabet: _AlphabetRecord
    data_sha256: str
    counts: _Counts
    created: str
    environment: dict[str, str]
    outcome: _Outcome | None

    def parse(self) -> tuple[Recipe, Alphabet]:
        """Check and build the recipe and the alphabet.

        Raises:
            TrainingError, RecipeError, AlphabetError: they are not what a run writes.
        """
        if "torch" not in self.environment:
            raise TrainingError("'environment' has no key 'torch'")
        return Recipe.from_mapping(self.recipe), Alphabet(self.alphabet.name, tuple(self.alphabet.labels))


def parse_metadata(content: bytes) -> RunMetadata:
    """Parse the bytes of an untrusted `run.json`.

    Raises:
        TrainingError, ModelFileError: they are not what a run writes.
    """
    if len(content) > MAX_METADATA_BYTES:
        raise TrainingError(f"{METADATA_FILE} is longer than {MAX_METADATA_BYTES:,} bytes")
    try:
        return msgspec.json.decode(content, type=RunMetadata)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise TrainingError(f"{METADATA_FILE}: {str(error) or 'nested too deeply'}") from error


def _read_metadata(folder: Path) -> RunMetadata:
    with (folder / METADATA_FILE).open("rb") as stream:
        return parse_metadata(stream.read(MAX_METADATA_BYTES + 1))


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


@dataclass(frozen=True, repr=False)
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
    known: KnownRecord | None = None
    """What the known head's answer means; None if the network has none."""
    split: SplitPlan | None = field(default=None, compare=False)
    """Rows of the dataset trained on, validated on and held out; None if its folder lacks the file."""
    folder: Path | None = field(default=None, compare=False)
    """Its run folder; None if nothing was kept on disk."""

    def __repr__(self) -> str:
        kept = f", in {self.folder}" if self.folder else ""
        accuracy = f"val accuracy {self.val_accuracy:.2%}"
        return f"Run({self.recipe.arch!r}, {self.train_count} images, {accuracy}{kept})"

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
            int8: whether to quantise the weights; needs the dataset, see `kalamos.learn.export.int8`.
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
        formats = import_module("kalamos.learn.export")
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
            remedy = f"continue it (--resume {folder}), or choose another --run-dir"
        raise TrainingError(f"{folder}: is not empty", remedy=remedy)


def is_finished(folder: Path) -> bool:
    """Whether a folder holds a run that came to its end."""
    return (folder / WEIGHTS_FILE).exists()


def save_config(plan: RunConfig, folder: Path) -> None:
    """Write what is known before the first epoch; `run.json` last, as the run can be resumed with it."""
    write_split(folder, plan.split)
    _write_metadata(folder, plan, len(plan.split.train), len(plan.split.val), None)


def load_config(folder: Path) -> RunConfig:
    """Read back what a run, finished or not, set out to do.

    Raises:
        TrainingError: not a run folder, or its files do not fit together.
    """
    with _explain_damage(folder):
        metadata = _read_metadata(folder)
        recipe, alphabet = metadata.parse()
        return RunConfig(
            recipe,
            alphabet,
            metadata.data_sha256,
            read_split(folder),
            metadata.created,
            metadata.environment,
        )


def save_run(run: Run, folder: Path) -> None:
    """Write the outcome; the weights last, since with them the run is finished."""
    CsvLog(folder, run.epochs).write()
    outcome = {
        "temperature": run.temperature,
        "val_accuracy": run.val_accuracy,
        "kept_epoch": run.kept_epoch,
        "selective": None if run.selective is None else asdict(run.selective),
        "known": None if run.known is None else asdict(run.known),
    }
    _write_metadata(folder, run, run.train_count, run.val_count, outcome)
    write_weights(folder / WEIGHTS_FILE, dict(run.network.state_dict()))


def load_run(folder: str | os.PathLike[str]) -> Run:
    """Read a finished run back, the network in evaluation mode.

    Raises:
        TrainingError: not a finished run, or its files do not fit together.
    """
    folder = Path(folder)
    with _explain_damage(folder):
        metadata = _read_metadata(folder)
        recipe, alphabet = metadata.parse()
        outcome = metadata.outcome
        if outcome is None:
            raise _UnfinishedError
        network = create_model(recipe.arch, len(alphabet), known=outcome.known is not None)
        network.load_state_dict(read_weights(folder / WEIGHTS_FILE))
        return Run(
            recipe=recipe,
            alphabet=alphabet,
            network=network.eval(),
            temperature=outcome.temperature,
            data_sha256=metadata.data_sha256,
            train_count=metadata.counts.train,
            val_count=metadata.counts.val,
            val_accuracy=outcome.val_accuracy,
            kept_epoch=outcome.kept_epoch,
            selective=outcome.selective,
            known=outcome.known,
            epochs=read_log(folder),
            created=metadata.created,
            environment=metadata.environment,
            split=read_split(folder) if (folder / SPLIT_FILE).exists() else None,
            folder=folder,
        )


class _UnfinishedError(Exception):
    pass


def _write_metadata(
    folder: Path, of: RunConfig | Run, train: int, val: int, outcome: dict[str, Any] | None
) -> None:
    metadata = {
        "recipe": of.recipe.to_mapping(),
        "alphabet": {"name": of.alphabet.name, "labels": list(of.alphabet.labels)},
        "data_sha256": of.data_sha256,
        "counts": {"train": train, "val": val},
        "created": of.created,
        "environment": of.environment,
        "outcome": outcome,
    }
    write_text(folder / METADATA_FILE, json.dumps(metadata, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def _explain_damage(folder: Path) -> Iterator[None]:
    try:
        yield
    except _UnfinishedError as error:
        remedy = f"continue it: kalamos train --resume {folder}"
        raise TrainingError(f"{folder}: this run is not finished", remedy=remedy) from error
    except FileNotFoundError as error:
        remedy = "give the folder that `kalamos train` wrote"
        raise TrainingError(f"{folder}: has no {Path(error.filename).name}", remedy=remedy) from error
    except Exception as error:  # libraries raise many kinds for files of unknown origin
        raise TrainingError(
            f"{folder}: is not a run folder that fits together ({first_line(error)})"
        ) from error
