"""Give a model file its memory, while its training images are still at hand."""

from __future__ import annotations

import numpy as np

from kalamos.errors import DatasetError
from kalamos.model_file import METADATA_KEY, open_model
from kalamos.preprocessing import Preprocessor
from kalamos.teaching.examples import Examples
from kalamos.teaching.graph import split_model, with_head
from kalamos.teaching.memory import EMBEDDING_STATS_KEY, encode_embedding_stats, fit_embedding_stats

__all__ = ["store_embedding_stats"]

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
    backbone, head = split_model(content, spec, where)
    preprocessor = Preprocessor(spec.preprocessing)
    rows = [row for row, label in enumerate(examples.labels) if label in spec.alphabet]
    found, codes = [], []
    for start in range(0, len(rows), EMBEDDING_BATCH_SIZE):
        chunk = rows[start : start + EMBEDDING_BATCH_SIZE]
        inked, images = preprocessor.images_with_ink([examples.images[row] for row in chunk])
        if inked:
            found.append(backbone.embeddings(preprocessor.batch(images)))
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
