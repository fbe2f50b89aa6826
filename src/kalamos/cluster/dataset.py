"""Ray Data's part: a task a stream yields its blocks, a pool of actors reads them, in order."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Generator, Iterable, Sequence
from functools import partial
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
import ray.data
from ray.data import ActorPoolStrategy, DataContext, Datasource
from ray.data.block import BlockMetadata
from ray.data.datasource import ReadTask

from kalamos.cluster.streams import Stream, blocks_of, settle
from kalamos.cluster.worker import BlockReader, Outcome, WorkerConfig
from kalamos.errors import KalamosError

__all__ = ["run"]

WORKERS_A_READER = 8
"""One process that lists files or reads a table feeds at least so many that read the characters."""

_OURS = KalamosError.__module__ + "."
_UNKNOWN = BlockMetadata(num_rows=None, size_bytes=None, exec_stats=None, input_files=None)


def run(
    streams: Sequence[Stream], config: WorkerConfig, *, block: int, workers: int, at_once: bool
) -> Generator[Outcome, None, None]:
    """Read all streams' blocks; their outcomes in order.

    Memory stays flat: Ray Data holds readers and workers back when what they made is not fetched.

    Args:
        block: images of a block, about.
        workers: how many at most, a processor each.
        at_once: start all of them, on a machine that is ours; else as the work asks for them.

    Raises:
        KalamosError: what a worker or a reader raised; or the cluster has failed.
    """
    context = DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.execution_options.preserve_order = True
    context.target_max_block_size = 1  # byte: so that a row, which is a block of ours, is a block of Ray's
    blocks = ray.data.read_datasource(
        _StreamSource(streams, config, block),
        override_num_blocks=len(streams),
        concurrency=max(1, workers // WORKERS_A_READER),
        num_cpus=0,  # the workers may have them all
    )
    outcomes = blocks.map_batches(
        _Worker,
        fn_constructor_args=(config,),
        batch_size=None,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(min_size=workers if at_once else 1, max_size=workers),
        num_cpus=1,
    )
    try:
        for table in outcomes.iter_batches(batch_size=None, batch_format="pyarrow"):
            yield _unpacked(table)
    except Exception as error:  # Ray wraps what happened there in errors of several kinds
        raise _typed(error) from error


class _Worker:
    def __init__(self, config: WorkerConfig) -> None:
        self._reader = BlockReader(config)

    def __call__(self, table: pa.Table) -> pa.Table:
        return _packed(self._reader.read(_unpacked(table)))


class _StreamSource(Datasource):  # type: ignore[misc, unused-ignore]
    def __init__(self, streams: Sequence[Stream], config: WorkerConfig, block: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call, unused-ignore]
        self._streams, self._block = streams, block
        self._folder, self._anywhere = config.folder, config.remote

    @property
    def supports_distributed_reads(self) -> bool:
        """Local files are where the command runs."""
        return self._anywhere

    def estimate_inmemory_data_size(self) -> int | None:
        return None

    def get_read_tasks(
        self,
        parallelism: int,  # noqa: ARG002
        per_task_row_limit: int | None = None,  # noqa: ARG002
        data_context: object = None,  # noqa: ARG002
    ) -> list[ReadTask]:
        return [
            ReadTask(_reader(stream, place, self._folder, self._block), _UNKNOWN)
            for place, stream in enumerate(self._streams)
        ]


def _reader(stream: Stream, place: int, folder: str, block: int) -> Callable[[], Iterable[pa.Table]]:
    # A partial of a module's function, not a closure: that would travel with all that it can see.
    return partial(_read, stream, place, folder, block)


def _read(stream: Stream, place: int, folder: str, most: int) -> Iterable[pa.Table]:
    settle(folder)
    for block in blocks_of(stream, place, most=most):
        yield _packed(block)


def _packed(value: object) -> pa.Table:
    """Anything as a table of one row: Ray Data moves tables, and ours are lists of unlike things."""
    return pa.table({"pickled": pa.array([pickle.dumps(value, pickle.HIGHEST_PROTOCOL)], pa.large_binary())})


def _unpacked(table: pa.Table) -> Any:
    [value] = table.column("pickled").to_pylist()
    return pickle.loads(value)  # noqa: S301  (from a process of ours)


def _typed(error: BaseException) -> KalamosError:
    """What was raised on another machine, as it would have been raised here."""
    link: BaseException | None = error
    while link is not None:
        for known in (link, getattr(link, "cause", None)):
            if isinstance(known, KalamosError):
                return known
        link = link.__cause__ or link.__context__
    lines = [line for line in str(error).splitlines() if line.strip()]
    reason = lines[-1].strip() if lines else type(error).__name__
    if reason.startswith(_OURS):  # raised while a worker started, of which Ray keeps the text alone
        return KalamosError(reason.partition(": ")[2])
    return KalamosError(
        f"the run on the cluster failed: {reason}",
        remedy="for Ray's logs, start a cluster with `ray start --head` and give its --address",
    )
