"""`kalamos predict`: files, folders, archives, tables or a pipe in, one row per image out."""

from __future__ import annotations

import os
import stat
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from dataclasses import dataclass, field
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kalamos.cli._shared import (
    FORMAT_NAME,
    check_engine,
    check_no_image,
    echo,
    engine_options,
    formula_guard_option,
    open_sink,
    predict_options,
    print_skipped_inputs,
    rows_options,
)
from kalamos.errors import UsageError
from kalamos.predict_options import PredictOptions, option_infos

if TYPE_CHECKING:
    from kalamos.cli.gallery import Gallery
    from kalamos.cluster import RayJob
    from kalamos.inputs import Item
    from kalamos.inputs.files import SkippedFiles
    from kalamos.postprocessing import AnswerRule
    from kalamos.predictions import Prediction
    from kalamos.writers import CsvStyle, Summary


@click.command(no_args_is_help=True)
@click.argument("paths", nargs=-1, required=True, type=click.Path())
@rows_options(
    FORMAT_NAME,
    "text, ascii, csv, json, jsonl, parquet or xlsx",
    more_output=" With --engine ray also to folder/ or a URI, as Parquet part files.",
)
@predict_options
@click.option("--bom", is_flag=True, help="Start CSV with a byte order mark, for Excel.")
@formula_guard_option
@click.option(
    "--show",
    type=click.Path(),
    metavar="DIR",
    help="Save what the model saw of each image, after each preprocessing step; DIR is new or empty.",
)
@click.option(
    "--column",
    metavar="NAME",
    help="The column of a CSV or Parquet file that holds the images or their paths.  [default: image, path, "
    "file, filename, bytes, ... or the only one]",
)
@click.option("--jobs", type=click.IntRange(1), metavar="N", help="Worker threads.  [default: all cores]")
@engine_options("the rows")
@click.option("-q", "--quiet", is_flag=True, help="No summary, no progress bar.")
def predict(**arguments: Any) -> None:
    """Read the character on each image: PATHS are files, folders (with their sub-folders) or globs.

    One character per image. In a zip or tar archive the members are read, in a CSV or Parquet file the
    images in one column, without unpacking anything to disk. Their rows are called archive.zip/a/b.png and
    table.parquet#12 (rows count from 0). Each page of a PDF (with kalamos[forms]) or TIFF is an image,
    scan.pdf#1 the first. Archives and PDFs inside searched folders are skipped.

    PATH - is standard input: a list of paths, one per line or separated by NULs (find -print0), a tar
    archive, or one image.

    Rows go to standard output in case-insensitive name order, those of a tar or a table in their own; a
    summary goes to standard error. An image that cannot be read is a row with its error. If no path exists,
    or nothing can be opened, kalamos says so and leaves the file after -o as it was.

    With --engine ray, PATHS may be URIs (s3://, gs://, hdfs://, file://) of Parquet files or of folders of
    them.
    """
    options = PredictOptions(**{name: arguments.pop(name) for name in option_infos() if name in arguments})
    command = PredictCommand(options=options, **arguments)
    check_engine(command.engine, command.address)
    engine = _ray_engine(command) if command.engine == "ray" else _local_engine(command)
    summary = _write_rows(command, engine)
    if not command.quiet:
        echo(summary, err=True)
        print_skipped_inputs(engine.passed_over())
    if summary.nothing_found:
        raise UsageError(f"nothing was read: not found: {summary.paths_not_found()}")
    sys.exit(1 if summary.failed else 0)


@dataclass(frozen=True, kw_only=True)
class PredictCommand:
    """The arguments of `kalamos predict`; None for one that was left out and has no default."""

    paths: tuple[str, ...]
    model: str
    format_name: str | None
    output: str | None
    options: PredictOptions
    formula_guard: bool
    bom: bool
    show: str | None
    column: str | None
    jobs: int | None
    engine: str
    address: str | None
    quiet: bool

    def csv_style(self) -> CsvStyle:
        """Return how to write CSV; in a file names stay as they are."""
        from kalamos.writers import CsvStyle

        controls = "keep" if self.output else _controls_on_standard_output()
        return CsvStyle(formula_guard=self.formula_guard, bom=self.bom, controls=controls)

    def format(self) -> str:
        """Choose the output's format.

        Raises:
            UsageError: the output's name is that of an image, a workbook or another format; a format that
                needs a file without one; an option for CSV with another format.
        """
        from kalamos.writers import BINARY_FORMATS, check_ending, format_for

        check_no_image(self.output)
        if self.output:
            check_ending(self.output, self.format_name)
        chosen = self.format_name or (format_for(self.output) if self.output else None) or "text"
        if chosen in BINARY_FORMATS and self.output is None:
            raise UsageError(f"cannot write {chosen} to standard output", remedy="use -o FILE")
        if chosen != "csv" and (self.bom or not self.formula_guard):
            option = "--bom" if self.bom else "--no-formula-guard"
            raise UsageError(f"{option} is for CSV, not for {chosen}", remedy="use -f csv")
        return chosen


@dataclass(frozen=True)
class _Engine:
    """Where predictions come from; whatever can be refused has been when it is made."""

    rule: AnswerRule
    format_name: str
    rows: Callable[[Summary], Iterable[Prediction]]
    """Called once, in the engine's `context`."""
    passed_over: Callable[[], SkippedFiles]
    """Files without an image extension, known at the end."""
    context: AbstractContextManager[object] = field(default_factory=nullcontext)
    writes_rows: bool = False
    """Whether it writes the rows and counts them in the summary by itself, in other processes."""
    gallery: AbstractContextManager[Gallery | None] = field(default_factory=nullcontext)
    shown_items: deque[Item] | None = None
    """Items that `gallery` has still to draw: a member of a streamed archive cannot be read again."""
    count_all: Callable[[], int | None] | None = None
    """Counts the images ahead, for the progress bar."""


