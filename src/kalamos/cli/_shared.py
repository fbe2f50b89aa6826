"""What the verbs share: names and options, text for the terminal, progress bars.

Heavy imports are inside the functions, so that `kalamos --help` and reading one image stay fast.
"""

from __future__ import annotations

import io
import os
import re
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import timedelta
from pathlib import Path, PurePath
from pkgutil import resolve_name
from threading import Thread
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TypeVar

import click
from click.shell_completion import CompletionItem

from kalamos.errors import OutputError, UsageError, require_extra, suggest
from kalamos.predict_options import PredictOptions, option_infos

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn

    from kalamos.datasets import SkippedFile
    from kalamos.inputs.files import SkippedFiles
    from kalamos.model_file import ModelSpec

__all__ = [
    "ARCHITECTURE_NAME",
    "AUGMENTATION_NAME",
    "DATASET_NAME",
    "FORMAT_NAME",
    "LAYOUT_NAME",
    "MODEL_NAME",
    "PAGE_FORMAT_NAME",
    "TEACHABLE_NAME",
    "AliasedCommand",
    "KnownName",
    "SuggestingGroup",
    "allow_any_label",
    "bar_of",
    "check_folder",
    "check_no_image",
    "classes_option",
    "data_dir_option",
    "divert_native_output",
    "echo",
    "echo_json",
    "format_option",
    "formula_guard_option",
    "licence_option",
    "make_folder",
    "open_sink",
    "predict_option",
    "predict_options",
    "print_licence",
    "print_result",
    "print_skipped",
    "print_skipped_inputs",
    "progress_callback",
    "require_training",
    "rows_options",
    "shown",
    "track",
    "warn_deprecated",
]


F = TypeVar("F", bound=Callable[..., Any])
Item = TypeVar("Item")

MAX_NAMED_FILES = 5
"""Files of a dataset that are named one by one."""

SECONDS_BEFORE_BAR = 1.0
"""Work that takes less needs no bar (and no rich, which takes time to import)."""

SECONDS_BETWEEN_UPDATES = 0.1
"""Updating the bar for each image would cost more than reading the image."""

_STDERR_FD = 2

_CONTROLS = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that JSON leaves as they are, and that a terminal obeys or shows in another order."""


class KnownName(click.ParamType[str]):
    """An argument with known values for Tab completion. It accepts anything: wrong names are reported later.

    Args:
        name: shown in `--help`.
        known: `module:attribute` of the names, or of the function that returns them.
    """

    def __init__(self, name: str, known: str) -> None:
        self.name = name
        self._known = known

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        known = resolve_name(self._known)
        names = known() if callable(known) else known
        items = [CompletionItem(name) for name in names if name.startswith(incomplete)]
        return items or [CompletionItem(incomplete, type="file")]


LAYOUT_NAME = KnownName("layout", "kalamos.pages.page:LAYOUTS")
PAGE_FORMAT_NAME = KnownName("format", "kalamos.pages.writers:PAGE_FORMATS")
MODEL_NAME = KnownName("model", "kalamos.zoo:names")
TEACHABLE_NAME = KnownName("model", "kalamos.zoo:teachable_names")
FORMAT_NAME = KnownName("format", "kalamos.writers:FORMATS")
DATASET_NAME = KnownName("dataset", "kalamos.datasets:names")
ARCHITECTURE_NAME = KnownName("name", "kalamos.learn.models:ARCHITECTURES.names")
AUGMENTATION_NAME = KnownName("name", "kalamos.learn.recipe:AUGMENTATIONS")

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="The folder that holds the datasets.  [default: $KALAMOS_DATA, else the user's cache]",
)

classes_option = click.option(
    "--classes",
    type=click.Choice(["outer", "inner", "both"]),
    help="Where folders hold folders: which name the classes. With inner the outer ones are hands.",
)

formula_guard_option = click.option(
    "--formula-guard/--no-formula-guard",
    default=True,
    show_default=True,
    help="In CSV, put an apostrophe before what a spreadsheet would run as a formula.",
)

licence_option = click.option(
    "--licence",
    "--license",
    "licence",
    metavar="SPDX",
    help="Under which the new model may be used, such as CC-BY-4.0.  [default: not stated]",
)


format_option = click.option(
    "-f",
    "--format",
    "format_name",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Output format.",
)


def rows_options(formats: KnownName, listed: str, *, more_output: str = "") -> Callable[[F], F]:
    """Add `-m`, `-f` and `-o`, which all verbs have that read images into rows.

    Args:
        formats: of the rows.
        listed: these, for the help.
        more_output: what can follow `-o` besides a file.
    """
    options = (
        click.option(
            "-m",
            "--model",
            type=MODEL_NAME,
            default="digits",
            show_default=True,
            help="A shipped model or a file.",
        ),
        click.option(
            "-f",
            "--format",
            "format_name",
            type=formats,
            help=f"{listed}.  [default: by the output's name, else text]",
        ),
        click.option(
            "-o",
            "--output",
            type=click.Path(),
            help=f"Write to this file, whole or not at all.{more_output}",
        ),
    )

    def add(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def engine_options(same: str) -> Callable[[F], F]:
    """Add `--engine` and `--address`, which say where the work is done; see `check_engine`.

    Args:
        same: what is the same wherever it is done, for the help.
    """
    options = (
        click.option(
            "--engine",
            type=click.Choice(["local", "ray"]),
            default="local",
            show_default=True,
            help=f"Run on this machine, or on a Ray cluster (kalamos[cluster]); {same} are the same.",
        ),
        click.option(
            "--address",
            metavar="HOST:PORT",
            help="The Ray cluster's address, or auto on one of its machines.  "
            "[default: one for this run alone]",
        ),
    )

    def add(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def check_engine(engine: str, address: str | None) -> None:
    """Refuse the address of a cluster that is not used.

    Raises:
        UsageError: there is one, and the engine is another.
    """
    if address is not None and engine != "ray":
        raise UsageError("--address is that of a Ray cluster", remedy="add --engine ray")


def check_no_image(output: str | None) -> None:
    """Refuse to write rows under an image's name: `-o *.png`, or a forgotten name after -o.

    Raises:
        UsageError: it is one.
    """
    from kalamos.images import EXTENSIONS
    from kalamos.images.files import display_name

    if output and PurePath(output).suffix.lower() in EXTENSIONS:
        raise UsageError(
            f"{display_name(output)}: the name of an image", remedy="name a file for the rows after -o"
        )


def predict_option(name: str) -> Callable[[F], F]:
    """Return the click option for a field of `PredictOptions`."""
    info = option_infos()[name]
    default = PredictOptions.__dataclass_fields__[name].default
    if default is None:
        default = info.cli_default
    kind: Any = click.STRING
    if info.kind is not str:
        number = click.IntRange if info.kind is int else click.FloatRange
        lowest = info.ge if info.gt is None else info.gt
        highest = info.le if info.cli_le is None else info.cli_le
        kind = number(lowest, highest, min_open=info.gt is not None)  # type: ignore[arg-type]
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
    """Add all options of `PredictOptions` that the command line offers."""
    for name, info in reversed(list(option_infos().items())):
        if info.flags:
            command = predict_option(name)(command)
    return command


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


def make_folder(folder: Path) -> None:
    """Make a folder, if it is not there.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror or error})") from error


