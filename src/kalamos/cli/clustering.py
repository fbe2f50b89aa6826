"""`kalamos predict --engine ray`."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

from kalamos.cli.asked import PredictCommand
from kalamos.cli.predict import keep_old_output, open_sink, progress
from kalamos.cluster.job import RayJob
from kalamos.cluster.parts import PartFolder, names_parts
from kalamos.cluster.places import is_uri
from kalamos.cluster.worker import WorkerConfig
from kalamos.errors import UsageError
from kalamos.predictions import Prediction
from kalamos.recognizer import load
from kalamos.writers import Summary, open_writer

if TYPE_CHECKING:
    from kalamos.passed_over import SkippedFiles
    from kalamos.recognizer import Recognizer

__all__ = ["predict_on_ray"]


def predict_on_ray(asked: PredictCommand) -> tuple[Summary, SkippedFiles]:
    """Do what `predict` does, elsewhere; what it came to, and the files that were passed over."""
    if asked.show is not None:
        raise UsageError("--show draws on this machine", remedy="leave --engine ray out for it")
    output = asked.output
    in_parts = names_parts(output)
    if in_parts and asked.format_name not in {None, "parquet"}:
        raise UsageError(
            f"{output}: a folder of parts is Parquet", remedy=f"name a local file for {asked.format_name}"
        )
    chosen = "parquet" if in_parts else asked.format()
    reader = load(asked.model)
    rule = reader.answer_rule(asked.options)
    parts = (
        PartFolder(_whole(output), rule.top_k, rule.restricted) if in_parts and output is not None else None
    )
    config = WorkerConfig(_content(reader), asked.options, parts=parts)
    job = RayJob(asked.paths, config, column=asked.column, jobs=asked.jobs, address=asked.address)
    summary = Summary()
    live = output is None and sys.stdout.isatty()
    started = time.perf_counter()
    if parts is not None:
        with job, progress(wanted=not asked.quiet) as watch:
            deque(watch(_counted(job, summary)), maxlen=0)
            keep_old_output(summary, output)
    else:
        with (
            job,
            open_sink(output) as sink,
            open_writer(
                chosen,
                sink,
                labels=rule.labels,
                top_k=rule.top_k,
                removed=rule.restricted,
                csv_style=asked.csv_style(),
            ) as writer,
            progress(wanted=not asked.quiet and not live) as watch,
        ):
            for result in watch(job.predictions()):
                writer.write(result)
                summary.add(result)
                if live:
                    sink.flush()
            keep_old_output(summary, output)
    summary.elapsed = time.perf_counter() - started
    return summary, job.passed_over


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
