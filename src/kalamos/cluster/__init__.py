"""`kalamos predict --engine ray`: the same rows as on one machine, read by the workers of a Ray cluster.

```
streams (items → blocks) ──────────────┐
worker (opens a model; block → rows) ──┼─ Ray Data reads, maps, in order ─ RayJob: outcomes
storage (rows → Parquet part files) ───┘  session: a cluster to run on
```

A *block* is the unit of work, and of what is done again when a worker dies: some thousand images, or some
megabytes of them, cut where the local engine cuts its chunks. A stream gives the same blocks whenever it is
read, and a block gives the same rows whoever reads it; so what is lost can be made again, and nothing twice.
"""

from __future__ import annotations

import io
import os
import pickle
import shutil
import sys
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeAlias

from kalamos._version import __version__
from kalamos.cluster.session import check_address, connected, require_ray, suppress_stderr
from kalamos.cluster.storage import PartFolder, find_tables, is_uri, open_input, read_image
from kalamos.errors import ImageError, ImageNotFoundError, KalamosError, UsageError
from kalamos.images.files import display_name
from kalamos.inputs import STDIN, InputSearch, Item, NamedImage
from kalamos.inputs.files import SkippedFiles, name_order
from kalamos.inputs.item import is_large, nbytes
from kalamos.model_file import open_model
from kalamos.parallel import chunks_of, default_jobs
from kalamos.predict_options import PredictOptions
from kalamos.predictions import Prediction
from kalamos.recognizer import CHUNK, Recognizer
from kalamos.utils.atomic_write import working_folder
from kalamos.writers import Summary

if TYPE_CHECKING:
    import pyarrow as pa
    from ray.data import Datasource
    from ray.data.datasource import ReadTask

__all__ = [
    "Block",
    "BlockReader",
    "LocalStream",
    "Outcome",
    "RayJob",
    "Stream",
    "TableStream",
    "WorkerConfig",
    "blocks_of",
    "chdir_if_exists",
    "check_version",
    "typed_error",
]

CONCURRENT_FETCHES = 16
"""Images at URIs to fetch at a time: it is the network that takes long."""

IMAGES_PER_BLOCK = 2048
"""A fraction of a second of work, many times what it costs to send it out."""

MAX_BLOCK_BYTES = 8 << 20
"""Bytes that the images of a block may bring with them, give or take one chunk."""

WORKERS_PER_LISTING_TASK = 8
"""One process that lists files or reads a table feeds at least this many that read characters."""


class Block(NamedTuple):
    """Consecutive items of a stream."""

    stream: int
    number: int
    """Within the stream, from 0."""
    items: list[Item]
    """Whole chunks of the local engine; none in the last block if the stream ended with the block before."""
    last: bool
    passed_over: SkippedFiles
    """Files that the search skipped; reported with the last block."""


@dataclass(frozen=True, slots=True)
class LocalStream:
    """Everything on a file system that `kalamos predict` is given, as one stream."""

    paths: tuple[str, ...]
    column: str | None
    folder: str
    """The folder that relative paths begin at."""
    stdin: str | None = None
    """A file with the content of standard input."""
    timeout: float | None = None
    """Seconds that getting the next image out of an archive or a table may take."""

    def search(self) -> tuple[InputSearch, Iterator[Item]]:
        """Start a search. Iterating raises `UsageError` as `InputSearch` does."""
        stdin = None if self.stdin is None else Path(self.stdin).open("rb")  # noqa: SIM115  (closed at the end)
        search = InputSearch(self.paths, column=self.column, stdin=stdin, timeout=self.timeout)
        return search, _closing(stdin, iter(search))


@dataclass(frozen=True, slots=True)
class TableStream:
    """A Parquet file at a URI."""

    uri: str
    column: str | None
    alone: bool = field(default=True)
    """Whether it is all that is read: then an error ends the run, while one of several becomes a row."""
    timeout: float | None = None

    def search(self) -> tuple[None, Iterator[Item]]:
        return None, self._items()

    def _items(self) -> Iterator[Item]:
        from kalamos.inputs.tables import read_parquet

        found = False
        try:
            for item in read_parquet(self.uri, self.column, open_uri=open_input, timeout=self.timeout):
                found = True
                yield item
            if not found:
                raise UsageError(f"{display_name(self.uri)}: no image in it")  # noqa: TRY301
        except ImageError as error:
            yield NamedImage(self.uri, error)
        except UsageError as error:
            if self.alone:
                raise
            yield NamedImage(self.uri, ImageNotFoundError(error.problem, remedy=error.remedy))


def _closing(file: io.BufferedReader | None, items: Iterator[Item]) -> Iterator[Item]:
    with file or nullcontext():
        yield from items


Stream: TypeAlias = LocalStream | TableStream


def blocks_of(stream: Stream, place: int, *, most: int = IMAGES_PER_BLOCK) -> Iterator[Block]:
    """Yield a stream's items in blocks of about `most` images; the same blocks every time.

    Args:
        place: the number of the stream within its job.

    >>> stream = LocalStream(("src/kalamos/__init__.py", "no-such-file.png"), None, ".")
    >>> [(block.number, block.items, block.last) for block in blocks_of(stream, 0)]
    [(0, ['no-such-file.png', 'src/kalamos/__init__.py'], True)]
    """
    search, items = stream.search()
    number = held = 0
    parts: list[list[Item]] = []
    for part in chunks_of(items, CHUNK, is_large):
        parts.append(part)
        held += sum(map(nbytes, part))
        if sum(map(len, parts)) >= most or held >= MAX_BLOCK_BYTES:
            yield Block(place, number, [*chain(*parts)], last=False, passed_over=SkippedFiles())
            number, held, parts = number + 1, 0, []
    passed_over = search.skipped if search else SkippedFiles()
    yield Block(place, number, [*chain(*parts)], last=True, passed_over=passed_over)


