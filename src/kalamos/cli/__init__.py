"""The command `kalamos`: each verb's module is imported only when the verb is called."""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from types import FrameType
from typing import NoReturn

import click

from kalamos._version import __version__
from kalamos.cli._shared import SuggestingGroup, divert_native_output
from kalamos.errors import KalamosError

__all__ = ["cli", "main"]

# OpenCV prints warnings about damaged files; kalamos reports each once, in the file's own row.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")


VERBS = {
    "predict": "predict",
    "read": "read",
    "forms": "forms",
    "sheets": "sheets",
    "models": "models",
    "train": "train",
    "teach": "teach",
    "corrections": "corrections",
    "export": "models",
    "evaluate": "evaluate",
    "robustness": "evaluate",
    "ood": "evaluate",
    "compare": "train",
    "data": "data",
    "app": "app",
    "completion": "models",
}
"""The verbs in the order of `--help`, each with the module of `kalamos.cli` that defines it."""

SYNONYMS = {"fine-tune": "teach"}


class LazyVerbs(SuggestingGroup):
    """Finds the verb `NAME` as the command `NAME` in its module."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        verb = SYNONYMS.get(cmd_name, cmd_name)
        if verb not in VERBS:
            return None
        command: click.Command = getattr(import_module(f"kalamos.cli.{VERBS[verb]}"), verb)
        return command

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            raise _printable(error) from None
        except KeyboardInterrupt as interrupt:
            # Click would print "Aborted!" and exit with 1, which here means that some images were not read.
            if sys.stderr.isatty():
                print(file=sys.stderr)  # behind the terminal's ^C
            [signal_number] = interrupt.args or [signal.SIGINT]
            ctx.exit(128 + signal_number)


def _printable(error: click.UsageError) -> click.UsageError:
    """Escape control characters in an error: it may quote a file's name, given in an option's place."""
    from kalamos.cli._shared import shown

    message = error.format_message()
    return error if message == shown(message) else click.UsageError(shown(message), error.ctx)


@click.group(
    cls=LazyVerbs,
    epilog="Exit status: 0 all images read, 1 some not, 2 wrong usage, 130 ended by Ctrl-C.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="kalamos", message="%(prog)s %(version)s")
def cli() -> None:
    """Read handwritten characters: one on each image, or many on a page.

    Digits, letters, any alphabet you can supply sample images of.
    """


def main() -> NoReturn:
    """Run the command; each `KalamosError` becomes one line on standard error."""
    for name in ("stdout", "stderr"):
        # A stream is None if it was closed when Python started, as by `2>&-` and daemons.
        if getattr(sys, name) is None:
            nowhere = open(os.devnull, "w", encoding="utf-8", errors="replace")  # noqa: PTH123, SIM115
            setattr(sys, name, nowhere)
    divert_native_output()
    # SIGTERM ends it like Ctrl-C: an unfinished output is removed.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        cli(prog_name="kalamos")
    except KalamosError as error:
        from kalamos.cli._shared import shown

        print(f"kalamos: {shown(error)}", file=sys.stderr)
        sys.exit(error.exit_code)
    sys.exit(0)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001
    raise KeyboardInterrupt(number)
