"""`kalamos read`: pages of many characters in; text, a row a character, or an overlay out."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import click

from kalamos.cli._shared import (
    LAYOUT_NAME,
    PAGE_FORMAT_NAME,
    check_engine,
    check_folder,
    check_no_image,
    echo,
    engine_options,
    formula_guard_option,
    make_folder,
    open_sink,
    predict_option,
    print_skipped_inputs,
    rows_options,
)
from kalamos.errors import UsageError
from kalamos.predict_options import PredictOptions

if TYPE_CHECKING:
    from kalamos.inputs import Item
    from kalamos.pages import Page
    from kalamos.pages.page import LayoutOption
    from kalamos.recognizer import Recognizer

OPTIONS = ("charset", "min_confidence", "target_accuracy", "min_known", "timeout")
"""Of `PredictOptions`: those that mean something for a page."""


def _read_options(command: Any) -> Any:
    for name in reversed(OPTIONS):
        command = predict_option(name)(command)
    return command


@click.command(no_args_is_help=True)
@click.argument("paths", nargs=-1, required=True, type=click.Path())
@rows_options(PAGE_FORMAT_NAME, "text, csv, jsonl or hocr")
@click.option(
    "--layout",
    type=LAYOUT_NAME,
    default="auto",
    show_default=True,
    help="auto, line (one), page (lines) or grid (ruled cells); auto reads a grid where it sees one.",
)
@click.option(
    "--overlay",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Draw what was read over each page, as PNG in this folder.",
)
@_read_options
@click.option(
    "-j", "--jobs", type=click.IntRange(1), metavar="N", help="Pages read at once.  [default: processors]"
)
@engine_options("the answers")
@formula_guard_option
@click.option("-q", "--quiet", is_flag=True, help="No summary, no progress bar.")
def read(**arguments: Any) -> None:
    """Read all characters of each page: PATHS are files, folders (with their sub-folders) or globs.

    Pages may be photographs, scans or screenshots, turned any way. As CSV each character is a row, with its
    line, word and place (in a grid its row and column); a page that cannot be read is a row with its error.

    For a character on each image there is `kalamos predict`, for forms `kalamos forms`.
    """
    options = PredictOptions(**{name: arguments.pop(name) for name in OPTIONS})
    command = ReadCommand(options=options, **arguments)
    summary = command.run()
    if not command.quiet:
        echo(str(summary), err=True)
    if not summary.pages - summary.failed and summary.failed == summary.absent:
        raise UsageError("nothing was read: no such file")
    sys.exit(1 if summary.failed else 0)


@dataclass
class Summary:
    """Counts of a run."""

    pages: int = 0
    failed: int = 0
    absent: int = 0
    characters: int = 0
    withheld: int = 0
    seconds: float = 0.0

    def add(self, page: Page) -> None:
        """Count one page."""
        from kalamos.errors import ImageNotFoundError

        self.pages += 1
        self.failed += page.error is not None
        self.absent += isinstance(page.error, ImageNotFoundError)
        self.characters += len(page.characters)
        self.withheld += sum(character.label is None for character in page.characters)

    def __str__(self) -> str:
        """Say it in one line.

        >>> print(Summary(pages=2, failed=1, characters=40, withheld=3, seconds=1.25))
        2 pages · 1 with errors · 40 characters, 3 of them without a label · 1.2 s
        """
        told = [f"{self.pages:,} page{'s' if self.pages != 1 else ''}"]
        if self.failed:
            told.append(f"{self.failed:,} with errors")
        withheld = f", {self.withheld:,} of them without a label" if self.withheld else ""
        told.append(f"{self.characters:,} characters{withheld}")
        return " · ".join([*told, f"{self.seconds:.1f} s"])


@dataclass(frozen=True, kw_only=True)
class ReadCommand:
    """The arguments of `kalamos read`; None for one that was left out and has no default."""

    paths: tuple[str, ...]
    model: str
    format_name: str | None
    output: str | None
    layout: LayoutOption
    overlay: Path | None
    options: PredictOptions
    jobs: int | None
    engine: str
    address: str | None
    quiet: bool
    formula_guard: bool = True

    def format(self) -> str:
        """Choose the output's format.

        Raises:
            UsageError: the output's name is that of an image, or of another format.
        """
        from kalamos.pages.writers import PAGE_FORMATS, format_for

        check_no_image(self.output)
        by_name = format_for(self.output) if self.output else None
        if self.format_name and by_name and self.format_name != by_name:
            raise UsageError(
                f"{self.output}: a name for {by_name}, not for {self.format_name}",
                remedy="leave out -f, or name the file otherwise",
            )
        chosen = self.format_name or by_name or "text"
        if chosen not in PAGE_FORMATS:
            from kalamos.errors import suggest

            raise UsageError(f"pages are not written as {chosen!r}", remedy=suggest(chosen, PAGE_FORMATS))
        return chosen

    def run(self) -> Summary:
        """Read all pages and write them."""
        import cv2

        from kalamos.inputs import InputSearch
        from kalamos.pages import PageReader
        from kalamos.pages.writers import open_page_writer
        from kalamos.recognizer import load

        format_name = self.format()
        check_engine(self.engine, self.address)
        cv2.setNumThreads(1)  # the workers already fill the cores
        model = load(self.model)
        reader = PageReader(model, self.options, layout=self.layout)
        search = InputSearch(self.paths, timeout=self.options.timeout, pdfs=True)
        items = iter(search)
        # Look for the first page now, so that a wrong path is reported before any output is opened.
        found = chain([next(items)], items)
        summary, started = Summary(), time.perf_counter()
        with ExitStack() as stack:
            pages: Iterator[Page]
            if self.engine == "ray":
                pages = stack.enter_context(closing(self._read_on_ray(model, found)))
            else:
                pages = reader.read_files(found, jobs=self.jobs)
            overlay = None if self.overlay is None else OverlayFolder(self.overlay)
            sink = stack.enter_context(open_sink(self.output))
            writer = stack.enter_context(
                open_page_writer(format_name, sink, formula_guard=self.formula_guard)
            )
            live = self.output is None and sys.stdout.isatty()
            if not self.quiet and not live and sys.stderr.isatty():
                from kalamos.cli._shared import track

                pages = tracked = track(pages)
                stack.enter_context(closing(tracked))
            for page in pages:
                summary.add(page)
                writer.write(page)
                if overlay is not None:
                    overlay.add(page)
                if live:
                    sink.flush()
            if self.output is not None and summary.pages == summary.absent:
                raise UsageError(
                    f"nothing was read, so {self.output} was not written", remedy="name pages that exist"
                )
        summary.seconds = time.perf_counter() - started
        if not self.quiet:
            print_skipped_inputs(search.skipped)
        return summary

    def _read_on_ray(self, model: Recognizer, found: Iterable[Item]) -> Generator[Page, None, None]:
        from kalamos.cluster.pages import PageWork, read_on_ray

        content = Path(model.model.where).read_bytes()  # for machines that do not have the file
        work = PageWork(content, self.options, self.layout, pictures=self.overlay is not None)
        return read_on_ray(work, found, jobs=self.jobs, address=self.address)


class OverlayFolder:
    """A folder of pictures with what was read drawn over them, a name for each page.

    Raises:
        OutputError: the folder cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        check_folder(folder)
        self._folder = folder
        self._taken: set[str] = set()

    def add(self, page: Page) -> None:
        """Draw a page; one without a picture has none.

        Raises:
            OutputError: the folder or the file cannot be written.
        """
        import cv2

        from kalamos.utils.atomic_write import write_bytes

        if page.image is None:
            return
        make_folder(self._folder)
        stem = PurePath(page.path or "page").name.replace("#", "-")
        name, number = stem, 1
        while name in self._taken:
            number += 1
            name = f"{stem}-{number}"
        self._taken.add(name)
        _, encoded = cv2.imencode(".png", cv2.cvtColor(page.render(), cv2.COLOR_RGB2BGR))
        write_bytes(self._folder / f"{name}.png", encoded.tobytes())