def chdir_if_exists(folder: str) -> None:
    """Make a worker read relative paths as the command does, if its machine has that folder."""
    if Path(folder).is_dir():
        os.chdir(folder)


def check_version(version: str) -> None:
    """Check, on a worker, that it has the version of kalamos that the command has.

    Raises:
        KalamosError: it has another.
    """
    if version != __version__:
        raise KalamosError(
            f"a worker has kalamos {__version__}, the command {version}",
            remedy="install the same version on every machine",
        )


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
        check_version(config.version)
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


class RayJob:
    """Reads images on a Ray cluster, in order. A context manager: the cluster is there in its block.

    Whatever can be refused is refused when the job is made or entered, before a cluster is looked for.

    Args:
        paths: what `kalamos predict` takes, or URIs of Parquet files or of folders of them.
        config: the model and its options; with `parts`, where the rows go.
        column: of tables; see `kalamos.inputs.tables.choose_column`.
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


def run_on_ray(
    streams: Sequence[Stream], config: WorkerConfig, *, block: int, workers: int, start_all: bool
) -> Generator[Outcome, None, None]:
    """Read the blocks of all streams and yield their outcomes in order.

    Memory stays flat: Ray Data holds back readers and workers whose output is not fetched.

    Args:
        block: about how many images a block has.
        workers: maximum number of workers, one processor each.
        start_all: start them all at once, on a machine that is ours; otherwise as the work requires.

    Raises:
        KalamosError: a worker or a reader raised it, or the cluster failed.
    """
    import ray.data
    from ray.data import ActorPoolStrategy, DataContext

    context = DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.execution_options.preserve_order = True
    context.target_max_block_size = 1  # byte: so that a row, which is a block of ours, is a block of Ray's
    blocks = ray.data.read_datasource(
        _stream_source(streams, config, block),
        override_num_blocks=len(streams),
        concurrency=max(1, workers // WORKERS_PER_LISTING_TASK),
        num_cpus=0,  # the workers may have them all
    )
    outcomes = blocks.map_batches(
        _Worker,
        fn_constructor_args=(config,),
        batch_size=None,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(min_size=workers if start_all else 1, max_size=workers),
        num_cpus=1,
    )
    try:
        for table in outcomes.iter_batches(batch_size=None, batch_format="pyarrow"):
            yield _unpack(table)
    except Exception as error:  # Ray wraps what happened there in errors of several kinds
        raise typed_error(error) from error


class _Worker:
    def __init__(self, config: WorkerConfig) -> None:
        self._reader = BlockReader(config)

    def __call__(self, table: pa.Table) -> pa.Table:
        return _pack(self._reader.read(_unpack(table)))


def _stream_source(streams: Sequence[Stream], config: WorkerConfig, block: int) -> Datasource:
    """Return a data source with one task per stream.

    Ray Data's own readers (`read_images`, `read_binary_files`, `read_parquet`) know neither archives, lists
    and standard input nor the order, limits and typed errors of `InputSearch`. Nor can `flat_map` stand in:
    keeping it on this machine needs arguments that Ray has deprecated.
    """
    from ray.data import Datasource
    from ray.data.block import BlockMetadata
    from ray.data.datasource import ReadTask

    unknown = BlockMetadata(num_rows=None, size_bytes=None, exec_stats=None, input_files=None)
    # Partials of a module's function, not closures: those would travel with all that they can see.
    tasks = [
        ReadTask(partial(_list_blocks, stream, number, config.folder, block), unknown)
        for number, stream in enumerate(streams)
    ]

    class StreamSource(Datasource):  # type: ignore[misc, unused-ignore]
        # Local files are where the command runs.
        supports_distributed_reads = config.remote

        def estimate_inmemory_data_size(self) -> int | None:
            return None

        def get_read_tasks(self, *_: object, **__: object) -> list[ReadTask]:
            return tasks

    return StreamSource()  # type: ignore[no-untyped-call, unused-ignore]


def _list_blocks(stream: Stream, number: int, folder: str, images_per_block: int) -> Iterator[pa.Table]:
    chdir_if_exists(folder)
    for block in blocks_of(stream, number, most=images_per_block):
        yield _pack(block)


def _pack(value: object) -> pa.Table:
    """Return anything as a table of one row: Ray Data moves tables, and ours are lists of unlike things."""
    import pyarrow as pa

    return pa.table({"pickled": pa.array([pickle.dumps(value, pickle.HIGHEST_PROTOCOL)], pa.large_binary())})


def _unpack(table: pa.Table) -> Any:
    [value] = table.column("pickled").to_pylist()
    return pickle.loads(value)  # noqa: S301  (from a process of ours)


def typed_error(error: BaseException) -> KalamosError:
    """Return the error that another machine raised as it would have been raised here."""
    link: BaseException | None = error
    while link is not None:
        for known in (link, getattr(link, "cause", None)):
            if isinstance(known, KalamosError):
                return known
        link = link.__cause__ or link.__context__
    lines = [line for line in str(error).splitlines() if line.strip()]
    reason = lines[-1].strip() if lines else type(error).__name__
    if reason.startswith(
        f"{KalamosError.__module__}."
    ):  # raised at a worker's start: Ray keeps only the text
        return KalamosError(reason.partition(": ")[2])
    return KalamosError(
        f"the run on the cluster failed: {reason}",
        remedy="for Ray's logs, start a cluster with `ray start --head` and give its --address",
    )
