"""A worker process: opens the model once, then reads blocks."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

from kalamos._version import __version__
from kalamos.cluster.parts import PartFolder
from kalamos.cluster.places import read_image
from kalamos.cluster.streams import Block, chdir_if_exists
from kalamos.errors import KalamosError
from kalamos.inputs import Item
from kalamos.model_file import open_model
from kalamos.passed_over import SkippedFiles
from kalamos.predict_options import PredictOptions
from kalamos.predictions import Prediction
from kalamos.recognizer import Recognizer
from kalamos.writers import Summary

__all__ = ["BlockReader", "Outcome", "WorkerConfig"]

CONCURRENT_FETCHES = 16
"""Images at URIs to fetch at a time: it is the network that takes long."""


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """The model and its options. Sent to the workers, which need neither the model's file nor its name."""

    model: bytes = field(repr=False)
    options: PredictOptions = field(default_factory=PredictOptions)
    folder: str = "."
    remote: bool = False
    """Whether the paths are URIs."""
    parts: PartFolder | None = None
    """Where to write the rows; None sends them back."""
    version: str = __version__


class Outcome(NamedTuple):
    """The result of a block."""

    stream: int
    number: int
    last: bool
    passed_over: SkippedFiles
    predictions: list[Prediction]
    """In order; none if they were written to a part."""
    summary: Summary


class BlockReader:
    """Reads blocks with one thread: one worker per processor fills them all.

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
        # The other workers already fill the processors.
        import cv2

        cv2.setNumThreads(1)
        chdir_if_exists(config.folder)
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
    with ThreadPoolExecutor(CONCURRENT_FETCHES) as pool:
        for start in range(0, len(items), CONCURRENT_FETCHES):  # a few at a time: they may be photographs
            yield from pool.map(_fetch, items[start : start + CONCURRENT_FETCHES])


def _fetch(item: Item) -> Item:
    return read_image(item) if isinstance(item, str) else item