def _local_engine(command: PredictCommand) -> _Engine:
    import cv2

    from kalamos.inputs import InputSearch
    from kalamos.recognizer import load

    chosen = command.format()
    cv2.setNumThreads(
        1
    )  # the workers already fill the cores, and OpenCV's own threads would get in their way
    reader = load(command.model)
    rule = reader.answer_rule(command.options)
    search = InputSearch(command.paths, column=command.column, timeout=command.options.timeout)
    shown_items: deque[Item] | None = None if command.show is None else deque()
    items = iter(search) if shown_items is None else _copy_to(shown_items, search)
    # Look for the first image now, so that a wrong path is reported before any output is opened.
    found = chain([next(items)], items)
    results = reader.predict_files(found, command.options, jobs=command.jobs)
    gallery: AbstractContextManager[Gallery | None] = nullcontext()
    if command.show is not None:
        from kalamos.cli.gallery import Gallery

        gallery = Gallery(command.show, reader)
    return _Engine(
        rule,
        chosen,
        lambda _: results,
        lambda: search.skipped,
        gallery=gallery,
        shown_items=shown_items,
        count_all=lambda: _count_images(command.paths),
    )


def _ray_engine(command: PredictCommand) -> _Engine:
    from kalamos.cluster import RayJob, WorkerConfig
    from kalamos.cluster.storage import PartFolder, is_partitioned, is_uri
    from kalamos.recognizer import load

    if command.show is not None:
        raise UsageError("--show draws on this machine", remedy="leave out --engine ray")
    output, parts = command.output, None
    partitioned = output is not None and is_partitioned(output)
    if partitioned and command.format_name not in {None, "parquet"}:
        raise UsageError(
            f"{output}: a folder of parts is Parquet", remedy=f"name a local file for {command.format_name}"
        )
    chosen = "parquet" if partitioned else command.format()
    reader = load(command.model)
    rule = reader.answer_rule(command.options)
    if output is not None and partitioned:
        folder = output.rstrip("/") if is_uri(output) else str(Path(output).absolute())
        parts = PartFolder(folder, rule.top_k, rule.columns)
    model = Path(reader.model.where).read_bytes()  # for machines that do not have the file
    config = WorkerConfig(model, command.options, parts=parts)
    job = RayJob(command.paths, config, column=command.column, jobs=command.jobs, address=command.address)

    def rows(summary: Summary) -> Iterator[Prediction]:
        return _count_rows(job, summary) if partitioned else job.predictions()

    return _Engine(rule, chosen, rows, lambda: job.passed_over, context=job, writes_rows=partitioned)


def _count_rows(job: RayJob, summary: Summary) -> Iterator[Prediction]:
    """Yield an empty prediction, for the progress bar, for each that the workers have written."""
    from kalamos.predictions import Prediction

    row = Prediction(None, None)
    for outcome in job.outcomes():
        summary.merge(outcome.summary)
        yield from repeat(row, outcome.summary.images)


def _write_rows(command: PredictCommand, engine: _Engine) -> Summary:
    """Write a row for each prediction, and return their summary."""
    from kalamos.writers import Summary, open_writer

    summary = Summary()
    # Rows that scroll by on a terminal are progress enough, and a bar would run through them.
    live = command.output is None and sys.stdout.isatty()
    started = time.perf_counter()
    with ExitStack() as stack:
        stack.enter_context(engine.context)
        consumers: list[Callable[[Prediction], object]] = []
        if not engine.writes_rows:
            sink = stack.enter_context(open_sink(command.output))
            writer = stack.enter_context(
                open_writer(
                    engine.format_name,
                    sink,
                    labels=engine.rule.labels,
                    top_k=engine.rule.top_k,
                    columns=engine.rule.columns,
                    csv_style=command.csv_style(),
                )
            )
            consumers = [writer.write, summary.add]
            if live:
                consumers.append(lambda _: sink.flush())
        gallery, items = stack.enter_context(engine.gallery), engine.shown_items
        if gallery is not None and items is not None:
            consumers.append(lambda row: gallery.add(row, items.popleft()))
        rows = engine.rows(summary)
        if not command.quiet and not live and sys.stderr.isatty():
            from kalamos.cli._shared import track

            rows = tracked = track(rows, engine.count_all)
            stack.enter_context(closing(tracked))
        for row in rows:
            for consume in consumers:
                consume(row)
        _keep_old_output(summary, command.output)
    summary.elapsed = time.perf_counter() - started
    return summary


def _keep_old_output(summary: Summary, output: str | None) -> None:
    """Refuse, before the old output is replaced, to replace it by rows none of which came from a file.

    Raises:
        UsageError: nothing was found, and `output` names a file or a folder.
    """
    from kalamos.images.files import display_name

    if output is not None and summary.nothing_found:
        raise UsageError(
            f"nothing was read, so {display_name(output)} was not written: "
            f"not found: {summary.paths_not_found()}",
            remedy="name images that exist",
        )


def _count_images(paths: tuple[str, ...]) -> int | None:
    from kalamos.inputs.search import count_images

    return count_images(paths)


def _copy_to(copies: deque[Item], items: Iterable[Item]) -> Iterator[Item]:
    for item in items:
        copies.append(item)
        yield item


def _controls_on_standard_output() -> str:
    """Return how CSV writes control characters there: a pipe may lead to a pager, `head` or `tee`."""
    if sys.stdout.isatty():
        return "terminal"
    try:
        mode = os.fstat(sys.stdout.fileno()).st_mode
    except (OSError, ValueError):  # closed, or not a file
        return "keep"
    return "pipe" if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else "keep"
