"""Embedding statistics stored in the model file, in place of old examples.

What a model file remembers of the characters it was trained on: statistics of embeddings, no images.

A mean for each class and one covariance for all say enough to draw embeddings that stand for the old classes
while new ones are learnt: feature replay, after Zhu et al. 2021 ("Prototype augmentation and
self-supervision for incremental learning"). A model without a memory is given the nearest guess, from the
weights of its last layer: towards the end of training a class's mean points where its weights do
(self-duality; Papyan, Han and Donoho 2020).

Give a model file its memory, while its training images are still at hand.
"""

from __future__ import annotations

import base64
import io
import math
import zipfile
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kalamos.errors import DatasetError, ImageError, ModelFileError
from kalamos.finetune.examples import Examples
from kalamos.finetune.head import Head, split_model, with_head
from kalamos.inputs.archives import ZIP_DAMAGE, read_entry
from kalamos.model_file import METADATA_KEY, open_model
from kalamos.model_file.protobuf import read_metadata
from kalamos.preprocessing import Preprocessor

__all__ = [
    "EMBEDDING_STATS_KEY",
    "EmbeddingStats",
    "decode_embedding_stats",
    "encode_embedding_stats",
    "fit_embedding_stats",
    "implied_embedding_stats",
    "store_embedding_stats",
]

EMBEDDING_STATS_KEY: Final = "kalamos.memory"

COVARIANCE_RANK: Final = 32
"""Directions of the covariance that are kept apart; beyond them only each number's own variance."""

MAX_COVARIANCE_RANK: Final = 256
"""Directions that a file may hold."""

MAX_NPY_HEADER_BYTES: Final = 10_000
"""Room for what stands before the numbers of an array; NumPy's own limit."""


@dataclass(frozen=True)
class EmbeddingStats:
    """Embeddings of every class: a normal distribution with its mean, and the covariance of all.

    Attributes:
        means: float64 [C, D].
        factor: float64 [D, R], covariance = factor @ factor.T + diag(rest).
        rest: float64 [D], at least 0.
    """

    means: NDArray[np.float64]
    factor: NDArray[np.float64]
    rest: NDArray[np.float64]

    def draw(self, count: int, generator: np.random.Generator) -> NDArray[np.float64]:
        """Embeddings, `count` of each class in turn: float64 [C * count, D].

        >>> memory = EmbeddingStats(np.array([[5.0], [9.0]]), np.zeros((1, 1)), np.ones(1))
        >>> memory.draw(500, np.random.default_rng(0)).reshape(2, 500).mean(axis=1).round().tolist()
        [5.0, 9.0]
        """
        rows = len(self.means) * count
        wide = generator.standard_normal((rows, self.factor.shape[1])) @ self.factor.T
        narrow = generator.standard_normal((rows, len(self.rest))) * np.sqrt(self.rest)
        drawn: NDArray[np.float64] = np.repeat(self.means, count, axis=0) + wide + narrow
        return drawn

    def extended(self, means: NDArray[np.float64]) -> EmbeddingStats:
        """With further classes, their means float64 [K, D]."""
        return EmbeddingStats(np.vstack([self.means, means]), self.factor, self.rest)


def fit_embedding_stats(
    embeddings: NDArray[np.floating], labels: NDArray[np.int64], classes: int
) -> EmbeddingStats:
    """The statistics of embeddings [N, D] with labels int64 [N]; each class has at least one.

    >>> fit_embedding_stats(np.array([[0.0], [2.0], [9.0]]), np.array([0, 0, 1]), 2).means.tolist()
    [[1.0], [9.0]]
    """
    wide = embeddings.astype(np.float64)
    means = np.stack([wide[labels == label].mean(axis=0) for label in range(classes)])
    return EmbeddingStats(means, *_spread(wide - means[labels]))


def implied_embedding_stats(
    head: Head, embeddings: NDArray[np.floating], labels: NDArray[np.int64]
) -> EmbeddingStats:
    """A guess from the head alone, for a model that remembers nothing.

    Args:
        head: of C classes.
        embeddings: [N, D] of the examples to be learnt, which tell the centre, the size and the spread.
        labels: int64 [N], their classes by any numbers.
    """
    wide = embeddings.astype(np.float64)
    directions = head.weight - head.weight.mean(axis=0)
    logits = head.logits(wide)
    # Characters that it was trained on excite it as much as those examples do that excite it most.
    strength = np.quantile(logits.max(axis=1) - logits.mean(axis=1), 0.9)
    size = strength / np.square(directions).sum(axis=1).mean()
    _, codes = np.unique(labels, return_inverse=True)
    centres = np.stack([wide[codes == code].mean(axis=0) for code in range(codes.max() + 1)])
    factor, rest = _spread(wide - centres[codes])
    # The examples may be of one class alone; their mean is moved to where the old head is undecided, half
    # of the way or more, along directions in which characters differ (a ridge solution).
    middle = wide.mean(axis=0)
    spread = factor @ factor.T + np.diag(rest)
    doubt = directions @ middle + head.bias - head.bias.mean()
    inner = directions @ spread @ directions.T
    ridge = max(float(np.trace(inner)) / len(inner), 1e-9) * np.eye(len(inner))
    centre = middle - spread @ directions.T @ np.linalg.solve(inner + ridge, doubt)
    return EmbeddingStats(centre + size * directions, factor, rest)


