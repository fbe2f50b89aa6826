"""The Ray Data pipeline: one task per stream yields its blocks, a pool of actors reads them, in order."""

from __future__ import annotations

import pickle
from collections.abc import Generator, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from kalamos.cluster.streams import Stream, blocks_of, chdir_if_exists
from kalamos.cluster.worker import BlockReader, Outcome, WorkerConfig
from kalamos.errors import KalamosError

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
    from ray.data import Datasource
    from ray.data.datasource import ReadTask

__all__ = ["run_on_ray"]

WORKERS_PER_LISTING_TASK = 8
"""One process that lists files or reads a table feeds at least this many that read characters."""


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
        raise _typed_error(error) from error


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


def _typed_error(error: BaseException) -> KalamosError:
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
