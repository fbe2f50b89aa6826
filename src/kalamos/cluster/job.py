"""One run of `kalamos predict --engine ray`."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from kalamos.cluster.places import find_tables, is_uri
from kalamos.cluster.session import check_address, connected, hushed, require_ray
from kalamos.cluster.streams import BLOCK, LocalStream, Stream, TableStream
from kalamos.cluster.worker import Outcome, WorkerConfig
from kalamos.errors import KalamosError, UsageError
from kalamos.folders import name_order
from kalamos.inputs import STDIN
from kalamos.passed_over import SkippedFiles
from kalamos.predictions import Prediction
from kalamos.stale_files import working_folder
from kalamos.streaming import default_jobs
from kalamos.writers import Summary

__all__ = ["RayJob"]


class RayJob:
    """Reads images on a Ray cluster, in order. A context manager: in its block the cluster is there.

    Everything that can be refused is refused when it is made, before a cluster is looked for.

    Args:
        paths: what `kalamos predict` takes; or URIs of Parquet files, or of folders of them.
        column: of tables; see `kalamos.inputs.columns.choose_column`.
        config: the model and how to read; with `parts`, where the rows go.
        jobs: workers; None takes one for each processor there is.
        address: of a running cluster; None starts one on this machine.
        block: images of a block, about.

    Raises:
        MissingExtraError: Ray is not installed.
        UsageError: no image where one path was given; URIs among other paths; no cluster there.
        OutputError: the folder for the parts is not empty, or cannot be made.
    """

    def __init__(
        self,
        paths: Sequence[str],
        config: WorkerConfig,
        *,
        column: str | None = None,
        jobs: int | None = None,
        address: str | None = None,
        block: int = BLOCK,
    ) -> None:
        require_ray()
        self._paths, self._column = paths, column
        remote = [path for path in paths if is_uri(path)]
        if remote and len(remote) != len(paths):
            other = next(path for path in paths if path not in remote)
            raise UsageError(
                f"{remote[0]} and {other}: URIs and other paths in one run",
                remedy="name local Parquet files as file:///...",
            )
        if address is not None:
            check_address(address)
        self._config = replace(config, folder=str(Path.cwd()), remote=bool(remote))
        self._jobs, self._address, self._block = jobs, address, block
        self._resources = ExitStack()
        self._streams: list[Stream] = []
        self._processors = self._parts = self._rows = 0
        self._complete = False
        self.passed_over = SkippedFiles()
        """Files whose names are no image's, known at the end."""

    def __enter__(self) -> Self:
        """Look for the first image, then for the cluster."""
        with ExitStack() as stack:
            self._streams = self._find_streams(stack)
            _check(self._streams[0])
            if self._config.parts is not None:
                self._config.parts.prepare()
            self._processors = stack.enter_context(connected(self._address, self._jobs or default_jobs()))
            self._resources = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.__exit__(kind, error, trace)
        if self._config.parts is not None:
            if self._complete:
                self._config.parts.finish(self._parts, self._rows)
            else:
                self._config.parts.discard()

    def predictions(self) -> Iterator[Prediction]:
        """The rows, in the order of the local engine."""
        for outcome in self.outcomes():
            yield from outcome.predictions

    def summaries(self) -> Iterator[Summary]:
        """What the parts came to, as they are written."""
        for outcome in self.outcomes():
            yield outcome.summary

    def outcomes(self) -> Iterator[Outcome]:
        """What became of the blocks, each once, in order; to be asked for once, inside the block.

        Raises:
            KalamosError: what a worker raised; or the cluster has failed.
        """
        from kalamos.cluster.dataset import run

        expected = (0, 0)
        outcomes = run(
            self._streams,
            self._config,
            block=self._block,
            workers=self._jobs or self._processors,
            at_once=self._address is None,
        )
        # Cut short, Ray Data has to hear of it while there is a cluster, and may find that it is going.
        self._resources.callback(_close_quietly, outcomes)
        for outcome in outcomes:
            place = outcome.stream, outcome.number
            if place != expected:  # nothing known makes it so; but a row lost in silence would be the worst
                raise KalamosError(f"the cluster returned block {place} in the place of {expected}")
            expected = (place[0] + 1, 0) if outcome.last else (place[0], place[1] + 1)
            self.passed_over.merge(outcome.passed_over)
            self._parts += outcome.summary.images > 0
            self._rows += outcome.summary.images
            yield outcome
        if expected != (len(self._streams), 0):
            raise KalamosError(f"the cluster returned nothing from block {expected} on")
        self._complete = True

    def _find_streams(self, stack: ExitStack) -> list[Stream]:
        if self._config.remote:
            tables = _tables(self._paths)
            alone = len(tables) == 1
            return [TableStream(table, self._column, alone, self._config.options.timeout) for table in tables]
        stdin = _saved_stdin(stack) if STDIN in self._paths else None
        folder, timeout = self._config.folder, self._config.options.timeout
        return [LocalStream(tuple(self._paths), self._column, folder, stdin, timeout)]


def _tables(uris: Sequence[str]) -> list[str]:
    """The Parquet files that are named or lie in named folders; what is not there becomes a row among others.

    Raises:
        UsageError: nothing is there.
    """
    tables: list[str] = []
    absent: list[UsageError] = []
    for uri in sorted(uris, key=name_order):
        try:
            tables += find_tables(uri)
        except UsageError as error:
            absent.append(error)
            tables.append(uri)
    if len(absent) == len(uris):
        raise absent[0]
    return tables


def _close_quietly(outcomes: Generator[Outcome, None, None]) -> None:
    with hushed():
        outcomes.close()


def _saved_stdin(stack: ExitStack) -> str:
    """What a pipe brings, in a file: a reader that dies must be able to begin again."""
    saved = stack.enter_context(working_folder("stdin")) / "stdin"
    with saved.open("xb") as file:
        if sys.stdin is not None:
            shutil.copyfileobj(sys.stdin.buffer, file)
    return str(saved)


def _check(stream: Stream) -> None:
    """Let the stream raise what it has against its paths or columns, on this machine, before any work."""
    _, items = stream.search()
    next(items, None)
