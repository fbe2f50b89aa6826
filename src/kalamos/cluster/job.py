"""One run of `kalamos predict --engine ray`."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Self

from kalamos.cluster.places import find_tables, is_uri
from kalamos.cluster.session import check_address, connected, require_ray, suppress_stderr
from kalamos.cluster.streams import IMAGES_PER_BLOCK, LocalStream, Stream, TableStream
from kalamos.cluster.worker import Outcome, WorkerConfig
from kalamos.errors import KalamosError, UsageError
from kalamos.folders import name_order
from kalamos.inputs import STDIN
from kalamos.passed_over import SkippedFiles
from kalamos.predictions import Prediction
from kalamos.stale_files import working_folder
from kalamos.streaming import default_jobs

__all__ = ["RayJob"]


class RayJob:
    """Reads images on a Ray cluster, in order. A context manager: the cluster is there in its block.

    Whatever can be refused is refused when the job is made or entered, before a cluster is looked for.

    Args:
        paths: what `kalamos predict` takes, or URIs of Parquet files or of folders of them.
        config: the model and its options; with `parts`, where the rows go.
        column: of tables; see `kalamos.inputs.columns.choose_column`.
        jobs: number of workers; None takes one per processor.
        address: of a running cluster; None starts one on this machine.
        block: about how many images a block has.

    Raises:
        MissingExtraError: Ray is not installed.
        UsageError: the only path has no image; URIs mixed with other paths; no cluster at that address.
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
        block: int = IMAGES_PER_BLOCK,
    ) -> None:
        require_ray()
        remote = [path for path in paths if is_uri(path)]
        if remote and len(remote) != len(paths):
            other = next(path for path in paths if path not in remote)
            raise UsageError(
                f"{remote[0]} and {other}: URIs and other paths in one run",
                remedy="name local Parquet files as file:///...",
            )
        if address is not None:
            check_address(address)
        self._paths, self._column = paths, column
        self._config = replace(config, folder=str(Path.cwd()), remote=bool(remote))
        self._jobs, self._address, self._block = jobs, address, block
        self._resources = ExitStack()
        self._streams: list[Stream] = []
        self._processors = self._parts = self._rows = 0
        self._complete = False
        self.passed_over = SkippedFiles()
        """Files without an image extension, known at the end."""

    def __enter__(self) -> Self:
        """Look for the first image, then for the cluster."""
        with ExitStack() as stack:
            self._streams = self._find_streams(stack)
            # What the first stream has against its paths or columns is raised here, before any work.
            next(self._streams[0].search()[1], None)
            if self._config.parts is not None:
                self._config.parts.prepare()
            self._processors = stack.enter_context(connected(self._address, self._jobs or default_jobs()))
            self._resources = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._resources.close()
        if self._config.parts is not None:
            if self._complete:
                self._config.parts.finish(self._parts, self._rows)
            else:
                self._config.parts.discard()

    def predictions(self) -> Iterator[Prediction]:
        """Yield the rows, in the order of the local engine; none if they are written to parts."""
        for outcome in self.outcomes():
            yield from outcome.predictions

    def outcomes(self) -> Iterator[Outcome]:
        """Yield the outcome of each block once, in order. Call it once, inside the `with` block.

        Raises:
            KalamosError: a worker raised it, or the cluster failed.
        """
        from kalamos.cluster.dataset import run_on_ray

        expected = (0, 0)
        outcomes = run_on_ray(
            self._streams,
            self._config,
            block=self._block,
            workers=self._jobs or self._processors,
            start_all=self._address is None,
        )
        # If cut short, Ray Data has to hear of it while there is a cluster, and may find that it is going.
        self._resources.callback(_close_quietly, outcomes)
        for outcome in outcomes:
            place = outcome.stream, outcome.number
            if place != expected:  # nothing known causes it; but to lose a row in silence would be the worst
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
        timeout = self._config.options.timeout
        if self._config.remote:
            tables = _find_all_tables(self._paths)
            return [TableStream(table, self._column, len(tables) == 1, timeout) for table in tables]
        stdin = _save_stdin(stack) if STDIN in self._paths else None
        return [LocalStream(tuple(self._paths), self._column, self._config.folder, stdin, timeout)]


def _find_all_tables(uris: Sequence[str]) -> list[str]:
    """Return the Parquet files at some URIs; one of several where nothing is will become a row.

    Raises:
        UsageError: nothing is at any of them.
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
    with suppress_stderr():
        outcomes.close()


def _save_stdin(stack: ExitStack) -> str:
    """Save standard input to a file: a reader that dies must be able to begin again."""
    saved = stack.enter_context(working_folder("stdin")) / "stdin"
    with saved.open("xb") as file:
        if sys.stdin is not None:
            shutil.copyfileobj(sys.stdin.buffer, file)
    return str(saved)
