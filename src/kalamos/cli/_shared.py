"""Shared by the verbs: names, options, progress, terminal.

Argument types with names for Tab completion. They accept anything: wrong names are reported later.

Options that several verbs share.

Text for a terminal: nothing in the name of a file, a table or a model can command the terminal.

Report skipped files on standard error: by kind and count, the first few by name.

Check for optional dependencies, with a message that says how to install them.

Progress bars (rich) on standard error, for a person who waits.

Old spellings of options: accepted, hidden from `--help`, and answered with a warning.

Keep the output of C libraries off the terminal: kalamos reports damaged files itself.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click
from click.shell_completion import CompletionItem

from kalamos.errors import MissingExtraError
from kalamos.predict_options import PredictOptions, option_infos

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

    from kalamos.datasets import SkippedFile
    from kalamos.inputs.files import SkippedFiles

__all__ = [
    "AliasedCommand",
    "ArchitectureName",
    "AugmentationName",
    "DatasetName",
    "FormatName",
    "ModelName",
    "allow_any_label",
    "bar_of",
    "data_dir_option",
    "divert_native_output",
    "echo",
    "echo_json",
    "licence_option",
    "predict_option",
    "predict_options",
    "print_skipped",
    "print_skipped_inputs",
    "progress_callback",
    "require_training",
    "shown",
    "track",
    "warn_deprecated",
]


class _Name(click.ParamType[str]):
    def known(self) -> Iterable[str]:
        raise NotImplementedError

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        names = [CompletionItem(name) for name in self.known() if name.startswith(incomplete)]
        return names or [CompletionItem(incomplete, type="file")]


class ModelName(_Name):
    name = "model"

    def known(self) -> Iterable[str]:
        from kalamos.zoo import names

        return names()


class FormatName(_Name):
    name = "format"

    def known(self) -> Iterable[str]:
        from kalamos.writers import FORMATS

        return FORMATS


class DatasetName(_Name):
    name = "dataset"

    def known(self) -> Iterable[str]:
        from kalamos.datasets import names

        return names()


class ArchitectureName(_Name):
    name = "name"

    def known(self) -> Iterable[str]:
        from kalamos.learn.models import ARCHITECTURES

        return ARCHITECTURES.names()


class AugmentationName(_Name):
    name = "name"

    def known(self) -> Iterable[str]:
        from kalamos.learn.recipe import AUGMENTATIONS

        return AUGMENTATIONS


F = TypeVar("F", bound=Callable[..., Any])

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="The folder that holds the datasets.  [default: $KALAMOS_DATA, else the user's cache]",
)

licence_option = click.option(
    "--licence",
    "--license",
    "licence",
    metavar="SPDX",
    help="Under which the new model may be used, such as CC-BY-4.0.  [default: not stated]",
)


def predict_option(name: str) -> Callable[[F], F]:
    """The option of `PredictOptions` that is called so."""
    info = option_infos()[name]
    default = PredictOptions.__dataclass_fields__[name].default
    if default is None:
        default = info.cli_default
    kind: Any = click.STRING
    if info.kind is not str:
        lowest, highest = (
            info.ge if info.gt is None else info.gt,
            info.le if info.cli_le is None else info.cli_le,
        )
        kind = click.IntRange if info.kind is int else click.FloatRange
        kind = kind(lowest, highest, min_open=info.gt is not None)
    spelled = {each: f"--{each.replace('_', '-')}" for each in option_infos()}
    return click.option(
        *info.flags,
        name,
        type=kind,
        default=default,
        show_default=default is not None,
        metavar=info.metavar,
        help=info.help.format_map(spelled),
    )


def predict_options(command: F) -> F:
    """All options of `PredictOptions` that the command line offers."""
    for name, info in reversed(list(option_infos().items())):
        if info.flags:
            command = predict_option(name)(command)
    return command


_CONTROLS = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that JSON leaves as they are, and that a terminal obeys or shows in another order."""


