"""Steps that both ways of teaching share: read the model, prepare and embed examples, check the result."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kalamos.datasets import RaggedImages, SkippedFile, Split
from kalamos.datasets.copies import copy_sets, drop_copies
from kalamos.datasets.label_errors import judge_labels
from kalamos.errors import DatasetError, ExportError, ModelFileError, NoInkError
from kalamos.finetune.examples import Examples, variations
from kalamos.finetune.head import Head
from kalamos.finetune.tuned import Suspect
from kalamos.images.files import display_name
from kalamos.model_file import Embedding, ModelSpec, TrainingRecord, open_model
from kalamos.parallel import default_jobs, ordered_map
from kalamos.preprocessing import Preprocessor
from kalamos.preprocessing.steps import GreyImage
from kalamos.recognizer import Recognizer
from kalamos.zoo import find_model

__all__ = [
    "GLYPHS_ARCHITECTURE",
    "check_answers",
    "copies_note",
    "embed_examples",
    "example_sets",
    "find_suspects",
    "hold_no_copies",
    "prepare_examples",
    "read_content",
    "record_training",
]

GLYPHS_ARCHITECTURE: Final = "kalamos_glyphs"
"""Of the base model, and of what was taught or trained from it."""

EMBEDDED_TOGETHER: Final = 16
"""Images in one run of the network: what passes between its layers then stays in a core's cache."""

MAX_RELATIVE_LOGIT_DIFFERENCE: Final = 1e-3
"""Largest difference between a logit of the file and that in float64, relative to the largest logit."""


def read_content(reader: Recognizer | str | os.PathLike[str] | bytes) -> tuple[bytes, str, Path | None]:
    """Read the model file's bytes, what to call it, and where it lies."""
    if isinstance(reader, bytes):
        return reader, "<bytes>", None
    opened = reader.model if isinstance(reader, Recognizer) else open_model(find_model(reader))
    path = Path(opened.where)
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        raise ModelFileError(
            f"{opened.where}: its file cannot be read again ({getattr(error, 'strerror', None) or error})",
            remedy="give fine_tune() the model's path or its content",
        ) from error
    if hashlib.sha256(content).hexdigest() != opened.sha256:
        raise ModelFileError(
            f"{opened.where}: the file has changed since it was opened", remedy="load it again"
        )
    return content, opened.where, path


def prepare_examples(
    examples: Examples, preprocessor: Preprocessor
) -> tuple[list[GreyImage], list[int], list[SkippedFile]]:
    """Prepare the examples as the network sees them, and say which they are; blank ones become problems."""
    inked, images = preprocessor.images_with_ink(list(examples.images))
    problems = []
    for row in sorted(set(range(len(examples.labels))) - set(inked)):
        unnamed = f"{examples.name}[{row}], {examples.labels[row]}"
        where = unnamed if examples.names is None else display_name(examples.names[row])
        problems.append(SkippedFile(where, NoInkError.summary))
    if not images:
        raise DatasetError(
            f"{examples.name}: no example has any ink on it", remedy="give at least one image of a character"
        )
    return images, inked, problems


def hold_no_copies(
    examples: Examples, rows: Sequence[int], train: NDArray[np.int64], held: NDArray[np.int64]
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Leave out of what is held the copies of what is learnt from, and say so.

    Args:
        rows: which of the examples the positions in `train` and `held` count.
    """
    kept = drop_copies(example_sets(examples, rows), train, held)
    return kept, copies_note(len(held) - len(kept))


def example_sets(examples: Examples, rows: Sequence[int]) -> NDArray[np.int64]:
    """Number the pictures among the examples at `rows`, as `copy_sets` does."""
    return copy_sets([examples.images[row] for row in rows])


def copies_note(count: int) -> tuple[str, ...]:
    if not count:
        return ()
    copies = "1 example is a copy" if count == 1 else f"{count:,} examples are copies"
    return (f"{copies} of others, and not held out to measure on",)


def embed_examples(
    embedding: Embedding,
    preprocessor: Preprocessor,
    images: list[GreyImage],
    count: int,
    generator: np.random.Generator,
    on_progress: Callable[[float], None],
) -> NDArray[np.float32]:
    """Embed each image and `count` variations of it: float32 [N, 1 + count, D]."""

    def embed(families: list[list[GreyImage]]) -> list[NDArray[np.float32]]:
        batch = preprocessor.batch([each for family in families for each in family])
        return list(embedding(batch).reshape(len(families), 1 + count, -1))

    # Varied here, in order, whatever the threads do: the same seed gives the same variations.
    families = ([image, *variations(image, count, generator)] for image in images)
    chunk = max(1, EMBEDDED_TOGETHER // (1 + count))
    found = []
    for one in ordered_map(embed, families, chunk=chunk, jobs=default_jobs()):
        found.append(one)
        on_progress(0.9 * len(found) / len(images))
    return np.stack(found)


def find_suspects(
    examples: Examples, rows: Sequence[int], embeddings: NDArray[np.float32], labels: Sequence[str]
) -> tuple[Suspect, ...]:
    """List the examples whose label is likely wrong, by the embeddings [N, D] of those at `rows`.

    Args:
        labels: of each row.
    """
    names, codes = np.unique(labels, return_inverse=True)
    judged = judge_labels(embeddings, codes)
    return tuple(
        Suspect(
            "" if examples.names is None else examples.names[rows[one]],
            labels[one],
            str(names[judged.answers[one]]),
        )
        for one in judged.errors
    )


def record_training(
    spec: ModelSpec,
    examples: Examples,
    images: list[GreyImage],
    codes: NDArray[np.int64],
    sha256: str,
    seed: int,
    how: Mapping[str, object],
) -> TrainingRecord:
    """Say what the new model has learnt from, and by which settings."""
    before = spec.training
    return TrainingRecord(
        dataset=examples.name,
        split="all",
        n=len(images),
        sha256=Split(RaggedImages.of(images), codes).sha256,
        recipe={
            "taught": {
                "model": spec.name,
                "sha256": sha256,
                "licence": spec.licence,
                **how,
            },
            "before": None if before is None else asdict(before),
        },
        seed=seed,
        date=datetime.now(UTC).date().isoformat(),
        torch="not used" if before is None else before.torch,
    )


def check_answers(
    content: bytes, head: Head, embeddings: NDArray[np.float32], batch: NDArray[np.float32]
) -> None:
    """Raise `ExportError` unless the file says what was learnt."""
    model = open_model(content)
    shown = slice(0, 64)
    answered = model.logits(batch[shown])
    expected = head.logits(embeddings[shown])
    difference = float(np.abs(answered - expected).max())
    if not difference <= MAX_RELATIVE_LOGIT_DIFFERENCE * max(1.0, float(np.abs(expected).max())):
        raise ExportError(f"the new model file differs from what was learnt by {difference:.2g}")
