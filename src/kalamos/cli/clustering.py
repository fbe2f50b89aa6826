"""`kalamos predict --engine ray`."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

from kalamos.charset import restrict
from kalamos.cli.predict import choose_format, open_sink, progress
from kalamos.cluster.job import RayJob
from kalamos.cluster.parts import PartFolder, names_parts
from kalamos.cluster.places import is_uri
from kalamos.cluster.worker import Reading
from kalamos.errors import UsageError
from kalamos.predictions import Prediction
from kalamos.reading_options import reading_options
from kalamos.recognizer import load
from kalamos.writers import Summary, open_writer

if TYPE_CHECKING:
    from kalamos.recognizer import Recognizer

__all__ = ["predict_on_ray"]


def predict_on_ray(
    paths: Sequence[str],
    *,
    model: str,
    format_name: str | None,
    output: str | None,
    top_k: int,
    min_confidence: float | None,
    target_accuracy: float | None,
    charset: str | None,
    column: str | None,
    jobs: int | None,
    address: str | None,
    quiet: bool,
) -> tuple[Summary, int]:
    """Do what `predict` does, elsewhere; what it came to, and how many files were passed over."""
    in_parts = names_parts(output)
    if in_parts and format_name not in {None, "parquet"}:
        raise UsageError(
            f"{output}: a folder of parts is Parquet", remedy=f"name a local file for {format_name}"
        )
    chosen = "parquet" if in_parts else choose_format(format_name, output)
    reader = load(model)
    reading_options(
        reader.spec,
        top_k=top_k,
        min_confidence=min_confidence,
        target_accuracy=target_accuracy,
        charset=charset,
    )
    labels = reader.labels if charset is None else restrict(reader.spec.alphabet, charset).labels
    top_k, removed = min(top_k, len(labels)), charset is not None
    parts = PartFolder(_whole(output), top_k, removed) if in_parts and output is not None else None
    reading = Reading(_content(reader), top_k, min_confidence, target_accuracy, charset=charset, parts=parts)
    job = RayJob(paths, reading, column=column, jobs=jobs, address=address)
    summary = Summary()
    live = output is None and sys.stdout.isatty()
    started = time.perf_counter()
    if parts is not None:
        with job, progress(wanted=not quiet) as watch:
            deque(watch(_counted(job, summary)), maxlen=0)
    else:
        with (
            job,
            open_sink(output) as sink,
            open_writer(chosen, sink, labels=labels, top_k=top_k, removed=removed) as writer,
            progress(wanted=not quiet and not live) as watch,
        ):
            for result in watch(job.predictions()):
                writer.write(result)
                summary.add(result)
                if live:
                    sink.flush()
    summary.elapsed = time.perf_counter() - started
    return summary, job.skipped


def _whole(output: str) -> str:
    return output.rstrip("/") if is_uri(output) else str(Path(output).absolute())


def _content(reader: Recognizer) -> bytes:
    """The file that was just opened, for machines that do not have it."""
    return Path(reader.model.where).read_bytes()


def _counted(job: RayJob, summary: Summary) -> Iterator[Prediction]:
    """A progress bar's worth of rows for what the workers have written."""
    row = Prediction(None, None)
    for part in job.summaries():
        summary.merge(part)
        yield from repeat(row, part.images)