def shown(text: object) -> str:
    r"""Show control characters, and those that reverse the text, as `\x1b`; line feeds stay.

    >>> print(shown("a\x1b[31m.png: damaged"))
    a\x1b[31m.png: damaged
    """
    from kalamos.writers.base import lines_without_controls  # `kalamos --help` does without

    return lines_without_controls(str(text))


def echo(text: object = "", *, err: bool = False) -> None:
    """Print text as `shown` makes it, whatever the terminal's encoding."""
    click.echo(shown(text), err=err)


def echo_json(text: str, *, nl: bool = True) -> None:
    r"""Print JSON with such characters escaped (`\u009b`), which leaves its values as they are."""
    click.echo(_CONTROLS.sub(lambda match: f"\\u{ord(match.group()):04x}", text), nl=nl)


def allow_any_label() -> None:
    """Escape characters that the terminal's encoding lacks, rather than end a table with an error."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


MAX_NAMED_FILES = 5
"""Files of a dataset that are named one by one."""


def print_skipped_inputs(passed_over: SkippedFiles) -> None:
    """Print which files a search for images skipped; nothing if there are none."""
    if passed_over.total:
        files = "1 file" if passed_over.total == 1 else f"{passed_over.total:,} files"
        _print(f"skipped {files} without an image extension:", passed_over.lines())


def print_skipped(dataset: str, problems: Sequence[SkippedFile]) -> None:
    """Print what could not be used of a dataset; nothing if there are no problems."""
    if not problems:
        return
    from kalamos.inputs.files import file_kind, foreign_files

    files = "1 file" if len(problems) == 1 else f"{len(problems):,} files"
    others = [str(problem) for problem in problems if file_kind(problem.where.strip("'")) is None]
    lines = [*foreign_files(problem.where for problem in problems).lines(), *others[:MAX_NAMED_FILES]]
    if len(others) > MAX_NAMED_FILES:
        lines.append(f"and {len(others) - MAX_NAMED_FILES:,} more")
    _print(f"{dataset}: skipped {files}:", lines)


def _print(heading: str, lines: Iterable[str]) -> None:
    echo(heading, err=True)
    for line in lines:
        echo(f"  {line}", err=True)


def require_training() -> None:
    """Raise `MissingExtraError` unless `kalamos[train]` is installed."""
    missing = [
        name for name in ("torch", "safetensors", "onnx", "onnxscript", "scipy") if not find_spec(name)
    ]
    if missing:
        raise MissingExtraError(f"this needs {', '.join(missing)}, not installed here", extra="train")


Item = TypeVar("Item")

SECONDS_BEFORE_BAR = 1.0
"""Work that takes less needs no bar (and no rich, which takes time to import)."""

SECONDS_BETWEEN_UPDATES = 0.1
"""Updating the bar for each image would cost more than reading the image."""


class OnProgress(Protocol):
    """Called with how much is done, and with how much there is in all if that is known only now."""

    def __call__(self, done: int, total: int | None = None, /) -> None: ...


def bar_of(*columns: str | ProgressColumn, stderr: bool = True) -> Progress:
    """Return a bar that vanishes when it ends, and draws nothing unless the stream is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=stderr)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


@contextmanager
def progress_callback(
    description: str = "", *, total: int | None = None, unit: str = "images"
) -> Iterator[OnProgress]:
    """Show a bar while the block runs, and yield the function that moves it.

    Args:
        description: text before the bar.
        total: how much there is in all, if it is known.
        unit: `images`, or `bytes`, which are shown with their speed.
    """
    if not sys.stderr.isatty():
        yield lambda done, total=None: None
        return
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    counts = (DownloadColumn(), TransferSpeedColumn()) if unit == "bytes" else (MofNCompleteColumn(),)
    with bar_of("{task.description}", BarColumn(), *counts, TimeRemainingColumn()) as bar:
        task = bar.add_task(description, total=total)
        yield lambda done, total=None: bar.update(task, completed=done, total=total)


