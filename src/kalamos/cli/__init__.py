"""The command `kalamos`: one module a verb, nothing imported before it is needed."""

from __future__ import annotations

import os
import sys
from typing import Annotated, NoReturn

# OpenCV prints what it dislikes about a file; kalamos says it itself, once, in the file's own row.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")

import typer

from kalamos._version import __version__
from kalamos.cli.evaluate import evaluate
from kalamos.cli.export import export
from kalamos.cli.models import models
from kalamos.cli.predict import predict
from kalamos.cli.train import train
from kalamos.errors import KalamosError

__all__ = ["app", "main"]

app = typer.Typer(
    name="kalamos",
    help="Recognise isolated handwritten characters: digits, letters, and any alphabet you have images for.",
    epilog="Exit status: 0 all read, 1 some not, 2 wrong usage.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
app.command()(predict)
app.command()(models)
app.command()(train)
app.command()(export)
app.command()(evaluate)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"kalamos {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def main() -> NoReturn:
    """Run the command; every deliberate error becomes one line on standard error."""
    try:
        app()
    except KalamosError as error:
        print(f"kalamos: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of our output has gone (`| head`); keep the interpreter from flushing into it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    sys.exit(0)