def encode_embedding_stats(memory: EmbeddingStats) -> str:
    """As text for a model file's metadata."""
    buffer = io.BytesIO()
    means, factor, rest = (part.astype(np.float16) for part in (memory.means, memory.factor, memory.rest))
    np.savez_compressed(buffer, means=means, factor=factor, rest=rest)
    return base64.b64encode(buffer.getvalue()).decode()


def decode_embedding_stats(content: bytes, head: Head, where: str) -> EmbeddingStats | None:
    """The memory in a model file; None where it has none.

    Raises:
        ModelFileError: it is damaged, or of another network.
    """
    text = read_metadata(content).get(EMBEDDING_STATS_KEY)
    if text is None:
        return None
    classes, size = head.weight.shape
    shapes = {"means": (classes, size), "factor": (size, None), "rest": (size,)}
    try:
        with zipfile.ZipFile(io.BytesIO(base64.b64decode(text, validate=True))) as archive:
            means, factor, rest = (
                _stored(archive, f"{name}.npy", shape).astype(np.float64) for name, shape in shapes.items()
            )
    except (*ZIP_DAMAGE, ImageError) as error:
        reason = error.problem if isinstance(error, ImageError) else error
        raise ModelFileError(f"{where}: its memory of embeddings is damaged ({reason})") from error
    if not all(np.isfinite(part).all() for part in (means, factor, rest)) or (rest < 0).any():
        raise ModelFileError(f"{where}: its memory of embeddings does not fit its network")
    return EmbeddingStats(means, factor, rest)


def _stored(archive: zipfile.ZipFile, name: str, shape: tuple[int | None, ...]) -> NDArray[np.floating]:
    """Read one array of an untrusted NumPy archive; None stands for up to `MAX_COVARIANCE_RANK`.

    No more is unpacked than an array of the shape takes; what it says of its own shape is looked at first.

    Raises:
        ValueError: it is another array than that.
        ImageError: damaged, or larger (`kalamos.inputs.archives` names its errors so).
        OSError, RuntimeError: damaged in other ways (`ZIP_DAMAGE`).
    """
    sides = [MAX_COVARIANCE_RANK if side is None else side for side in shape]
    try:
        entry = archive.getinfo(name)
    except KeyError:
        raise ValueError(f"it lacks {name}") from None
    stream = io.BytesIO(read_entry(archive, entry, name, MAX_NPY_HEADER_BYTES + 8 * math.prod(sides)))
    version = np.lib.format.read_magic(stream)
    if version != (1, 0):
        raise ValueError(f"{name} is of another version of NumPy's format")
    found, turned, dtype = np.lib.format.read_array_header_1_0(stream, max_header_size=MAX_NPY_HEADER_BYTES)
    fits = len(found) == len(shape) and all(
        side == wanted if wanted is not None else side <= MAX_COVARIANCE_RANK
        for side, wanted in zip(found, shape, strict=True)
    )
    if not fits or dtype.kind != "f" or dtype.itemsize > 8:
        raise ValueError(f"{name} holds {dtype} {list(found)[:4]}, where its network asks for {list(shape)}")
    numbers = np.frombuffer(stream.read(), dtype)
    if numbers.size != math.prod(found):
        raise ValueError(f"{name} is cut short")
    return numbers.reshape(found, order="F" if turned else "C")


def _spread(residuals: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The factor [D, R] and the rest [D] of the covariance of residuals [N, D]."""
    variances, directions = np.linalg.eigh(residuals.T @ residuals / len(residuals))  # smallest first
    largest = slice(-1, -COVARIANCE_RANK - 1, -1)
    factor = directions[:, largest] * np.sqrt(np.maximum(variances[largest], 0))
    rest = np.square(residuals).mean(axis=0) - np.square(factor).sum(axis=1)
    return factor, np.maximum(rest, 0)


EMBEDDING_BATCH_SIZE = 512


def store_embedding_stats(content: bytes, examples: Examples, where: str = "<bytes>") -> bytes:
    """The model file with the statistics of its embeddings of some images; its answers stay the same.

    Args:
        content: a model file.
        examples: images of every class of the model, best those that it was trained on.
        where: what to call the model in messages.

    Raises:
        ModelError: not a kalamos model, or one without a dense last layer.
        DatasetError: a class of the model has no example with ink.
        MissingExtraError: the package `onnx` is not installed.
    """
    spec = open_model(content).spec
    embedding, head = split_model(content, spec, where)
    preprocessor = Preprocessor(spec.preprocessing)
    rows = [row for row, label in enumerate(examples.labels) if label in spec.alphabet]
    found, codes = [], []
    for start in range(0, len(rows), EMBEDDING_BATCH_SIZE):
        chunk = rows[start : start + EMBEDDING_BATCH_SIZE]
        inked, images = preprocessor.images_with_ink([examples.images[row] for row in chunk])
        if inked:
            found.append(embedding(preprocessor.batch(images)))
            codes += [spec.alphabet.index(examples.labels[chunk[i]]) for i in inked]
    missing = sorted(set(range(len(spec.alphabet))) - set(codes))
    if missing:
        raise DatasetError(
            f"{examples.name}: no image of {spec.alphabet.labels[missing[0]]!r}, which {where} reads",
            remedy="give images of every class of the model",
        )
    memory = fit_embedding_stats(np.concatenate(found), np.array(codes, np.int64), len(spec.alphabet))
    metadata = {METADATA_KEY: spec.to_json(), EMBEDDING_STATS_KEY: encode_embedding_stats(memory)}
    return with_head(content, head, metadata, where)
