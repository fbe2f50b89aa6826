"""Which images of a dataset a model is measured on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kalamos.datasets import Dataset, RaggedImages, Split
from kalamos.errors import DatasetError, MissingExtraError, UsageError

__all__ = ["dataset_split", "run_split"]

STORY, INDICES = "run.json", "split.safetensors"

MAX_STORY_BYTES = 4 << 20
"""Of a `run.json`; a longer one is cut off, and so no JSON."""


def dataset_split(dataset: Dataset, part: str | None) -> tuple[Split, str]:
    """The dataset's own part and its name.

    Args:
        part: "train" (without an official validation part), "val", "test" or "all"; None takes the
            test split where there is one, else all.

    Raises:
        UsageError: the dataset has no such part.
    """
    train, test, validation = dataset.train, dataset.test, dataset.val_rows
    if part is None:
        part = "all" if test is None else "test"
    if part == "all":
        return train if test is None else _together(train, test), part
    if part == "test" and test is not None:
        return test, part
    if part == "val" and validation is not None:
        return train.take(validation), part
    if part == "train":
        return train if validation is None else train.take(
            np.setdiff1d(np.arange(len(train)), validation)
        ), part
    raise UsageError(
        f"{dataset.name} has no {part} split of its own",
        remedy="use --split all, or --split-of RUN for what a run held out",
    )


def run_split(dataset: Dataset, run: Path, part: str) -> Split:
    """The part "train", "val" or "test" of the split that was saved with a run.

    Raises:
        DatasetError: not a run folder with a saved split, of another dataset, or damaged.
        UsageError: the run kept no such part.
        MissingExtraError: safetensors, of the extra 'train', is not installed.
    """
    if dataset.train.sha256 != _fingerprint(run):
        raise DatasetError(
            f"{run}: was trained on other images than those of {dataset.name}",
            remedy="evaluate on the dataset that its run.json names",
        )
    rows = _indices(run / INDICES).get(part, np.zeros(0, np.int64))
    if not rows.size:
        remedy = "leave out --split-of for the dataset's own" if part == "test" else "use --split val"
        raise UsageError(f"{run}: kept no {part} part", remedy=remedy)
    if rows.ndim != 1 or rows.dtype != np.int64 or rows.min() < 0 or rows.max() >= len(dataset.train):
        raise DatasetError(f"{run / INDICES}: {part!r} does not index the {len(dataset.train):,} images")
    return dataset.train.take(rows)


def _together(train: Split, test: Split) -> Split:
    images: NDArray[np.uint8] | RaggedImages
    a, b = train.images, test.images
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and a.shape[1:] == b.shape[1:]:
        images = np.concatenate([a, b])
    else:
        images = RaggedImages.of([*a, *b])
    return Split(images, np.concatenate([train.labels, test.labels]))


def _fingerprint(run: Path) -> str:
    remedy = "give the folder that `kalamos train` wrote"
    try:
        with (run / STORY).open("rb") as stream:
            story: Any = json.loads(stream.read(MAX_STORY_BYTES).decode("utf-8"))
        return str(story["data_sha256"])
    except OSError as error:
        raise DatasetError(f"{run}: has no {STORY} that can be read", remedy=remedy) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DatasetError(
            f"{run / STORY}: does not say which data it was trained on", remedy=remedy
        ) from error


def _indices(path: Path) -> dict[str, NDArray[Any]]:
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load
    except ImportError as error:
        raise MissingExtraError(
            "a run's split needs safetensors, not installed here", extra="train"
        ) from error
    try:
        return load(path.read_bytes())
    except OSError as error:
        raise DatasetError(
            f"{path}: cannot be read ({error.strerror})",
            remedy="train again with this kalamos, which saves it",
        ) from error
    except (SafetensorError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise DatasetError(f"{path}: is damaged ({error})") from error
