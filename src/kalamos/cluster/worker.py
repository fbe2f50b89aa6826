"""What a worker process does: open the model once, then blocks in, outcomes out."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

from kalamos._version import __version__
from kalamos.cluster.parts import PartFolder
from kalamos.cluster.places import read_image
from kalamos.cluster.streams import Block, settle
from kalamos.errors import KalamosError
from kalamos.inputs import Item
from kalamos.model_file import open_model
from kalamos.passed_over import SkippedFiles
from kalamos.predict_options import PredictOptions
from kalamos.predictions import Prediction
from kalamos.recognizer import Recognizer
from kalamos.writers import Summary

__all__ = ["BlockReader", "Outcome", "WorkerConfig"]

FETCHES = 16
"""Images of a table's URIs that are fetched at a time: it is their way that takes long."""


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """How to read; travels to the workers whole, so that they need neither the model's file nor its name."""

    model: bytes = field(repr=False)
    options: PredictOptions = field(default_factory=PredictOptions)
    folder: str = "."
    remote: bool = False
    """Whether the paths are URIs."""
    parts: PartFolder | None = None
    """Where to write the rows; without it they are sent back."""
    version: str = __version__


class Outcome(NamedTuple):
    """What became of a block."""

    stream: int
    number: int
    last: bool
    passed_over: SkippedFiles
    predictions: list[Prediction]
    """In order; none where they were written to a part."""
    summary: Summary


class BlockReader:
    """Reads blocks with one thread: a worker a processor fills them all.

    Raises:
        KalamosError: this machine has another version of kalamos than the one that sent the work.
        ModelError: as `open_model`.
    """

    def __init__(self, config: WorkerConfig) -> None:
        if config.version != __version__:
            raise KalamosError(
                f"a worker has kalamos {__version__}, the command {config.version}",
                remedy="install the same version on every machine",
            )
        # Those of other workers already fill the processors.
        import cv2

        cv2.setNumThreads(1)
        settle(config.folder)
        self._config = config
        self._recognizer = Recognizer(open_model(config.model, threads=1))

    def read(self, block: Block) -> Outcome:
        config, summary = self._config, Summary()
        predictions = [
            *self._recognizer.predict_files(
                _fetched(block.items) if config.remote else block.items,
                config.options,
                jobs=1,
            )
        ]
        for prediction in predictions:
            summary.add(prediction)
        if config.parts is not None and predictions:
            config.parts.write(block.stream, block.number, predictions)
        kept = [] if config.parts else predictions
        return Outcome(block.stream, block.number, block.last, block.passed_over, kept, summary)


def _fetched(items: list[Item]) -> Iterator[Item]:
    with ThreadPoolExecutor(FETCHES) as pool:
        for start in range(0, len(items), FETCHES):  # a few at a time: they may be photographs
            yield from pool.map(_fetch, items[start : start + FETCHES])


def _fetch(item: Item) -> Item:
    return read_image(item) if isinstance(item, str) else item
