"""`kalamos predict`: files, folders, archives, tables or a pipe in, one row an image out."""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

import click

from kalamos.cli.asked import PredictCommand
from kalamos.cli.names import FormatName, ModelName
from kalamos.cli.options import predict_options
from kalamos.cli.passed_over import tell_files_passed_over
from kalamos.cli.terminal import echo
from kalamos.errors import OutputError, UsageError
from kalamos.predict_options import PredictOptions, option_infos

if TYPE_CHECKING:
    from kalamos.cli.progress import Watch
    from kalamos.cli.showing import Gallery
    from kalamos.inputs import Item
    from kalamos.passed_over import SkippedFiles
    from kalamos.recognizer import Recognizer
    from kalamos.writers import Summary


@click.command(no_args_is_help=True)
@click.argument("paths", nargs=-1, required=True, type=click.Path())
@click.option(
    "-m", "--model", type=ModelName(), default="digits", show_default=True, help="A shipped model or a file."
)
@click.option(
    "-f",
    "--format",
    "format_name",
    type=FormatName(),
    help="text, ascii, csv, json, jsonl or parquet.  [default: by the output's name, else text]",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    help="Write to this file, whole or not at all. With --engine ray also to folder/ or a URI, as Parquet "
    "part files.",
)
@predict_options
@click.option("--bom", is_flag=True, help="Begin CSV with a byte order mark, for Excel.")
@click.option(
    "--formula-guard/--no-formula-guard",
    default=True,
    show_default=True,
    help="In CSV, put an apostrophe before what a spreadsheet would run as a formula.",
)
@click.option(
    "--show",
    type=click.Path(),
    metavar="DIR",
    help="Save what the model saw of each image, and every step to it; DIR is new or empty.",
)
@click.option(
    "--column",
    metavar="NAME",
    help="The column of a CSV or Parquet file that has the images or their paths.  [default: image, path, "
    "file, filename, bytes, ... or the only one]",
)
@click.option("--jobs", type=click.IntRange(1), metavar="N", help="Worker threads.  [default: all cores]")
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Read on this machine, or on a Ray cluster (kalamos[cluster]); the rows are the same.",
)
@click.option(
    "--address",
    metavar="HOST:PORT",
    help="The Ray cluster's address, or auto on one of its machines.  [default: one for this run alone]",
)
@click.option("-q", "--quiet", is_flag=True, help="No summary, no progress bar.")
def predict(**arguments: Any) -> None:
    """Read the characters on images: PATHS are files, folders (with their sub-folders) or globs.

    Of a zip or tar archive the members are read, of a CSV or Parquet file the images in one column, without
    unpacking anything to disk. Their rows are called archive.zip/a/b.png and table.parquet#12 (rows count
    from 0). Archives in searched folders are passed over.

    PATH - is standard input: a list of paths, one a line or separated by NULs (find -print0), a tar archive,
    or one image.

    Rows go to standard output in case-insensitive name order, those of a tar or a table in its own; a summary
    goes to standard error. An image that cannot be read is a row with its error. Where nothing that is
    named is there, or nothing could be opened, that is told, and the file after -o stays as it was.

    With --engine ray, PATHS may be URIs (s3://, gs://, hdfs://, file://) of Parquet files or of folders of
    them.
    """
    options = PredictOptions(**{name: arguments.pop(name) for name in option_infos() if name in arguments})
    asked = PredictCommand(options=options, **arguments)
    if asked.engine == "ray":
        from kalamos.cli.clustering import predict_on_ray

        _end(*predict_on_ray(asked), asked)
    if asked.address is not None:
        raise UsageError("--address is that of a Ray cluster", remedy="add --engine ray")
    _end(*_predict_here(asked), asked)


