"""Decode listed files with labels into a `Dataset`: what folders and manifests have in common."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kalamos.alphabets import Alphabet
from kalamos.datasets.dataset import Dataset, SkippedFile, Split, problems_hint
from kalamos.datasets.ragged import ImagesBuilder, RaggedImages
from kalamos.datasets.sources import natural_key
from kalamos.errors import DatasetError, KalamosError
from kalamos.images import decode_grey
from kalamos.images.files import display_name
from kalamos.preprocessing.steps import MAX_WORKING_PIXELS, limit_size
from kalamos.streaming import GilGate, default_jobs, ordered_map

__all__ = ["PART_OF_FOLDER", "LabelledFile", "Listing", "Part", "assemble", "decode_members"]

DECODE_CHUNK_FILES: Final = 32
"""Files that a thread decodes at a time."""

Part: TypeAlias = Literal["train", "val", "test"]
PART_OF_FOLDER: Final[dict[str, Part]] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""The names of official splits, in lower case, and which part each is."""


@dataclass(frozen=True, slots=True)
class LabelledFile:
    """A file that should hold an image: `name` is what `Listing.read` takes; labels are compared in NFC."""

    name: str
    label: str
    part: Part = "train"
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a dataset before they are decoded: with labels, how to read one, and what was skipped."""

    name: str
    rows: Sequence[LabelledFile]
    read: Callable[[str], bytes]
    """Maps a row's name to its bytes; raises `KalamosError`, and may be called from several threads."""
    problems: Sequence[SkippedFile] = ()


def decode_members(
    read: Callable[[str], bytes], members: Sequence[str], *, jobs: int | None = None
) -> tuple[NDArray[np.uint8] | RaggedImages, NDArray[np.int64], tuple[SkippedFile, ...]]:
    """Decode files in parallel, in order; those over `steps.MAX_WORKING_PIXELS` are scaled down to it.

    Args:
        read: returns a file's bytes, or raises a `KalamosError`; called from several threads.
        members: their names.
        jobs: threads; by default one per processor.

    Returns:
        The images (uint8 [M, H, W] if all have one size), the indices int64 [M] in `members` that they
        came from, and the files that cannot be read, with the reasons.
    """
    turns = GilGate()

    def decode(names: list[str]) -> list[NDArray[np.uint8] | SkippedFile]:
        with turns.take() as done:
            return [_decoded(read, name, done) for name in names]

    builder = ImagesBuilder()
    kept, problems = [], []
    decoded = ordered_map(decode, members, chunk=DECODE_CHUNK_FILES, jobs=jobs or default_jobs())
    for position, image in enumerate(decoded):
        if isinstance(image, SkippedFile):
            problems.append(image)
        else:
            builder.append(image)
            kept.append(position)
    return builder.finish(), np.array(kept, np.int64), tuple(problems)


def assemble(listing: Listing) -> Dataset:
    """Decode and label all rows. Classes are those with an image that can be read, in natural order.

    Raises:
        DatasetError: fewer than two such classes, or none of their images is for training.
        AlphabetError: a blank label or one with control characters.
    """
    name, rows, skipped = listing.name, listing.rows, list(listing.problems)
    parts = []
    # Validation after train, in the same arrays.
    for wanted in (("train", "val"), ("test",)):
        chosen = [row for part in wanted for row in rows if row.part == part]
        images, kept, failed = decode_members(listing.read, [row.name for row in chosen])
        skipped += failed
        parts.append((images, [chosen[position] for position in kept.tolist()]))
    read_rows = [row for _, part in parts for row in part]
    labels = _in_order(unicodedata.normalize("NFC", row.label) for row in read_rows)
    for label in _in_order(unicodedata.normalize("NFC", row.label) for row in rows):
        if label not in labels:
            skipped.append(SkippedFile(display_name(label), "no image of this class can be read"))
    (images, for_training), (test_images, for_test) = parts
    official = [position for position, row in enumerate(for_training) if row.part == "val"]
    _check(name, list(labels), len(for_training) - len(official), skipped)
    groups = _in_order(row.group for row in read_rows if row.group is not None)
    return Dataset(
        name,
        Alphabet(name, tuple(labels)),
        _split(images, for_training, labels, groups),
        _split(test_images, for_test, labels, groups) if for_test else None,
        source=f"local files: {name}",
        grouped_by="group" if groups else None,
        problems=tuple(skipped),
        val_rows=np.array(official, np.int64) if official else None,
    )


def _decoded(
    read: Callable[[str], bytes], name: str, done: Callable[[], None]
) -> NDArray[np.uint8] | SkippedFile:
    where = display_name(name)
    try:
        image = decode_grey(read(name), where=where, min_decode_pixels=MAX_WORKING_PIXELS)
        # As `predict` sees it, byte for byte; and so a thousand 12-megapixel photographs fit into memory.
        return limit_size(image)
    except KalamosError as error:
        return SkippedFile(where, str(error).removeprefix(f"{where}: "))
    finally:
        done()


def _in_order(texts: Iterable[str]) -> dict[str, int]:
    return {text: code for code, text in enumerate(sorted(set(texts), key=natural_key))}


def _split(
    images: NDArray[np.uint8] | RaggedImages,
    rows: list[LabelledFile],
    labels: dict[str, int],
    groups: dict[str, int],
) -> Split:
    return Split(
        images,
        np.array([labels[unicodedata.normalize("NFC", row.label)] for row in rows], np.int64),
        np.array([groups[row.group or ""] for row in rows], np.int64) if groups else None,
        # Names go into reports, which cannot be written with bytes that are not text.
        tuple(row.name.encode("utf-8", "backslashreplace").decode() for row in rows),
    )


def _check(name: str, labels: list[str], for_training: int, problems: list[SkippedFile]) -> None:
    hint = problems_hint(problems)
    if len(labels) < 2:
        found = f"one class with images, {labels[0]!r}" if labels else "no class with images"
        raise DatasetError(
            f"{display_name(name)}: {found}{hint}",
            remedy="have one sub-folder for each of two or more classes, or a CSV file with path,label",
        )
    if not for_training:
        raise DatasetError(f"{display_name(name)}: none of its images is for training{hint}")