def track(
    items: Iterable[Item], count_all: Callable[[], int | None] | None = None
) -> Generator[Item, None, None]:
    """Pass images' results on, and show a bar as soon as waiting for them becomes noticeable.

    Args:
        items: one per image. To take the bar away, close the generator or use it up.
        count_all: returns how many will come, or None if that cannot be known. It is called when the bar
            appears, in a thread of its own: images are found while others are read.
    """
    bar: Progress | None = None
    total: list[int | None] = []
    started = time.monotonic()
    next_update = started + SECONDS_BEFORE_BAR
    try:
        for count, item in enumerate(items, start=1):
            now = time.monotonic()
            if now >= next_update:
                if bar is None:
                    bar = _images_bar()
                    bar.start()  # `bar` is set by now, so that Ctrl-C on the way takes it off again
                    if count_all is not None:
                        Thread(target=lambda: total.append(count_all()), daemon=True).start()
                bar.update(bar.task_ids[0], **_state(count, total[0] if total else None, now - started))
                next_update = now + SECONDS_BETWEEN_UPDATES
            yield item
    finally:
        if bar is not None:
            bar.stop()


def _images_bar() -> Progress:
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn

    bar = bar_of(
        BarColumn(bar_width=18),  # a pulse until the total is known
        "{task.fields[count]}",
        # Not rich's own `task.speed`: that is None until it has seen two counts.
        TextColumn("{task.fields[rate]}", justify="right"),
        TimeElapsedColumn(),
        "{task.fields[left]}",
    )
    bar.add_task("images", total=None, count="", rate="", left="")
    return bar


def _state(count: int, total: int | None, seconds: float) -> dict[str, Any]:
    """Return the bar's fields after so many images in so many seconds.

    >>> _state(1200, 10000, 12.0)["count"], _state(1200, 10000, 12.0)["left"]
    ('1,200 of 10,000 images', '0:01:28 left')
    """
    rate = count / seconds
    state = {"completed": count, "total": total, "rate": f"{rate:,.0f}/s"}
    if total is None:
        return {**state, "count": f"{count:,} images", "left": ""}
    left = timedelta(seconds=round(max(0, total - count) / rate))
    return {**state, "count": f"{count:,} of {max(count, total):,} images", "left": f"{left} left"}


class AliasedCommand(click.Command):
    """A command whose options can also be given as they were once spelled.

    Args:
        old_spellings: the old spelling of each renamed option, and the new one: `{"--part": "--split"}`.
    """

    def __init__(self, *args: Any, old_spellings: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._old_spellings = old_spellings

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        return super().parse_args(ctx, [*map(self._spell, args[:end]), *args[end:]])

    def _spell(self, argument: str) -> str:
        option, equals, value = argument.partition("=")
        if option not in self._old_spellings:
            return argument
        warn_deprecated(option, self._old_spellings[option])
        return f"{self._old_spellings[option]}{equals}{value}"


def warn_deprecated(old: str, new: str) -> None:
    """Print that something is spelled in another way now."""
    echo(f"kalamos: {old} is deprecated; use {new}", err=True)


_STDERR = 2


def divert_native_output() -> None:
    """Redirect file descriptor 2 to the null device, and Python's `sys.stderr` to where it led before.

    libjpeg prints a line for each JPEG whose scan is damaged ("Corrupt JPEG data: ..."), and OpenCV offers
    no way to stop that. Call this only in a process of our own: a library must not do it to its host.
    Child processes print to the null device too. Does nothing if `sys.stderr` is not file descriptor 2.
    """
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if sys.stderr.fileno() != _STDERR:
            return
        sys.stderr.flush()
        raw = io.FileIO(
            os.dup(_STDERR), "w", closefd=False
        )  # stays open until the end, as standard error does
        terminal = io.TextIOWrapper(
            io.BufferedWriter(raw),
            encoding=sys.stderr.encoding,
            errors=sys.stderr.errors,
            line_buffering=True,
            write_through=True,
        )
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, _STDERR)
        os.close(nowhere)
        sys.stderr = sys.__stderr__ = terminal  # type: ignore[misc]