def check_folder(folder: Path) -> None:
    """Find out whether a folder can be made and written to, and make nothing.

    Raises:
        OutputError: it cannot, as far as can be seen.
    """
    nearest = next((each for each in (folder, *folder.absolute().parents) if each.exists()), Path())
    if not nearest.is_dir():
        raise OutputError(f"{folder}: {nearest} is no folder", remedy="name another folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise OutputError(f"{folder}: cannot be written to", remedy="choose a place you may write to")


def open_sink(output: str | None) -> AbstractContextManager[BinaryIO]:
    """Open what rows are written to: a file, whole or not at all, or standard output."""
    if output is None:
        return _standard_output()
    from kalamos.utils.atomic_write import atomic_write

    return atomic_write(output)


@contextmanager
def _standard_output() -> Iterator[BinaryIO]:
    try:
        yield sys.stdout.buffer
        sys.stdout.flush()  # before the summary, in case both go to one terminal
    except BrokenPipeError:  # the reader of the rows has enough; Click ends quietly
        raise
    except OSError as error:
        # What is left in the buffer would fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputError(f"cannot write to standard output: {error.strerror}") from error


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


def print_result(format_name: str, as_json: Callable[[], str], as_text: Callable[[Console], None]) -> None:
    """Print a result in the format of `format_option`, whatever the terminal's encoding.

    Args:
        as_json: returns the JSON text.
        as_text: prints to a console.
    """
    allow_any_label()
    if format_name == "json":
        text = as_json()
        echo_json(text, nl=not text.endswith("\n"))
    else:
        from rich.console import Console

        as_text(Console(highlight=False))


def print_licence(spec: ModelSpec) -> None:
    """Print the temperature and the licence of a new model."""
    from kalamos.model_file.spec import NOT_STATED, licence_text
    from kalamos.zoo import calibration

    choose = "; choose one with --licence" if spec.licence == NOT_STATED else ""
    echo(f"temperature {calibration(spec)}\nlicence: {licence_text(spec.licence)}{choose}")


def _print(heading: str, lines: Iterable[str]) -> None:
    echo(heading, err=True)
    for line in lines:
        echo(f"  {line}", err=True)


def require_training() -> None:
    """Raise `MissingExtraError` unless `kalamos[train]` is installed."""
    require_extra("train", ("torch", "safetensors", "onnx", "onnxscript", "scipy"))


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


class SuggestingGroup(click.Group):
    """A group that lists its commands in the order of definition, and suggests one for a misspelt name."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if self.get_command(ctx, args[0]) is None and not ctx.resilient_parsing:
            name = " ".join([*ctx.command_path.split()[1:], args[0]])
            ctx.fail(f"unknown command {name!r}; {suggest(args[0], self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)


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


def divert_native_output() -> None:
    """Redirect file descriptor 2 to the null device, and Python's `sys.stderr` to where it led before.

    libjpeg prints a line for each JPEG whose scan is damaged ("Corrupt JPEG data: ..."), and OpenCV offers
    no way to stop that. Call this only in a process of our own: a library must not do it to its host.
    Child processes print to the null device too. Does nothing if `sys.stderr` is not file descriptor 2.
    """
    with suppress(OSError, ValueError, AttributeError):
        if sys.stderr.fileno() != _STDERR_FD:
            return
        sys.stderr.flush()
        raw = io.FileIO(os.dup(_STDERR_FD), "w", closefd=False)  # open until the end, like standard error
        terminal = io.TextIOWrapper(
            io.BufferedWriter(raw),
            encoding=sys.stderr.encoding,
            errors=sys.stderr.errors,
            line_buffering=True,
            write_through=True,
        )
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, _STDERR_FD)
        os.close(nowhere)
        sys.stderr = sys.__stderr__ = terminal  # type: ignore[misc]
