"""The command `kalamos`: one module a verb, each imported when it is called and not before."""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from types import FrameType
from typing import NoReturn

# OpenCV prints what it dislikes about a file; kalamos says it itself, once, in the file's own row.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")

import click

from kalamos._version import __version__
from kalamos.cli.native_output import divert_native_output
from kalamos.errors import KalamosError, suggest

__all__ = ["cli", "main"]

VERBS = ("predict", "models", "train", "teach", "export", "evaluate", "compare", "data", "app", "completion")


class LazyVerbs(click.Group):
    """Finds the verb `NAME` as the command `NAME` in the module `kalamos.cli.NAME`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            if ctx.resilient_parsing:  # a shell asks what could follow: nothing
                return None
            ctx.fail(f"there is no command {cmd_name!r}; {suggest(cmd_name, VERBS)}")
        command: click.Command = getattr(import_module(f"kalamos.cli.{cmd_name}"), cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            raise _printable(error) from None
        except KeyboardInterrupt as interrupt:
            # Click would say "Aborted!" and end with 1, which here means that some images could not be read.
            if sys.stderr.isatty():
                print(file=sys.stderr)  # behind the terminal's ^C
            [signal_number] = interrupt.args or [signal.SIGINT]
            ctx.exit(128 + signal_number)


def _printable(error: click.UsageError) -> click.UsageError:
    """The error with control characters shown: a file's name may stand in an option's place."""
    from kalamos.cli.terminal import shown

    told = error.format_message()
    return error if told == shown(told) else click.UsageError(shown(told), error.ctx)


@click.group(
    cls=LazyVerbs,
    epilog="Exit status: 0 all read, 1 some not, 2 wrong usage. Ended by Ctrl-C: 130.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="kalamos", message="%(prog)s %(version)s")
def cli() -> None:
    """Recognise isolated handwritten characters: digits, letters, any alphabet you have images for."""


def main() -> NoReturn:
    """Run the command; every deliberate error becomes one line on standard error."""
    for name in ("stdout", "stderr"):
        # Python has None for a stream that was closed when it started, as `2>&-` and daemons do.
        if getattr(sys, name) is None:
            nowhere = open(os.devnull, "w", encoding="utf-8", errors="replace")  # noqa: PTH123, SIM115
            setattr(sys, name, nowhere)
    divert_native_output()
    # Asked to end, it ends as after Ctrl-C: an unfinished output is taken away.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        cli(prog_name="kalamos")
    except KalamosError as error:
        from kalamos.cli.terminal import shown

        print(f"kalamos: {shown(error)}", file=sys.stderr)
        sys.exit(error.exit_code)
    sys.exit(0)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001
    raise KeyboardInterrupt(number)