def _predict_here(asked: PredictCommand) -> tuple[Summary, SkippedFiles]:
    """What it came to, and the files that were passed over."""
    from kalamos.inputs import InputSearch
    from kalamos.recognizer import load
    from kalamos.writers import Summary, open_writer

    chosen = asked.format()
    _limit_threads()
    reader = load(asked.model)
    rule = reader.answer_rule(asked.options)
    search = InputSearch(asked.paths, column=asked.column, timeout=asked.options.timeout)
    # What --show still has to draw: a member of an archive that has streamed by cannot be read again.
    unseen: deque[Item] | None = deque() if asked.show else None
    found = _with_first(search if unseen is None else _kept(search, unseen))
    # Before any output is opened, like all that may be refused; nothing is read yet.
    results = reader.predict_files(found, asked.options, jobs=asked.jobs, processes=True)
    showing = _open_show(asked.show, reader)
    summary = Summary()
    # Rows that scroll by on a terminal are progress enough, and a bar would run through them.
    live = asked.output is None and sys.stdout.isatty()
    started = time.perf_counter()
    with (
        open_sink(asked.output) as sink,
        open_writer(
            chosen,
            sink,
            labels=rule.labels,
            top_k=rule.top_k,
            removed=rule.restricted,
            csv_style=asked.csv_style(),
        ) as writer,
        progress(wanted=not asked.quiet and not live, paths=asked.paths) as watch,
        showing as gallery,
    ):
        for result in watch(results):
            writer.write(result)
            summary.add(result)
            if gallery is not None and unseen is not None:
                gallery.add(result, unseen.popleft())
            if live:
                sink.flush()
        keep_old_output(summary, asked.output)
    summary.elapsed = time.perf_counter() - started
    return summary, search.passed_over


def keep_old_output(summary: Summary, output: str | None) -> None:
    """Refuse to replace a file by rows none of which came from a file; called before it is replaced.

    Raises:
        UsageError: nothing was found, and `output` names a file or a folder.
    """
    from kalamos.images.files import display_name

    if output is not None and summary.nothing_found:
        raise UsageError(
            f"nothing was read, so {display_name(output)} was not written: "
            f"not found: {summary.paths_not_found()}",
            remedy="name images that are there",
        )


def _end(summary: Summary, passed_over: SkippedFiles, asked: PredictCommand) -> NoReturn:
    if not asked.quiet:
        echo(summary, err=True)
        tell_files_passed_over(passed_over)
    if summary.nothing_found:
        raise UsageError(f"nothing was read: not found: {summary.paths_not_found()}")
    sys.exit(1 if summary.failed else 0)


def _limit_threads() -> None:
    # The workers already fill the cores; OpenCV's own threads would only get in their way.
    import cv2

    cv2.setNumThreads(1)


def _kept(items: Iterable[Item], kept: deque[Item]) -> Iterator[Item]:
    for item in items:
        kept.append(item)
        yield item


def _with_first(search: Iterable[Item]) -> Iterator[Item]:
    """Look for the first image now, so that a wrong path is told before any output is opened."""
    stream = iter(search)
    return itertools.chain([next(stream)], stream)


def open_sink(output: str | None) -> AbstractContextManager[BinaryIO]:
    if output is None:
        return _standard_output()
    from kalamos.atomic import atomic_write

    return atomic_write(output)


def _open_show(folder: str | None, reader: Recognizer) -> AbstractContextManager[Gallery | None]:
    if folder is None:
        return nullcontext()
    from kalamos.cli.showing import Gallery

    return Gallery(folder, reader)


@contextmanager
def _standard_output() -> Iterator[BinaryIO]:
    try:
        yield sys.stdout.buffer
        sys.stdout.flush()  # before the summary, where both go to one terminal
    except BrokenPipeError:  # whoever read the rows has enough; Click ends quietly
        raise
    except OSError as error:
        # What is left in the buffer would fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputError(f"cannot write to standard output: {error.strerror}") from error


def progress(*, wanted: bool, paths: tuple[str, ...] | None = None) -> AbstractContextManager[Watch]:
    """A bar where one is wanted; its total is that of `paths`, where these can be counted."""
    if not wanted or not sys.stderr.isatty():
        return nullcontext(iter)
    from kalamos.cli.progress import progress_bar

    if paths is None:
        return progress_bar()
    from kalamos.inputs.counting import count_images

    return progress_bar(lambda: count_images(paths))
